//! Transfers that phones ask for and that modules ask of phones, and legs that go from call to call.

use std::time::Duration;

use anyhow::Result;
use callbox_tests::address;
use callbox_tests::agent::Agent;
use callbox_tests::ear::Ear;
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, faults, lines, text};
use serde_json::{Value, json};

/// What each of three phones speaks.
const ANNA: u32 = 1_000;
const BEN: u32 = 1_400;
const CARLA: u32 = 1_900;

struct House {
    server: Server,
    tenant: Tenant,
    anna: Agent,
    ben: Agent,
    carla: Agent,
}

impl House {
    async fn build() -> Result<Self> {
        let server = Server::start_open("").await?;
        let tenant = Tenant::make(&server, "acme").await?;
        let phone = |name: &str, hz| {
            let folder = server.scratch(name);
            async move { Agent::start(address::fresh(), &folder, hz).await }
        };
        let (anna, ben, carla) = tokio::try_join!(phone("anna", ANNA), phone("ben", BEN), phone("carla", CARLA))?;
        Ok(Self { server, tenant, anna, ben, carla })
    }

    async fn number(&self, number: &str, behaviour: &str, settings: Value) -> Result<String> {
        self.tenant.calling_behaviours(number, &[behaviour], settings, on_loopback()).await
    }

    fn dial(&self, number: &str) -> String {
        format!("call {}", self.server.uri(number))
    }
}

