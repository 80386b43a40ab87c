//! Where an application's calls may go, calls that are begun over REST, and what was bought.

use std::collections::BTreeSet;

use callbox_model::{ApplicationId, CallId, Header, Limits};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address::{MOST, is_host, is_prefix};
use super::applications::is_header_name;
use super::check::shown;
use super::{Fields, Time};
use crate::backend::{NewCall, OutboundToday};
use crate::problem::Problem;

/// Where calls that an application begins may go. Empty: nowhere but to the tenant's own users.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outbound {
    /// The name of the trunk that carries numbers.
    #[serde(default)]
    trunk: Option<String>,
    /// Prefixes of numbers.
    #[serde(default)]
    #[schema(max_items = 256, example = json!(["+49", "+4420"]))]
    numbers: Vec<String>,
    /// Hosts of SIP URIs. `*.example.org` is every host below.
    #[serde(default)]
    #[schema(max_items = 256, example = json!(["example.org", "*.example.org"]))]
    domains: Vec<String>,
    /// Addresses of SIP URIs, and what names among `domains` may resolve to when something is here.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 256, example = json!(["192.0.2.0/24"]))]
    networks: Vec<IpNet>,
    /// Where sound may be sent before it came from there, besides where signalling is.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 256)]
    media_networks: Vec<IpNet>,
    /// What may stand in From: numbers and SIP URIs, the first by default. Empty: the trunk's, or
    /// nobody's.
    #[serde(default)]
    #[schema(max_items = 256)]
    caller_ids: Vec<String>,
}

impl Outbound {
    pub(crate) fn check(mut self, fields: &mut Fields) -> callbox_model::Outbound {
        if let Some(trunk) = &self.trunk {
            fields.hold_name("outbound.trunk", trunk);
        }
        for (field, length) in [
            ("outbound.numbers", self.numbers.len()),
            ("outbound.domains", self.domains.len()),
            ("outbound.caller_ids", self.caller_ids.len()),
        ] {
            fields.hold(field, length <= MOST, || format!("has {length}; {MOST} is the most"));
        }
        for (place, prefix) in self.numbers.iter().enumerate() {
            fields.hold(&format!("outbound.numbers[{place}]"), is_prefix(prefix), || {
                format!("`{}` is no prefix of a number: expected `+49` for example", shown(prefix))
            });
        }
        for (place, domain) in self.domains.iter_mut().enumerate() {
            domain.make_ascii_lowercase();
            let host = domain.strip_prefix("*.").unwrap_or(domain.as_str());
            fields.hold(&format!("outbound.domains[{place}]"), is_host(host), || {
                format!("`{}` is neither a host nor `*.` and a host", shown(domain))
            });
        }
        fields.hold_networks("outbound.networks", &self.networks);
        fields.hold_networks("outbound.media_networks", &self.media_networks);
        for (place, caller_id) in self.caller_ids.iter().enumerate() {
            fields.hold_caller_id(&format!("outbound.caller_ids[{place}]"), caller_id);
        }
        callbox_model::Outbound {
            trunk: self.trunk,
            numbers: self.numbers,
            domains: self.domains,
            networks: self.networks,
            media_networks: self.media_networks,
            caller_ids: self.caller_ids,
        }
    }
}

impl From<callbox_model::Outbound> for Outbound {
    fn from(outbound: callbox_model::Outbound) -> Self {
        Self {
            trunk: outbound.trunk,
            numbers: outbound.numbers,
            domains: outbound.domains,
            networks: outbound.networks,
            media_networks: outbound.media_networks,
            caller_ids: outbound.caller_ids,
        }
    }
}

/// A header of the INVITE.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallHeader {
    #[schema(max_length = 64)]
    name: String,
    #[schema(max_length = 1024)]
    value: String,
}

/// A call to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallBody {
    /// Whose modules have the call when it is answered, and whose `outbound` says where it may go.
    #[schema(value_type = String)]
    application: ApplicationId,
    /// A number (`+4930123456`), a SIP URI, or a user's address (`anna@example.org`).
    #[schema(min_length = 1, max_length = 255)]
    to: String,
    /// A number or a SIP URI among the application's `caller_ids`. Without it, the first of them.
    from: Option<String>,
    /// How long it may ring. Default 60,000.
    #[schema(minimum = 1000, maximum = 600_000)]
    timeout_ms: Option<u32>,
    /// Those that begin with `X-`, and those that the application lists.
    #[serde(default)]
    #[schema(max_items = 32)]
    headers: Vec<CallHeader>,
    /// Any JSON; the module gets it as text.
    input: Option<serde_json::Value>,
}

