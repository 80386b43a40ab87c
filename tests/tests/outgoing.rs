//! Calls that modules and the API begin: a phone calls callbox, callbox calls another, and both are
//! listened to.

use std::time::Duration;

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::agent::Agent;
use callbox_tests::ear::Ear;
use callbox_tests::phones;
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, faults, items, lines, text, types};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// What the caller speaks, and what those who are called do.
const CALLER: u32 = 1_000;
const CALLED: u32 = 1_400;

struct House {
    server: Server,
    tenant: Tenant,
}

impl House {
    async fn build() -> Result<Self> {
        Self::build_with("").await
    }

    async fn build_with(extra: &str) -> Result<Self> {
        let server = Server::start_open(extra).await?;
        let tenant = Tenant::make(&server, "acme").await?;
        Ok(Self { server, tenant })
    }

    async fn phone(&self, name: &str, hz: u32) -> Result<Agent> {
        Agent::start(address::fresh(), &self.server.scratch(name), hz).await
    }

    /// The behaviour on a number, with these settings; it may call whatever is on loopback.
    async fn number(&self, number: &str, behaviours: &[&str], settings: Value) -> Result<String> {
        self.tenant.calling_behaviours(number, behaviours, settings, on_loopback()).await
    }

    /// A caller who is not answered: what callbox's own phone printed, and what the module wrote.
    async fn call_in_vain(&self, number: &str) -> Result<(String, Vec<String>)> {
        let heard = self.server.scratch(&format!("in-vain-{number}.wav"));
        let (answered, said) = phones::callbox(&self.server.uri(number), &heard, &["--seconds", "20"]).await?;
        let (_, events) = self.tenant.call_of(number).await?;
        assert!(!answered, "{number} was answered: {said}\n{:?}", lines(&events));
        Ok((said, lines(&events).into_iter().map(str::to_owned).collect()))
    }
}

