//! Kamailio between the node and the world: in front of it as a proxy that stays in the way, and
//! as a carrier where it registers and calls out with digest.

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::callee::Callee;
use callbox_tests::kamailio::Kamailio;
use callbox_tests::phones::Sipp;
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, text};
use serde_json::json;

fn scenario<'a>(scenario: &'a str, number: &'a str, to: std::net::Ipv4Addr) -> Sipp<'a> {
    Sipp { scenario, from: address::fresh(), to, number, calls: 1, rate: 10, pause_ms: 500, tcp: false }
}

/// Caller, proxy, node: ACK, re-INVITE and BYE of the caller follow the Route that the proxy gave.
#[tokio::test]
async fn a_call_through_a_proxy_is_held_and_hung_up_by_its_caller() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["park"]).await?;
    let proxy = Kamailio::dispatcher(address::fresh(), &server.scratch("kamailio"), server.address).await?;
    let sipp = scenario("routed", "100", proxy.address);
    let caller = sipp.from;
    sipp.run(&server.scratch("sipp")).await?;
    let (call, _, _) = tenant.only_call().await?;
    assert_eq!((&call["status"], &call["cause"]["remote"]), (&"completed".into(), &true.into()));
    for method in ["ACK", "INVITE", "BYE"] {
        proxy.until(&format!("routed {method} from {caller}")).await?;
    }
    assert!(!proxy.log().contains("no Route"), "{}", proxy.log());
    Ok(())
}

/// The node's own BYE carries the Route too: it goes by the proxy, and not to the Contact.
#[tokio::test]
async fn a_call_through_a_proxy_is_hung_up_by_the_node() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["hang-up-at-once"]).await?;
    let proxy = Kamailio::dispatcher(address::fresh(), &server.scratch("kamailio"), server.address).await?;
    scenario("routed-hung-up", "100", proxy.address).run(&server.scratch("sipp")).await?;
    let (call, _, _) = tenant.only_call().await?;
    assert_eq!(call["cause"]["remote"], false);
    proxy.until(&format!("routed BYE from {}", server.address)).await?;
    assert!(!proxy.log().contains("no Route"), "{}", proxy.log());
    Ok(())
}

/// Many at once: the proxy's retransmissions and branches are kept apart.
#[tokio::test]
async fn fifty_calls_come_through_a_proxy() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["park"]).await?;
    let proxy = Kamailio::dispatcher(address::fresh(), &server.scratch("kamailio"), server.address).await?;
    let mut sipp = scenario("routed", "100", proxy.address);
    (sipp.calls, sipp.rate) = (50, 25);
    sipp.run(&server.scratch("sipp")).await?;
    let calls = tenant.ended_calls(50).await?;
    assert_eq!(calls.len(), 50);
    assert!(calls.iter().all(|call| call["status"] == "completed" && call["faults"] == 0), "{calls:?}");
    Ok(())
}

/// A node, registered at a carrier. Its number 100 calls `+4930123456` through it.
struct Carried {
    server: Server,
    tenant: Tenant,
    carrier: Kamailio,
    callee: std::net::Ipv4Addr,
}

