//! Phones that register, and carriers: who is asked for a password, and who is called where.

use std::time::Duration;

use anyhow::{Result, bail};
use callbox_tests::address;
use callbox_tests::agent::Agent;
use callbox_tests::phones::{self, Sipp};
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, items, text};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PASSWORD: &str = "a-secret-of-two";
const ALICE: u32 = 1_000;
const BOB: u32 = 1_400;

/// A tenant with a domain.
async fn house(server: &Server, md5: bool) -> Result<Tenant> {
    let tenant = Tenant::make(server, "acme").await?;
    let body = json!({ "name": "acme.example", "md5": md5 });
    tenant.operator.post(&format!("/v1/domains?tenant={}", tenant.id), body).await?;
    Ok(tenant)
}

async fn user(tenant: &Tenant, name: &str) -> Result<String> {
    let body = json!({ "domain": "acme.example", "name": name, "password": PASSWORD });
    text(&tenant.rest.post("/v1/users", body).await?, "id")
}

/// A number that strangers may not call.
async fn closed_number(tenant: &Tenant, number: &str, application: &str) -> Result<()> {
    let body = json!({ "address": number, "application": application, "anonymous": false });
    tenant.operator.post(&format!("/v1/numbers?tenant={}", tenant.id), body).await?;
    Ok(())
}

async fn registrations(tenant: &Tenant, user: &str) -> Result<Vec<Value>> {
    Ok(items(&tenant.rest.get(&format!("/v1/users/{user}/registrations")).await?).to_vec())
}

