//! What a REGISTER is answered.

use std::time::Duration;

use crate::agent::Answered;
use crate::header::Name;
use crate::registrar::binding::Entry;
use crate::registrar::gruu::{self, Gruus};
use crate::registrar::request::Request;
use crate::registrar::{Account, date};
use crate::transaction::Time;

/// Step 8: all contacts that stand, with what is left to each.
pub(super) fn granted(
    now: Time,
    wall: Duration,
    account: Account<'_>,
    read: &Request,
    entries: &[Entry],
    flow_timer: Option<Duration>,
    mut gruus: Option<&mut Gruus>,
) -> Answered {
    let mut headers = Vec::new();
    let mut header = |name: &str, value: String| headers.push((name.to_owned(), value));
    for entry in entries {
        let binding = &entry.binding;
        let mut value = format!("<{}>;expires={}", binding.contact, seconds_left(entry, now));
        if binding.q_permille != 1_000 {
            value.push_str(&format!(";q=0.{:03}", binding.q_permille));
        }
        if let Some(instance) = &binding.instance {
            value.push_str(&format!(";+sip.instance=\"<{instance}>\""));
            if let Some(gruus) = &mut gruus {
                // RFC 5627 5.2.
                value.push_str(&format!(";pub-gruu=\"{}\"", gruu::public(account, instance)));
                if let Some(temporary) = gruus.seal(wall, account, binding) {
                    value.push_str(&format!(";temp-gruu=\"{temporary}\""));
                }
            }
        }
        if let Some(reg_id) = binding.reg_id {
            value.push_str(&format!(";reg-id={reg_id}"));
        }
        header(Name::Contact.long(), value);
    }
    if read.echoes_path {
        for path in &read.path {
            header("Path", path.clone());
        }
    }
    if read.is_outbound {
        header(Name::Require.long(), "outbound".to_owned());
    }
    if let Some(timer) = flow_timer {
        header("Flow-Timer", timer.as_secs().to_string());
    }
    header(Name::Supported.long(), "path, gruu, outbound".to_owned());
    // Phones without a clock of their own take it from here.
    header(Name::Date.long(), date::written(wall));
    Answered { status: 200, reason: "OK".to_owned(), headers }
}

pub(super) fn refused(status: u16, reason: &str) -> Answered {
    Answered { status, reason: reason.to_owned(), headers: Vec::new() }
}

pub(super) fn unsupported(tags: &str) -> Answered {
    with(420, "Bad Extension", Name::Unsupported, tags)
}

pub(super) fn too_brief(least_s: u32) -> Answered {
    with(423, "Interval Too Brief", Name::MinExpires, &least_s.to_string())
}

/// The node is full. Here the phone does well to try another one.
pub(super) fn busy() -> Answered {
    with(503, "Registrar Is Full", Name::RetryAfter, "60")
}

fn with(status: u16, reason: &str, name: Name, value: &str) -> Answered {
    Answered { headers: vec![(name.long().to_owned(), value.to_owned())], ..refused(status, reason) }
}

/// Rounded up, and never 0: it stands.
fn seconds_left(entry: &Entry, now: Time) -> u64 {
    let left = entry.expires_at.saturating_sub(now);
    (left.as_millis().div_ceil(1_000) as u64).max(1)
}