async fn carried(algorithm: &str) -> Result<Carried> {
    let server = Server::start("[egress]\nnetworks = [\"127.0.0.0/8\"]\n").await?;
    let (at, callee) = (address::fresh(), address::fresh());
    let carrier =
        Kamailio::carrier(at, &server.scratch("kamailio"), server.address, callee, "open sesame", algorithm).await?;
    let tenant = Tenant::make(&server, "acme").await?;
    let trunk = json!({
        "name": "carrier", "uri": format!("sip:{at}:5060"), "networks": [format!("{at}/32")], "media_networks": ["127.0.0.0/8"],
        "username": "acme-line", "password": "open sesame", "realm": "carrier.example", "register": true,
        "caller_id": "+4930100",
    });
    let trunk = text(&tenant.rest.post("/v1/trunks", trunk).await?, "id")?;
    tenant.upload("behaviours").await?;
    let application = json!({
        "name": "out", "handlers": [{ "module": "behaviours" }],
        "config": { "behaviour": "dial-bridge", "targets": "+4930123456" },
        "outbound": { "trunk": "carrier", "numbers": ["+49"] },
    });
    let application = text(&tenant.rest.post("/v1/applications", application).await?, "id")?;
    let number = json!({ "address": "100", "application": application, "anonymous": true });
    tenant.operator.post(&format!("/v1/numbers?tenant={}", tenant.id), number).await?;
    carrier.until("registered acme-line at").await?;
    let mut state = serde_json::Value::Null;
    for _ in 0..100 {
        state = tenant.rest.get(&format!("/v1/trunks/{trunk}")).await?;
        if state.to_string().contains("\"registered\"") {
            return Ok(Carried { server, tenant, carrier, callee });
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the trunk did not come to be registered: {state}");
}

/// Out: challenged, answered, rung, taken, and hung up by the caller; all by the carrier's Route.
#[tokio::test]
async fn a_call_goes_out_through_a_carrier_with_digest() -> Result<()> {
    let Carried { server, tenant, carrier, callee } = carried("MD5").await?;
    let called = Callee::start("callee", callee, 1, &server.scratch("callee"))?;
    scenario("answer", "100", server.address).run(&server.scratch("sipp")).await?;
    called.done().await?;
    let (call, events, _) = tenant.only_call().await?;
    assert_eq!((&call["status"], &call["faults"]), (&"completed".into(), &0.into()), "{events:?}");
    let log = carrier.log();
    assert_eq!(log.matches("challenged INVITE").count(), 1, "{log}");
    assert!(log.contains("calls out: acme-line to +4930123456, shown as +4930100"), "{log}");
    assert!(log.contains(&format!("routed BYE from {}", server.address)) && !log.contains("no Route"), "{log}");
    Ok(())
}

/// And with the digest of RFC 8760; this time the callee hangs up.
#[tokio::test]
async fn a_callee_behind_a_carrier_hangs_up() -> Result<()> {
    let Carried { server, tenant, carrier, callee } = carried("SHA-256").await?;
    let called = Callee::start("callee-hangs-up", callee, 1, &server.scratch("callee"))?;
    scenario("hung-up", "100", server.address).run(&server.scratch("sipp")).await?;
    called.done().await?;
    let (call, _, _) = tenant.only_call().await?;
    assert_eq!((&call["status"], &call["faults"]), (&"completed".into(), &0.into()));
    carrier.until(&format!("routed BYE from {callee}")).await?;
    assert!(!carrier.log().contains("no Route"), "{}", carrier.log());
    Ok(())
}

/// In: the carrier looks up where the node is registered, and calls it there.
#[tokio::test]
async fn a_call_comes_in_where_the_node_is_registered() -> Result<()> {
    let Carried { server, tenant, carrier, .. } = carried("MD5").await?;
    let park = json!({ "name": "in", "handlers": [{ "module": "behaviours" }], "config": { "behaviour": "park" } });
    let application = text(&tenant.rest.post("/v1/applications", park).await?, "id")?;
    // Strangers may not call it; the trunk is no stranger.
    let number = json!({ "address": "acme-line", "application": application, "anonymous": false });
    tenant.operator.post(&format!("/v1/numbers?tenant={}", tenant.id), number).await?;
    scenario("routed", "acme-line", carrier.address).run(&server.scratch("sipp")).await?;
    let (call, _, _) = tenant.only_call().await?;
    assert_eq!((&call["status"], &call["faults"]), (&"completed".into(), &0.into()));
    carrier.until("calls in: acme-line").await.context("the carrier did not find the registration")?;
    scenario("not-found", "somebody-else", carrier.address).run(&server.scratch("nobody")).await
}
