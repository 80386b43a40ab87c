//! SIPp against the real binary: signalling as somebody else wrote it.

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::phones::Sipp;
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, types};

fn scenario<'a>(scenario: &'a str, number: &'a str, server: &Server) -> Sipp<'a> {
    let (from, to) = (address::fresh(), server.address);
    Sipp { scenario, from, to, number, calls: 1, rate: 10, pause_ms: 300, tcp: false }
}

async fn tenant(server: &Server, number: &str, behaviour: &str) -> Result<Tenant> {
    let tenant = Tenant::make(server, "acme").await?;
    tenant.behaviours(number, &[behaviour]).await?;
    Ok(tenant)
}

#[tokio::test]
async fn a_call_is_answered_and_hung_up_by_its_caller() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "100", "park").await?;
    scenario("answer", "100", &server).run(&server.scratch("sipp")).await?;
    let (call, events, runs) = tenant.only_call().await?;
    assert_eq!(call["status"], "completed");
    assert_eq!(call["cause"]["remote"], true);
    assert!(call["connected_us"].as_u64().context("no time")? >= 250_000, "{call}");
    let types = types(&events);
    let order = ["call.started", "control.started", "call.answered", "leg.ended", "call.ended"];
    let places: Vec<_> = order.iter().map(|name| types.iter().position(|one| one == name)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{types:?}");
    assert_eq!(runs[0]["module_name"], "behaviours");
    assert_eq!(runs[0]["end"]["reason"], "returned");
    Ok(())
}

#[tokio::test]
async fn a_call_is_hung_up_by_its_module() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "100", "hang-up-at-once").await?;
    scenario("hung-up", "100", &server).run(&server.scratch("sipp")).await?;
    let (call, _, _) = tenant.only_call().await?;
    assert_eq!(call["cause"]["remote"], false);
    Ok(())
}

#[tokio::test]
async fn a_module_refuses_a_call_as_busy() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "100", "reject-busy").await?;
    scenario("busy", "100", &server).run(&server.scratch("sipp")).await?;
    let (call, _, _) = tenant.only_call().await?;
    assert_eq!((&call["status"], &call["cause"]["status"]), (&"not-answered".into(), &486.into()));
    Ok(())
}

#[tokio::test]
async fn a_caller_gives_up_while_it_rings() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "100", "ring-forever").await?;
    scenario("cancel", "100", &server).run(&server.scratch("sipp")).await?;
    let (call, events, runs) = tenant.only_call().await?;
    assert_eq!((&call["status"], &call["cause"]["remote"]), (&"not-answered".into(), &true.into()));
    assert!(types(&events).contains(&"call.ringing"));
    assert!(runs.iter().all(|run| !run["end"].is_null()));
    Ok(())
}

#[tokio::test]
async fn a_number_that_nobody_has_is_not_found() -> Result<()> {
    let server = Server::start("").await?;
    scenario("not-found", "555", &server).run(&server.scratch("sipp")).await
}

#[tokio::test]
async fn lost_messages_are_repeated_and_answered_once() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "100", "park").await?;
    scenario("lossy", "100", &server).run(&server.scratch("sipp")).await?;
    let calls = tenant.ended_calls(1).await?;
    assert_eq!(calls.len(), 1, "a repeated INVITE made a second call");
    Ok(())
}

#[tokio::test]
async fn an_offer_comes_late() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "100", "music").await?;
    scenario("late-offer", "100", &server).run(&server.scratch("sipp")).await?;
    let (call, events, _) = tenant.only_call().await?;
    assert_eq!(call["status"], "completed");
    assert!(types(&events).contains(&"leg.media"));
    Ok(())
}

#[tokio::test]
async fn a_caller_holds_the_call_and_comes_back() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "100", "hold").await?;
    scenario("hold", "100", &server).run(&server.scratch("sipp")).await?;
    let (_, events, _) = tenant.only_call().await?;
    let lines = callbox_tests::tenant::lines(&events);
    assert!(lines.contains(&"held") && lines.contains(&"resumed"), "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn tcp_carries_a_call_as_well() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "100", "park").await?;
    let mut sipp = scenario("answer", "100", &server);
    sipp.tcp = true;
    sipp.run(&server.scratch("sipp")).await?;
    assert_eq!(tenant.ended_calls(1).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn fifty_calls_at_once() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "100", "park").await?;
    let mut sipp = scenario("answer", "100", &server);
    (sipp.calls, sipp.rate, sipp.pause_ms) = (50, 50, 2_000);
    sipp.run(&server.scratch("sipp")).await?;
    let calls = tenant.ended_calls(50).await?;
    assert_eq!(calls.len(), 50);
    assert!(calls.iter().all(|call| call["status"] == "completed" && call["faults"] == 0), "{calls:?}");
    Ok(())
}

/// Busy, and the other tenant's callers do not notice; when one hangs up, there is room again.
#[tokio::test]
async fn a_tenant_has_so_many_calls_at_once() -> Result<()> {
    let server = Server::start("[limits]\ntenant_calls = 2\n").await?;
    let tenant = tenant(&server, "100", "park").await?;
    let other = Tenant::make(&server, "other").await?;
    other.behaviours("200", &["hang-up-at-once"]).await?;
    let mut two = scenario("answer", "100", &server);
    (two.calls, two.pause_ms) = (2, 5_000);
    let folder = server.scratch("two");
    let two = async { two.run(&folder).await };
    let heard = server.scratch("heard.wav");
    let third = async {
        for _ in 0..100 {
            let calls = tenant.rest.get("/v1/calls?status=in-progress").await?;
            if callbox_tests::tenant::items(&calls).len() == 2 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let third = callbox_tests::phones::callbox(&server.uri("100"), &heard, &[]).await?;
        Ok((third, callbox_tests::phones::callbox(&server.uri("200"), &heard, &[]).await?))
    };
    let (two, told): (_, Result<_>) = tokio::join!(two, third);
    let ((answered, said), (others_answered, others_said)) = told?;
    two?;
    assert!(!answered && said.contains("486 Too Many Calls"), "{said}");
    assert!(others_answered, "{others_said}");
    tenant.ended_calls(2).await?;
    scenario("answer", "100", &server).run(&server.scratch("after")).await
}

#[tokio::test]
async fn who_is_not_let_in_gets_no_answer() -> Result<()> {
    let server = Server::start("[sip.allow]\nnetworks = [\"10.0.0.0/8\"]\n").await?;
    tenant(&server, "100", "park").await?;
    let heard = server.scratch("heard.wav");
    let (answered, said) = callbox_tests::phones::callbox(&server.uri("100"), &heard, &["--ring-seconds", "2"]).await?;
    assert!(!answered && said.contains("408"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_number_that_may_not_be_called_is_refused() -> Result<()> {
    let server = Server::start("[sip.allow]\nnetworks = [\"127.0.0.0/8\"]\nnumbers = [\"100\"]\n").await?;
    let tenant = tenant(&server, "100", "hang-up-at-once").await?;
    tenant.behaviours("200", &["hang-up-at-once"]).await?;
    let heard = server.scratch("heard.wav");
    let (answered, _) = callbox_tests::phones::callbox(&server.uri("100"), &heard, &[]).await?;
    let (refused, said) = callbox_tests::phones::callbox(&server.uri("200"), &heard, &[]).await?;
    assert!(answered && !refused && said.contains("403"), "{said}");
    Ok(())
}