fn on_loopback() -> Value {
    json!({ "networks": ["127.0.0.0/8"] })
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn heard_s(ear: &Ear, hz: u32) -> f32 {
    ear.tone(hz as f32).iter().map(|stretch| stretch.length_s()).sum()
}

#[track_caller]
fn hears(ear: &Ear, hz: u32) {
    let heard = heard_s(ear, hz);
    assert!(heard > 0.8, "{hz} Hz was heard for {heard:.2} s of {:.2}", ear.length_s());
}

/// What two phones say to each other without us: PJSUA may lose its tone when it settles on a codec.
#[track_caller]
fn hears_at_all(ear: &Ear, hz: u32) {
    let heard = heard_s(ear, hz);
    assert!(heard > 0.2, "{hz} Hz was heard for {heard:.2} s of {:.2}", ear.length_s());
}

/// The one who calls sends the one who is called to a third, and is sent away; and the other way
/// round.
#[tokio::test]
async fn a_phone_transfers_without_asking_first() -> Result<()> {
    let mut house = House::build().await?;
    house.number("100", "refer-in", json!({ "targets": house.ben.uri() })).await?;
    let (dial, carla) = (house.dial("100"), house.carla.uri());
    house.anna.tell(&dial).await?;
    house.anna.until("1 answered").await?;
    pause(1_000).await;
    house.anna.tell(&format!("refer 1 {carla}")).await?;
    house.carla.until("1 answered").await?;
    house.anna.until("1 ended").await?;
    pause(3_000).await;
    house.carla.tell("hangup 1").await?;
    house.ben.until("1 ended 200").await?;
    let (ben, carla_ear) = (house.ben.heard(1).await?, house.carla.heard(1).await?);
    hears(&ben, ANNA);
    hears(&ben, CARLA);
    hears(&carla_ear, BEN);
    let (_, events) = house.tenant.call_of("100").await?;
    let said = lines(&events);
    assert!(said.contains(&"refer accepted") && said.contains(&"leg 2 talks with leg 3"), "{said:?}");

    house.anna.tell(&dial).await?;
    house.anna.until("2 answered").await?;
    pause(700).await;
    house.ben.tell(&format!("refer 2 {carla}")).await?;
    house.carla.until("2 answered").await?;
    house.ben.until("2 ended").await?;
    pause(3_000).await;
    house.anna.tell("hangup 2").await?;
    house.carla.until("2 ended 200").await?;
    hears(&house.anna.heard(2).await?, CARLA);
    hears(&house.carla.heard(2).await?, ANNA);
    Ok(())
}

/// A module refuses a transfer, or has no word for it; the two talk on.
#[tokio::test]
async fn a_transfer_is_refused() -> Result<()> {
    let mut house = House::build().await?;
    house.number("100", "refer-refuse", json!({ "targets": house.ben.uri() })).await?;
    house.number("101", "refer-ignore", json!({ "targets": house.ben.uri() })).await?;
    let carla = house.carla.uri();
    for (call, number) in [(1, "100"), (2, "101")] {
        let dial = house.dial(number);
        house.anna.tell(&dial).await?;
        house.anna.until(&format!("{call} answered")).await?;
        pause(500).await;
        let asked = tokio::time::Instant::now();
        house.anna.tell(&format!("refer {call} {carla}")).await?;
        house.anna.until(&format!("{call} transfer 603")).await?;
        let waited = asked.elapsed();
        assert_eq!(number == "101", waited > Duration::from_secs(4), "{number}: {waited:?}");
        pause(1_000).await;
        house.anna.tell(&format!("hangup {call}")).await?;
        hears(&house.anna.heard(call).await?, BEN);
        house.ben.until(&format!("{call} ended 200")).await?;
    }
    assert!(!house.carla.has_said("1 "), "{}", house.carla.said());
    Ok(())
}

/// Anna talks with Ben, and with Carla on another line; then she joins the two and is gone. Both of
/// her calls are callbox's.
#[tokio::test]
async fn transfer() -> Result<()> {
    let mut house = House::build().await?;
    house.tenant.upload("transfer").await?;
    for (number, phone) in [("100", &house.ben), ("101", &house.carla)] {
        let config = json!({ "target": phone.uri() });
        house.tenant.calling_application(number, &["transfer"], config, on_loopback()).await?;
    }
    for (call, number) in [(1, "100"), (2, "101")] {
        let dial = house.dial(number);
        house.anna.tell(&dial).await?;
        house.anna.until(&format!("{call} answered")).await?;
        pause(1_000).await;
    }
    house.anna.tell("replace 1 2").await?;
    house.anna.until("1 ended").await?;
    house.anna.until("2 ended").await?;
    pause(3_000).await;
    house.ben.tell("hangup 1").await?;
    house.carla.until("1 ended").await?;
    let (ben, carla) = (house.ben.heard(1).await?, house.carla.heard(1).await?);
    hears(&ben, CARLA);
    hears(&carla, BEN);
    for number in ["100", "101"] {
        let (_, events) = house.tenant.call_of(number).await?;
        assert!(faults(&events).is_empty(), "{number}: {events:?}");
    }
    Ok(())
}

/// A module sends the caller's phone elsewhere, by REFER; and to the phone that it has just called,
/// in the call's own place.
#[tokio::test]
async fn a_module_asks_a_phone_to_call_another() -> Result<()> {
    let mut house = House::build().await?;
    house.number("100", "refer-out", json!({ "target": house.carla.uri() })).await?;
    house.number("101", "refer-to-leg", json!({ "targets": house.ben.uri() })).await?;
    let dial = house.dial("100");
    house.anna.tell(&dial).await?;
    house.carla.until("1 answered").await?;
    house.anna.until("1 ended").await?;
    pause(3_000).await;
    house.carla.tell("hangup 1").await?;
    hears_at_all(&house.carla.heard(1).await?, ANNA);
    let (_, events) = house.tenant.call_of("100").await?;
    assert!(lines(&events).contains(&"refer 200"), "{:?}", lines(&events));

    // Her calls are counted on: the third is to callbox, the fourth to Ben.
    let dial = house.dial("101");
    house.anna.tell(&dial).await?;
    house.ben.until("1 is replaced by 2").await?;
    pause(3_000).await;
    house.ben.tell("hangup 2").await?;
    hears_at_all(&house.ben.heard(2).await?, ANNA);
    let (_, events) = house.tenant.call_of("101").await?;
    assert!(lines(&events).contains(&"refer 200"), "{:?}", lines(&events));
    Ok(())
}

/// Carla takes Anna's place with callbox, whose other end is Ben: an INVITE with Replaces. She was
/// told of that dialog by Anna, phone to phone.
#[tokio::test]
async fn a_phone_takes_the_place_of_another() -> Result<()> {
    let mut house = House::build().await?;
    house.number("100", "dial-bridge", json!({ "targets": house.ben.uri() })).await?;
    let (dial, carla) = (house.dial("100"), house.carla.uri());
    house.anna.tell(&dial).await?;
    house.anna.until("1 answered").await?;
    house.anna.tell(&format!("call {carla}")).await?;
    house.anna.until("2 answered").await?;
    pause(1_000).await;
    house.anna.tell("replace 2 1").await?;
    house.carla.until("2 answered").await?;
    house.anna.until("1 ended").await?;
    pause(3_000).await;
    house.carla.tell("hangup 2").await?;
    house.ben.until("1 ended 200").await?;
    hears(&house.ben.heard(1).await?, CARLA);
    hears(&house.carla.heard(2).await?, BEN);
    let (call, events) = house.tenant.call_of("100").await?;
    assert_eq!((&call["status"], faults(&events).len()), (&json!("completed"), 0), "{call}");
    Ok(())
}

/// A leg goes from one call to another, and messages go the same way. Lanes take turns: the call
/// that is given away is on another than the adopter's.
#[tokio::test]
async fn a_leg_is_given_to_another_call() -> Result<()> {
    let mut house = House::build().await?;
    house.number("100", "adopt", json!({})).await?;
    let dial = house.dial("100");
    house.anna.tell(&dial).await?;
    house.anna.until("1 answered").await?;
    let adopter = text(&house.tenant.call_in_progress().await?, "id")?;
    house.number("101", "send-to", json!({ "to": adopter, "text": "{\"hello\":\"Anna\"}" })).await?;
    house.number("102", "give-to", json!({ "to": adopter })).await?;
    let dial = house.dial("101");
    for call in [1, 2] {
        house.ben.tell(&dial).await?;
        house.ben.until(&format!("{call} ended")).await?;
    }
    let dial = house.dial("102");
    house.carla.tell(&dial).await?;
    house.carla.until("1 answered").await?;
    pause(2_500).await;
    let (_, events) = house.tenant.call_of("102").await?;
    assert!(lines(&events).contains(&"gave leg 1"), "{:?}", lines(&events));
    assert!(!house.carla.has_said("1 ended"), "{events:?}");
    house.anna.tell("hangup 1").await?;
    house.carla.until("1 ended 200").await?;
    hears(&house.anna.heard(1).await?, CARLA);
    hears(&house.carla.heard(1).await?, ANNA);
    let (_, events) = house.tenant.call_of("100").await?;
    let said = lines(&events);
    assert!(said.contains(&"bridged") && said.iter().any(|line| line.starts_with("given leg ")), "{said:?}");
    let messages = said.iter().filter(|line| line.starts_with("message from") && line.contains("Anna"));
    assert_eq!(messages.count(), 2, "{said:?}");
    let (_, events) = house.tenant.call_of("101").await?;
    assert!(lines(&events).contains(&"sent"), "{:?}", lines(&events));
    Ok(())
}