fn on_loopback() -> Value {
    json!({ "networks": ["127.0.0.0/8"] })
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// The longest stretch of a tone.
fn heard_s(ear: &Ear, hz: u32) -> f32 {
    ear.longest(hz as f32).map_or(0.0, |stretch| stretch.length_s())
}

fn has(lines: &[impl AsRef<str>], line: &str) -> bool {
    lines.iter().any(|one| one.as_ref() == line)
}

#[tokio::test]
async fn two_phones_hear_each_other_and_either_hangs_up() -> Result<()> {
    let house = House::build().await?;
    let (mut caller, mut called) = tokio::try_join!(house.phone("caller", CALLER), house.phone("called", CALLED))?;
    house.number("100", &["dial-bridge"], json!({ "targets": called.uri() })).await?;
    house.number("101", &["dial-bridge"], json!({ "targets": called.uri(), "digits": "keep" })).await?;

    caller.tell(&format!("call {}", house.server.uri("100"))).await?;
    caller.until("1 answered").await?;
    pause(1_500).await;
    caller.tell("digit 1 5").await?;
    called.until("1 digit 5").await?;
    called.tell("digit 1 7").await?;
    caller.until("1 digit 7").await?;
    pause(1_000).await;
    caller.tell("hangup 1").await?;
    called.until("1 ended 200").await?;

    // The other way round, and digits that stay with the module.
    caller.tell(&format!("call {}", house.server.uri("101"))).await?;
    caller.until("2 answered").await?;
    pause(500).await;
    caller.tell("digit 2 4").await?;
    pause(1_500).await;
    called.tell("hangup 2").await?;
    caller.until("2 ended 200").await?;

    for (ear, hz) in [(caller.heard(1).await?, CALLED), (called.heard(1).await?, CALLER)] {
        assert!(heard_s(&ear, hz) > 1.2, "{hz} Hz: {:?}", ear.tone(hz as f32));
    }
    assert!(!called.has_said("2 digit"), "a digit that is kept went through:\n{}", called.said());
    let (call, events) = house.tenant.call_of("100").await?;
    assert_eq!((&call["status"], &call["cause"]["remote"]), (&json!("completed"), &json!(true)));
    assert!(has(&lines(&events), "bridged") && has(&lines(&events), "leg 2 answered"), "{:?}", lines(&events));
    let (_, events) = house.tenant.call_of("101").await?;
    assert!(has(&lines(&events), "leg 1 digit 4"), "{:?}", lines(&events));
    Ok(())
}

#[tokio::test]
async fn who_does_not_answer_is_named_to_the_module() -> Result<()> {
    let house = House::build().await?;
    let (mut busy, mut rings, mut declines) =
        tokio::try_join!(house.phone("busy", CALLED), house.phone("rings", CALLED), house.phone("declines", CALLED))?;
    busy.tell("policy 486").await?;
    rings.tell("policy 0").await?;
    declines.tell("policy 603 300").await?;
    // Nobody has this address.
    let nobody = format!("sip:nobody@{}:5099", address::fresh());
    house.number("100", &["dial-bridge"], json!({ "targets": busy.uri() })).await?;
    house.number("101", &["dial-bridge"], json!({ "targets": rings.uri(), "timeout-ms": "1500" })).await?;
    house.number("102", &["dial-bridge"], json!({ "targets": declines.uri() })).await?;
    house.number("103", &["dial-bridge"], json!({ "targets": nobody, "timeout-ms": "4000" })).await?;
    let (busy_lines, rings_lines, declines_lines, nobody_lines) = tokio::try_join!(
        house.call_in_vain("100"),
        house.call_in_vain("101"),
        house.call_in_vain("102"),
        house.call_in_vain("103"),
    )?;
    assert!(busy_lines.1.iter().any(|line| line.starts_with("leg 2 ended 486")), "{busy_lines:?}");
    assert!(rings_lines.1.iter().any(|line| line.starts_with("leg 2 ringing 180")), "{rings_lines:?}");
    assert!(rings_lines.1.iter().any(|line| line.starts_with("leg 2 ended 408")), "{rings_lines:?}");
    assert!(declines_lines.1.iter().any(|line| line.starts_with("leg 2 ended 603")), "{declines_lines:?}");
    let gone = ["leg 2 ended 408", "leg 2 ended 503", "leg 2 ended 480"];
    assert!(nobody_lines.1.iter().any(|line| gone.iter().any(|gone| line.starts_with(gone))), "{nobody_lines:?}");
    // The one who rang was told that nobody waits.
    rings.until("1 ended 487").await
}

#[tokio::test]
async fn several_are_called_at_once_or_one_by_one() -> Result<()> {
    let house = House::build().await?;
    let (mut caller, mut slow, mut quick, mut busy) = tokio::try_join!(
        house.phone("caller", CALLER),
        house.phone("slow", 1_800),
        house.phone("quick", CALLED),
        house.phone("busy", 2_200)
    )?;
    slow.tell("policy 0").await?;
    quick.tell("policy 200 700").await?;
    busy.tell("policy 486").await?;
    let both = format!("{}, {}", slow.uri(), quick.uri());
    let in_turn = format!("{}, {}", busy.uri(), quick.uri());
    house.number("100", &["dial-bridge"], json!({ "targets": both })).await?;
    house.number("101", &["dial-bridge"], json!({ "targets": in_turn, "order": "one-by-one" })).await?;
    caller.tell(&format!("call {}", house.server.uri("100"))).await?;
    caller.until("1 answered").await?;
    slow.until("1 ended 487").await?;
    pause(1_500).await;
    caller.tell("hangup 1").await?;
    quick.until("1 ended 200").await?;
    assert!(heard_s(&caller.heard(1).await?, CALLED) > 1.0);

    caller.tell(&format!("call {}", house.server.uri("101"))).await?;
    caller.until("2 answered").await?;
    pause(1_000).await;
    caller.tell("hangup 2").await?;
    quick.until("2 ended 200").await?;
    busy.until("1 ended 486").await?;
    assert!(heard_s(&caller.heard(2).await?, CALLED) > 0.6);
    assert!(!slow.has_said("2"), "{}", slow.said());
    Ok(())
}

/// The one who is called speaks before answering, and the caller hears it; and after so long a call
/// is over, whoever would talk on.
#[tokio::test]
async fn early_media_and_a_time_limit() -> Result<()> {
    let house = House::build().await?;
    let (mut caller, mut called) = tokio::try_join!(house.phone("caller", CALLER), house.phone("called", CALLED))?;
    called.tell("policy 200 2500 early").await?;
    let settings = json!({ "targets": called.uri(), "early-media": "yes", "time-limit-ms": "2000" });
    house.number("100", &["dial-bridge"], settings).await?;
    caller.tell(&format!("call {}", house.server.uri("100"))).await?;
    caller.until("1 early 183").await?;
    pause(1_500).await;
    assert!(!caller.has_said("1 answered"), "{}", caller.said());
    caller.until("1 ended 200").await?;
    called.until("1 ended 200").await?;
    let tone = heard_s(&caller.heard(1).await?, CALLED);
    assert!(tone > 3.0, "some 2.5 s before the answer and 2 after it; heard: {tone:.2} s");
    let (call, _) = house.tenant.call_of("100").await?;
    let connected_s = call["connected_us"].as_u64().context("no time")? as f32 / 1e6;
    assert!((1.5..3.5).contains(&connected_s), "{connected_s} s");
    assert_eq!(call["cause"]["remote"], false, "{call}");
    Ok(())
}

/// Two seconds of talk, two on hold, and talk again.
#[tokio::test]
async fn one_is_put_on_hold_and_taken_back() -> Result<()> {
    let house = House::build().await?;
    let (mut caller, called) = tokio::try_join!(house.phone("caller", CALLER), house.phone("called", CALLED))?;
    house.number("100", &["hold-resume"], json!({ "targets": called.uri() })).await?;
    caller.tell(&format!("call {}", house.server.uri("100"))).await?;
    caller.until("1 answered").await?;
    pause(6_500).await;
    caller.tell("hangup 1").await?;
    called.until("1 ended 200").await?;
    // Of some 6.5 s.
    for (who, ear, hz) in [("caller", caller.heard(1).await?, CALLED), ("called", called.heard(1).await?, CALLER)] {
        let stretches = ear.tone(hz as f32);
        let tone: f32 = stretches.iter().map(|stretch| stretch.length_s()).sum();
        assert!((3.0..5.3).contains(&tone), "the {who} heard {hz} Hz for {tone:.2} s at {stretches:?}");
    }
    Ok(())
}

/// Talk, a tone for each alone, and talk again.
#[tokio::test]
async fn two_are_parted_and_joined_again() -> Result<()> {
    let house = House::build().await?;
    let (mut caller, called) = tokio::try_join!(house.phone("caller", CALLER), house.phone("called", CALLED))?;
    house.number("100", &["part-rejoin"], json!({ "targets": called.uri() })).await?;
    caller.tell(&format!("call {}", house.server.uri("100"))).await?;
    caller.until("1 answered").await?;
    pause(6_000).await;
    caller.tell("hangup 1").await?;
    called.until("1 ended 200").await?;
    for (ear, talk, alone) in [(caller.heard(1).await?, CALLED, 440), (called.heard(1).await?, CALLER, 880)] {
        let (talk, alone) = (talk as f32, alone as f32);
        let middle = ear.longest(alone).with_context(|| format!("no {alone} Hz"))?;
        assert!(middle.length_s() > 1.6, "{alone} Hz: {middle:?}");
        let before: f32 =
            ear.tone(talk).iter().filter(|one| one.to_s <= middle.from_s + 0.1).map(|one| one.length_s()).sum();
        let after: f32 =
            ear.tone(talk).iter().filter(|one| one.from_s >= middle.to_s - 0.1).map(|one| one.length_s()).sum();
        assert!(before > 1.3 && after > 1.0, "{talk} Hz at {:?}, {alone} at {middle:?}", ear.tone(talk));
        let meanwhile =
            ear.tone(talk).iter().any(|one| one.from_s > middle.from_s + 0.1 && one.to_s < middle.to_s - 0.1);
        assert!(!meanwhile, "those who are parted hear each other: {:?}", ear.tone(talk));
    }
    Ok(())
}

#[tokio::test]
async fn digits_are_pressed_on_a_leg_that_was_called() -> Result<()> {
    let house = House::build().await?;
    let (mut caller, called) = tokio::try_join!(house.phone("caller", CALLER), house.phone("called", CALLED))?;
    house.number("100", &["send-digits-out"], json!({ "targets": called.uri(), "digits": "1w2#" })).await?;
    house.number("101", &["dial-bridge"], json!({ "targets": called.uri(), "send-digits": "95" })).await?;
    caller.tell(&format!("call {}", house.server.uri("100"))).await?;
    caller.until("1 ended 200").await?;
    caller.tell(&format!("call {}", house.server.uri("101"))).await?;
    caller.until("2 answered").await?;
    called.until("2 digit 5").await?;
    caller.tell("hangup 2").await?;
    called.until("2 ended 200").await?;
    let said = called.said();
    let digits: Vec<_> = said.lines().filter(|line| line.contains(" digit ")).collect();
    assert_eq!(digits, ["1 digit 1", "1 digit 2", "1 digit #", "2 digit 9", "2 digit 5"]);
    Ok(())
}

#[tokio::test]
async fn a_module_sees_its_legs() -> Result<()> {
    let house = House::build().await?;
    let called = house.phone("called", CALLED).await?;
    let settings = json!({ "targets": called.uri(), "header": "X-Order: 4711" });
    house.number("100", &["legs-report"], settings).await?;
    let heard = house.server.scratch("heard.wav");
    let (answered, said) = phones::callbox(&house.server.uri("100"), &heard, &["--seconds", "20"]).await?;
    assert!(answered, "{said}");
    let (_, events) = house.tenant.call_of("100").await?;
    let lines = lines(&events);
    for leg in ["stands: 1 ", "stands: 2 "] {
        let stands = lines.iter().any(|line| line.starts_with(leg) && line.ends_with(" answered"));
        assert!(stands, "{leg}: {lines:?}");
    }
    assert!(called.request(1)?.contains("X-Order: 4711"), "{}", called.request(1)?);
    Ok(())
}

/// `connect` of the SDK, and the story that is told with it.
#[tokio::test]
async fn forward() -> Result<()> {
    let house = House::build().await?;
    let (mut caller, mut called) = tokio::try_join!(house.phone("caller", CALLER), house.phone("called", CALLED))?;
    house.number("100", &["connect"], json!({ "targets": called.uri() })).await?;
    house.tenant.upload("forward").await?;
    let config = json!({ "target": called.uri() });
    house.tenant.calling_application("101", &["forward"], config, on_loopback()).await?;
    for (call, number) in [(1, "100"), (2, "101")] {
        caller.tell(&format!("call {}", house.server.uri(number))).await?;
        caller.until(&format!("{call} answered")).await?;
        pause(1_500).await;
        called.tell(&format!("hangup {call}")).await?;
        let tone = heard_s(&caller.heard(call).await?, CALLED);
        assert!(tone > 1.0, "{number}: {tone:.2} s");
        assert!(heard_s(&called.heard(call).await?, CALLER) > 1.0);
    }
    let (_, events) = house.tenant.call_of("100").await?;
    assert!(lines(&events).iter().any(|line| line.starts_with("over ")), "{:?}", lines(&events));
    called.tell("policy 486").await?;
    caller.tell(&format!("call {}", house.server.uri("101"))).await?;
    caller.until("3 answered").await?;
    let apology = caller.heard(3).await?.sounding_s();
    assert!(apology > 1.5, "{apology:.2} s of speech");
    let newest = house.tenant.calls_of("101", 2).await?.swap_remove(0);
    let events = house.tenant.timeline(&text(&newest, "id")?).await?;
    let said = events.iter().filter_map(|event| event["data"]["detail"].as_str());
    assert!(said.into_iter().any(|detail| detail.contains("The line is busy.")), "{:?}", types(&events));
    assert!(faults(&events).is_empty());
    Ok(())
}

/// The module that joined the two falls; neither hears anything of it.
async fn survives(behaviour: &str, code: &str) -> Result<()> {
    let house = House::build().await?;
    let (mut caller, called) = tokio::try_join!(house.phone("caller", CALLER), house.phone("called", CALLED))?;
    house.number("100", &[behaviour, "keep-bridge"], json!({ "targets": called.uri() })).await?;
    caller.tell(&format!("call {}", house.server.uri("100"))).await?;
    caller.until("1 answered").await?;
    pause(6_500).await;
    caller.tell("hangup 1").await?;
    called.until("1 ended 200").await?;
    let (_, events) = house.tenant.call_of("100").await?;
    assert_eq!(faults(&events), [code]);
    let lines = lines(&events);
    for line in [&format!("predecessor: {code}"), "checkpoint: bridged", "left: 1 answered", "left: 2 answered"] {
        assert!(has(&lines, line), "{line}: {lines:?}");
    }
    for (who, ear, hz) in [("caller", caller.heard(1).await?, CALLED), ("called", called.heard(1).await?, CALLER)] {
        // Some 3.1 s into it.
        let stretches = ear.tone(hz as f32);
        let is_whole = stretches.iter().any(|stretch| stretch.from_s < 2.3 && stretch.to_s > 4.2);
        assert!(is_whole, "the {who} heard {hz} Hz in pieces: {stretches:?}");
    }
    Ok(())
}

#[tokio::test]
async fn two_who_talk_survive_a_trap() -> Result<()> {
    survives("trap-on-bridge", "trap-unreachable").await
}

#[tokio::test]
async fn two_who_talk_survive_an_endless_loop() -> Result<()> {
    survives("loop-on-bridge", "out-of-cpu").await
}

#[tokio::test]
async fn a_call_is_begun_over_the_api() -> Result<()> {
    let house = House::build().await?;
    let (mut answers, mut busy) = tokio::try_join!(house.phone("answers", CALLED), house.phone("busy", CALLED))?;
    answers.tell("policy 200 300").await?;
    busy.tell("policy 486").await?;
    let caller_ids = ["+4930111111", "sip:office@example.org"];
    let outbound = json!({ "networks": ["127.0.0.0/8"], "caller_ids": caller_ids });
    let application = house.tenant.calling_behaviours("100", &["music"], json!({}), outbound).await?;
    let rest = &house.tenant.rest;
    let body = json!({
        "application": application, "to": answers.uri(), "from": caller_ids[1], "timeout_ms": 10_000,
        "headers": [{ "name": "X-Order", "value": "4711" }],
    });
    let taken = text(&rest.post("/v1/calls", body).await?, "id")?;
    let body = json!({ "application": application, "to": busy.uri() });
    let not_taken = text(&rest.post("/v1/calls", body).await?, "id")?;
    answers.until("1 answered").await?;
    pause(1_500).await;
    answers.tell("hangup 1").await?;
    assert!(heard_s(&answers.heard(1).await?, 440) > 1.0);
    house.tenant.ended_calls(2).await?;

    let call = rest.get(&format!("/v1/calls/{taken}")).await?;
    assert_eq!((&call["direction"], &call["status"]), (&json!("outbound"), &json!("completed")), "{call}");
    let runs = house.tenant.runs(&taken).await?;
    assert!(runs.iter().any(|run| run["module_name"] == "behaviours"), "{runs:?}");
    let request = answers.request(1)?;
    assert!(request.contains("X-Order: 4711"), "{request}");
    let from = |request: &str| request.lines().find(|line| line.starts_with("From:")).map(str::to_owned);
    assert!(from(&request).is_some_and(|from| from.contains("sip:office@example.org")), "{request}");
    // The first of them, when nobody asks for another.
    let request = busy.request(1)?;
    assert!(from(&request).is_some_and(|from| from.contains("sip:+4930111111@")), "{request}");

    let call = rest.get(&format!("/v1/calls/{not_taken}")).await?;
    assert_eq!((&call["status"], &call["cause"]["status"]), (&json!("not-answered"), &json!(486)), "{call}");
    let runs = house.tenant.runs(&not_taken).await?;
    assert!(runs.iter().all(|run| run["module_name"] != "behaviours"), "a module ran for nobody: {runs:?}");
    Ok(())
}

#[tokio::test]
async fn what_may_not_be_called_is_refused_by_its_code() -> Result<()> {
    let house = House::build_with("[limits]\noutbound_legs_per_minute = 2\n").await?;
    let (operator, rest) = (&house.tenant.operator, &house.tenant.rest);
    let mut phone = house.phone("phone", CALLED).await?;
    phone.tell("policy 486").await?;
    let body = json!({ "name": "acme.example" });
    operator.post(&format!("/v1/domains?tenant={}", house.tenant.id), body).await?;
    rest.post("/v1/users", json!({ "domain": "acme.example", "name": "anna" })).await?;
    let outbound = json!({ "networks": ["127.0.0.0/8"], "numbers": ["+49"], "caller_ids": ["+4930111111"] });
    let application = house.tenant.calling_behaviours("100", &["park"], json!({}), outbound).await?;
    for (body, status, code) in [
        (json!({ "to": "+15551234" }), StatusCode::FORBIDDEN, "destination-denied"),
        (json!({ "to": "sip:x@192.0.2.1" }), StatusCode::FORBIDDEN, "destination-denied"),
        (json!({ "to": "sip:x@else.example" }), StatusCode::FORBIDDEN, "destination-denied"),
        (json!({ "to": phone.uri(), "from": "+4930999999" }), StatusCode::FORBIDDEN, "caller-id-denied"),
        (json!({ "to": "+4930123456" }), StatusCode::CONFLICT, "no-trunk"),
        (json!({ "to": "anna@acme.example" }), StatusCode::CONFLICT, "user-not-registered"),
    ] {
        let mut body = body;
        body["application"] = json!(application);
        let (answered, problem) = rest.ask(Method::POST, "/v1/calls", Some(&body)).await?;
        assert_eq!((answered, problem["code"].as_str()), (status, Some(code)), "{body}: {problem}");
    }
    for _ in 0..2 {
        rest.post("/v1/calls", json!({ "application": application, "to": phone.uri() })).await?;
    }
    house.tenant.ended_calls(2).await?;
    let body = json!({ "application": application, "to": phone.uri() });
    let (status, problem) = rest.ask(Method::POST, "/v1/calls", Some(&body)).await?;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{problem}");
    assert!(problem.to_string().contains("outbound_legs_per_minute"), "{problem}");
    // And the tenant is told.
    house.tenant.told_of("limit.reached", "outbound_legs_per_minute").await?;
    assert!(items(&rest.get("/v1/calls").await?).len() == 2, "a call that is refused is none");
    Ok(())
}