async fn registered(tenant: &Tenant, user: &str) -> Result<Value> {
    for _ in 0..200 {
        if let Some(registration) = registrations(tenant, user).await?.first() {
            return Ok(registration.clone());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("{user} did not register");
}

async fn place(tenant: &Tenant, application: &str, to: &str) -> Result<String> {
    text(&tenant.rest.post("/v1/calls", json!({ "application": application, "to": to })).await?, "id")
}

/// What the call came to, after its end.
async fn ended(tenant: &Tenant, call: &str) -> Result<Value> {
    for _ in 0..300 {
        // It is there a moment after it has begun.
        let (_, record) = tenant.rest.ask(Method::GET, &format!("/v1/calls/{call}"), None).await?;
        if record["ended"].is_string() {
            return Ok(record);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("{call} did not end");
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// With SHA-256, over UDP, TCP and TLS; each is called by name, and over what it has opened.
#[tokio::test]
async fn users_call_each_other_by_name() -> Result<()> {
    let server = Server::start_open_with_tls().await?;
    let tenant = house(&server, false).await?;
    let ids = [user(&tenant, "alice").await?, user(&tenant, "bob").await?, user(&tenant, "carla").await?];
    let [alice_id, bob_id, carla_id] = &ids;
    let folders = ["alice", "bob", "carla"].map(|name| server.scratch(name));
    let (mut alice, mut bob, mut carla) = tokio::try_join!(
        Agent::start(address::fresh(), &folders[0], ALICE),
        Agent::start_over("tcp", address::fresh(), &folders[1], BOB),
        Agent::start_over("tls", address::fresh(), &folders[2], BOB)
    )?;
    let proxy = format!("sip:{}:5060;lr", server.address);
    // Somebody with a guess for her password.
    let mut eve = Agent::start(address::fresh(), &server.scratch("eve"), ALICE).await?;
    eve.tell(&format!("register acme.example {proxy} alice not-{PASSWORD}")).await?;
    eve.until("registration 401").await?;
    assert!(registrations(&tenant, alice_id).await?.is_empty());
    alice.tell(&format!("register acme.example {proxy} alice {PASSWORD}")).await?;
    bob.tell(&format!("register acme.example {proxy};transport=tcp bob {PASSWORD}")).await?;
    let secure = format!("sip:{}:5061;lr", server.address);
    carla.tell(&format!("register acme.example {secure};transport=tls carla {PASSWORD}")).await?;
    for (phone, id, transport) in [(&alice, alice_id, "UDP"), (&bob, bob_id, "TCP"), (&carla, carla_id, "TLS")] {
        phone.until("registration 200").await?;
        let registration = registered(&tenant, id).await?;
        assert_eq!(registration["transport"], transport, "{registration}");
    }

    let settings = json!({ "targets": "sip:bob@acme.example" });
    let application = tenant.behaviours_with("100", &["dial-bridge"], settings).await?;
    closed_number(&tenant, "200", &application).await?;
    // One of the house, who proves it; and one who cannot.
    alice.tell("call sip:200@acme.example").await?;
    alice.until("1 answered").await?;
    pause(2_000).await;
    alice.tell("hangup 1").await?;
    bob.until("1 ended 200").await?;
    let (heard, hz) = (alice.heard(1).await?, BOB as f32);
    assert!(heard.longest(hz).is_some_and(|tone| tone.length_s() > 1.0), "{:?}", heard.tone(hz));
    assert!(bob.heard(1).await?.longest(ALICE as f32).is_some_and(|tone| tone.length_s() > 1.0));
    let (call, _) = tenant.call_of("200").await?;
    assert_eq!(call["status"], "completed");
    let wav = server.scratch("stranger.wav");
    let (answered, said) = phones::callbox(&server.uri("200"), &wav, &[]).await?;
    assert!(!answered && said.contains("403"), "{said}");

    let music = tenant.behaviours("300", &["music"]).await?;
    let call = place(&tenant, &music, "carla@acme.example").await?;
    carla.until("1 answered").await?;
    pause(3_000).await;
    carla.tell("hangup 1").await?;
    let heard = carla.heard(1).await?;
    assert!(heard.longest(440.0).is_some_and(|tone| tone.length_s() > 1.0), "{:?}", heard.tone(440.0));
    assert_eq!(ended(&tenant, &call).await?["status"], "completed");

    // Forgotten, Alice cannot be called any longer.
    let (status, _) = tenant.rest.ask(Method::DELETE, &format!("/v1/users/{alice_id}/registrations"), None).await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(registrations(&tenant, alice_id).await?.is_empty());
    let body = json!({ "application": application, "to": "alice@acme.example" });
    let (status, problem) = tenant.rest.ask(Method::POST, "/v1/calls", Some(&body)).await?;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("user-not-registered")), "{problem}");
    Ok(())
}

/// Killed a second after the phone registered, and called after it came back.
#[tokio::test]
async fn registrations_survive_a_killed_node() -> Result<()> {
    let mut server = Server::start_open("").await?;
    let tenant = house(&server, false).await?;
    let alice_id = user(&tenant, "alice").await?;
    let application = tenant.behaviours("100", &["music"]).await?;
    let mut alice = Agent::start(address::fresh(), &server.scratch("alice"), ALICE).await?;
    alice.tell(&format!("register acme.example sip:{}:5060;lr alice {PASSWORD}", server.address)).await?;
    alice.until("registration 200").await?;
    pause(1_000).await;
    server.kill();
    server.run().await?;
    registered(&tenant, &alice_id).await?;
    let call = place(&tenant, &application, "alice@acme.example").await?;
    alice.until("1 answered").await?;
    pause(3_000).await;
    alice.tell("hangup 1").await?;
    let heard = alice.heard(1).await?;
    assert!(heard.longest(440.0).is_some_and(|tone| tone.length_s() > 1.0), "{:?}", heard.tone(440.0));
    assert_eq!(ended(&tenant, &call).await?["status"], "completed");
    Ok(())
}

/// A carrier that asks for a password takes calls to numbers, one that is registered with says so,
/// and one that calls from its network is let in where strangers are not.
#[tokio::test]
async fn calls_go_out_to_carriers_and_come_in_from_them() -> Result<()> {
    let server = Server::start_open("").await?;
    let tenant = house(&server, false).await?;
    let (carrier, registrar) = (address::fresh(), address::fresh());
    let body = json!({
        "name": "carrier", "uri": format!("sip:{carrier}:5060"), "networks": [format!("{carrier}/32")],
        "username": "callbox", "password": PASSWORD, "caller_id": "+4930555", "minute_price_micros": 20_000,
    });
    let made = tenant.rest.post("/v1/trunks", body).await?;
    assert_eq!((&made["state"]["state"], &made["has_password"]), (&json!("static"), &json!(true)), "{made}");
    let outbound = json!({ "trunk": "carrier", "numbers": ["+49"] });
    let application = tenant.calling_behaviours("100", &["music"], json!({}), outbound).await?;
    let folder = server.scratch("carrier");
    let takes = phones::sipp_takes("carrier", carrier, 1, &folder);
    let calls = async {
        pause(500).await;
        let call = place(&tenant, &application, "+4930123456").await?;
        ended(&tenant, &call).await
    };
    let (took, call) = tokio::join!(takes, calls);
    took?;
    let call = call?;
    assert_eq!((&call["status"], &call["cause"]["remote"]), (&json!("completed"), &json!(true)), "{call}");
    let bought = tenant.rest.get(&format!("/v1/tenants/{}/outbound", tenant.id)).await?;
    assert_eq!((&bought["minutes"], &bought["spend_micros"]), (&json!(1), &json!(20_000)), "{bought}");
    assert_eq!(bought["codes"], json!(["49"]), "{bought}");

    // In from there, and not from elsewhere.
    closed_number(&tenant, "200", &application).await?;
    let call_in = |from, scenario| Sipp {
        scenario,
        from,
        to: server.address,
        number: "200",
        calls: 1,
        rate: 1,
        pause_ms: 300,
        tcp: false,
    };
    call_in(carrier, "answer").run(&server.scratch("in")).await?;
    assert!(call_in(address::fresh(), "answer").run(&server.scratch("stranger")).await.is_err());

    let folder = server.scratch("registrar");
    let takes = phones::sipp_takes("carrier-registrar", registrar, 1, &folder);
    let registers = async {
        pause(500).await;
        let body = json!({
            "name": "registering", "uri": format!("sip:{registrar}:5060"), "register": true,
            "username": "callbox", "password": PASSWORD,
        });
        let id = text(&tenant.rest.post("/v1/trunks", body).await?, "id")?;
        for _ in 0..150 {
            let shown = tenant.rest.get(&format!("/v1/trunks/{id}")).await?;
            if shown["state"]["state"] == "registered" {
                return Ok(shown);
            }
            pause(100).await;
        }
        bail!("{}", tenant.rest.get(&format!("/v1/trunks/{id}")).await?);
    };
    let (took, shown): (_, Result<Value>) = tokio::join!(takes, registers);
    took?;
    assert!(shown?["state"]["until"].is_string());
    Ok(())
}