impl CallBody {
    pub(crate) fn check(self) -> Result<NewCall, Problem> {
        let mut fields = Fields::default();
        fields.hold("to", is_target(&self.to), || {
            format!("`{}` is neither a number, nor a SIP URI, nor a user's address", shown(&self.to))
        });
        if let Some(from) = &self.from {
            fields.hold_caller_id("from", from);
        }
        let timeout = self.timeout_ms.unwrap_or(TIMEOUT_MS);
        fields.hold("timeout_ms", (1_000..=600_000).contains(&timeout), || {
            format!("{timeout} is not between 1,000 and 600,000")
        });
        fields.hold("headers", self.headers.len() <= 32, || "32 headers are the most".to_owned());
        for (place, header) in self.headers.iter().enumerate() {
            fields.hold(&format!("headers[{place}].name"), is_header_name(&header.name), || {
                format!("`{}` is no name of a SIP header", shown(&header.name))
            });
            // A line end would begin a header that nobody allowed.
            let is_fine = header.value.len() <= 1_024 && !header.value.chars().any(char::is_control);
            fields.hold(&format!("headers[{place}].value"), is_fine, || {
                "must have at most 1,024 bytes, and no control characters".to_owned()
            });
        }
        let input = self.input.map(|input| input.to_string());
        fields.hold_length("input", input.as_deref().unwrap_or_default().len(), INPUT_BYTES);
        fields.done()?;
        let header = |header: CallHeader| Header { name: header.name, value: header.value };
        Ok(NewCall {
            application: self.application,
            to: self.to,
            from: self.from,
            timeout,
            headers: self.headers.into_iter().map(header).collect(),
            input,
        })
    }
}

/// What could be one; whether it is, and may be called, is the node's to say.
fn is_target(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\,".contains(&byte))
}

/// A call that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Placed {
    #[schema(value_type = String, example = "call_01arz3ndektsv4rrffq69g5fav")]
    pub(crate) id: CallId,
}

/// What a tenant has bought of its trunks today, and where it stops. Days are UTC; a call counts
/// for the day on which it began.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutboundUsage {
    /// The midnight with which the day began.
    day: Time,
    /// Begun minutes.
    minutes: u64,
    /// In millionths of the tenant's currency.
    spend_micros: u64,
    /// Calling codes that were ever called.
    #[schema(value_type = Vec<String>)]
    codes: BTreeSet<String>,
    /// Of these, the ones that were called for the first time today.
    #[schema(value_type = Vec<String>)]
    new_codes: BTreeSet<String>,
    /// Dialled legs at this moment.
    legs: u32,
    limits: OutboundLimits,
}

/// Explained at `/v1/limits`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutboundLimits {
    outbound_legs: u32,
    outbound_legs_per_minute: u32,
    outbound_minutes_per_day: u32,
    outbound_spend_micros_per_day: u64,
    outbound_new_prefixes_per_day: u32,
}

impl OutboundUsage {
    pub(crate) fn new(today: OutboundToday, limits: &Limits) -> Self {
        Self {
            day: today.day.into(),
            minutes: today.minutes,
            spend_micros: today.spend_micros,
            codes: today.codes,
            new_codes: today.new_codes,
            legs: today.legs,
            limits: OutboundLimits {
                outbound_legs: limits.outbound_legs,
                outbound_legs_per_minute: limits.outbound_legs_per_minute,
                outbound_minutes_per_day: limits.outbound_minutes_per_day,
                outbound_spend_micros_per_day: limits.outbound_spend_micros_per_day,
                outbound_new_prefixes_per_day: limits.outbound_new_prefixes_per_day,
            },
        }
    }
}

/// As long as a `dial` waits.
const TIMEOUT_MS: u32 = 60_000;
/// As much as a message.
const INPUT_BYTES: usize = 64 << 10;
