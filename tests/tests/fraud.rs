//! A module that dials and dials: what it may spend is bounded, and its tenant is told.

use std::time::Duration;

use anyhow::{Result, bail};
use callbox_tests::address;
use callbox_tests::agent::Agent;
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, text};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A tenant whose calls are bought of a phone that takes whatever comes.
struct Shop {
    tenant: Tenant,
    carrier: Agent,
    application: String,
    _server: Server,
}

impl Shop {
    async fn open(limits: &str) -> Result<Self> {
        let server = Server::start_open(&format!("[limits]\n{limits}\n")).await?;
        let tenant = Tenant::make(&server, "acme").await?;
        let carrier = Agent::start(address::fresh(), &server.scratch("carrier"), 1_000).await?;
        let uri = format!("sip:{}:5060", carrier.address);
        let body = json!({ "name": "carrier", "uri": uri, "minute_price_micros": 100_000 });
        tenant.rest.post("/v1/trunks", body).await?;
        // Every country there is.
        let prefixes: Vec<_> = (1..=9).map(|digit| format!("+{digit}")).collect();
        let outbound = json!({ "trunk": "carrier", "numbers": prefixes });
        let application = tenant.calling_behaviours("100", &["music"], json!({}), outbound).await?;
        Ok(Self { tenant, carrier, application, _server: server })
    }

    async fn dial(&self, to: &str) -> Result<(StatusCode, Value)> {
        let body = json!({ "application": self.application, "to": to });
        self.tenant.rest.ask(Method::POST, "/v1/calls", Some(&body)).await
    }

    async fn talk(&mut self, number: u32, to: &str) -> Result<()> {
        let (status, answer) = self.dial(to).await?;
        if !status.is_success() {
            bail!("{to}: {status} {answer}");
        }
        self.carrier.until(&format!("{number} answered")).await?;
        self.carrier.tell(&format!("hangup {number}")).await?;
        self.carrier.until(&format!("{number} ended")).await
    }

    /// This limit, and no other.
    async fn refuses(&self, to: &str, limit: &str) -> Result<()> {
        let (status, problem) = self.dial(to).await?;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{to}: {problem}");
        assert!(problem.to_string().contains(limit), "{to}: {problem}");
        self.tenant.told_of("limit.reached", limit).await?;
        Ok(())
    }
}

#[tokio::test]
async fn so_many_legs_a_minute() -> Result<()> {
    let mut shop = Shop::open("outbound_legs_per_minute = 3").await?;
    for number in 1..=3 {
        shop.talk(number, "+4930123456").await?;
    }
    shop.refuses("+4930123456", "outbound_legs_per_minute").await?;
    assert!(!shop.carrier.has_said("4 "), "{}", shop.carrier.said());
    Ok(())
}

/// A minute counts when it begins; and what it costs.
#[tokio::test]
async fn so_many_minutes_and_so_much_money_a_day() -> Result<()> {
    let mut shop = Shop::open("outbound_minutes_per_day = 2").await?;
    shop.talk(1, "+4930123456").await?;
    shop.talk(2, "+4930123456").await?;
    shop.refuses("+4930123456", "outbound_minutes_per_day").await?;
    let mut shop = Shop::open("outbound_spend_micros_per_day = 150000").await?;
    shop.talk(1, "+4930123456").await?;
    shop.refuses("+4930123456", "outbound_spend_micros_per_day").await
}

#[tokio::test]
async fn so_many_new_countries_a_day() -> Result<()> {
    let mut shop = Shop::open("outbound_new_prefixes_per_day = 2").await?;
    shop.talk(1, "+4930123456").await?;
    shop.talk(2, "+442071234567").await?;
    shop.refuses("+37167123456", "outbound_new_prefixes_per_day").await?;
    // Those it knows are as good as before.
    shop.talk(3, "+4989123456").await?;
    let bought = shop.tenant.rest.get(&format!("/v1/tenants/{}/outbound", shop.tenant.id)).await?;
    assert_eq!(bought["new_codes"], json!(["44", "49"]), "{bought}");
    Ok(())
}

/// Two talk at once, and there is one minute: who answers second is hung up.
#[tokio::test]
async fn a_leg_that_would_begin_a_minute_too_many_is_hung_up() -> Result<()> {
    let mut shop = Shop::open("outbound_minutes_per_day = 1").await?;
    shop.carrier.tell("policy 200 1500").await?;
    let first = shop.dial("+4930123456").await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = shop.dial("+4930123457").await?;
    assert!(first.0.is_success() && second.0.is_success(), "{first:?} {second:?}");
    let second = text(&second.1, "id")?;
    shop.carrier.until("1 answered").await?;
    shop.carrier.until("2 ended").await?;
    shop.tenant.told_of("limit.reached", "outbound_minutes_per_day").await?;
    assert!(!shop.carrier.has_said("1 ended"), "{}", shop.carrier.said());
    shop.carrier.tell("hangup 1").await?;
    shop.tenant.ended_calls(2).await?;
    let call = shop.tenant.rest.get(&format!("/v1/calls/{second}")).await?;
    assert_eq!(call["cause"]["remote"], false, "{call}");
    Ok(())
}
