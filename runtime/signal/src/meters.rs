//! What is counted.

use callbox_sip::Message;
use metrics::{Counter, Gauge, counter, gauge};

pub(crate) struct Meters {
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) dropped: Dropped,
    pub(crate) legs: Gauge,
    pub(crate) transactions: Gauge,
    pub(crate) locating: Gauge,
    /// By method, in the order of [`METHODS`]; all others last.
    requests: Vec<Counter>,
    /// By the first digit of the status.
    responses: Vec<Counter>,
}

/// Why something went no further.
pub(crate) struct Dropped {
    pub(crate) broken: Counter,
    pub(crate) stranger: Counter,
    pub(crate) flood: Counter,
    pub(crate) not_sent: Counter,
    pub(crate) connections_full: Counter,
    pub(crate) connects: Counter,
    pub(crate) handshake: Counter,
    pub(crate) to_ourselves: Counter,
    pub(crate) egress: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        let dropped = |reason: &'static str| counter!("sip_dropped_total", "reason" => reason);
        Self {
            received: counter!("sip_messages_total", "direction" => "in"),
            sent: counter!("sip_messages_total", "direction" => "out"),
            dropped: Dropped {
                broken: dropped("broken"),
                stranger: dropped("not-allowed"),
                flood: dropped("flood"),
                not_sent: dropped("not-sent"),
                connections_full: dropped("connections-full"),
                connects: dropped("connects"),
                handshake: dropped("handshake"),
                to_ourselves: dropped("to-ourselves"),
                egress: dropped("egress"),
            },
            legs: gauge!("sip_legs"),
            transactions: gauge!("sip_transactions"),
            locating: gauge!("sip_locating"),
            requests: METHODS
                .iter()
                .chain(&["other"])
                .map(|&method| counter!("sip_requests_total", "method" => method))
                .collect(),
            responses: CLASSES.iter().map(|&class| counter!("sip_responses_total", "class" => class)).collect(),
        }
    }

    pub(crate) fn count(&self, message: &Message) {
        match (message.method(), message.status()) {
            (Some(method), _) => {
                let known = METHODS.iter().position(|name| *name == method.as_str());
                self.requests[known.unwrap_or(METHODS.len())].increment(1);
            }
            (None, Some(status)) => self.responses[usize::from(status / 100).min(6)].increment(1),
            (None, None) => {}
        }
    }
}

const METHODS: &[&str] = &[
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "INFO",
    "UPDATE",
    "REGISTER",
    "PRACK",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "MESSAGE",
];
const CLASSES: &[&str] = &["none", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];
