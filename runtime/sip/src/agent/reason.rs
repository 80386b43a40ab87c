//! Reason (RFC 3326): why a request ends something, in words and as a cause.

use crate::header::{Name, Params};
use crate::message::{Message, Method};
use crate::write::Writer;

/// `reason` is words, or the whole of a header: `Q.850;cause=17;text="busy"`.
pub(super) fn add_reason(writer: &mut Writer, method: &Method, reason: Option<&str>) {
    let Some(reason) = reason.filter(|reason| !reason.is_empty()) else { return };
    let plain: String = reason.chars().filter(|letter| !letter.is_control()).collect();
    if is_whole(&plain) {
        writer.header("Reason", &plain);
        return;
    }
    let words: String = plain.chars().filter(|letter| !matches!(letter, '"' | '\\')).collect();
    // An ended call cleared normally; one that is cancelled was given up by who placed it.
    let cause = if *method == Method::Cancel { "SIP;cause=487;text=\"" } else { "Q.850;cause=16;text=\"" };
    writer.parts("Reason", &[cause, &words, "\""]);
}

fn is_whole(reason: &str) -> bool {
    let Some((protocol, params)) = reason.split_once(';') else { return false };
    let is_protocol = ["SIP", "Q.850"].iter().any(|known| known.eq_ignore_ascii_case(protocol.trim()));
    is_protocol && Params::read(params.as_bytes()).is_some_and(|params| params.has("cause"))
}

/// Its words; without words, its protocol and cause.
pub(super) fn reason_text(message: &Message, otherwise: &str) -> String {
    let Some(reason) = message.text(Name::Reason) else { return otherwise.to_owned() };
    let Some((protocol, params)) = reason.split_once(';') else { return reason };
    let Some(params) = Params::read(params.as_bytes()) else { return reason };
    match (params.get("text"), params.get("cause")) {
        (Some(text), _) => text,
        (None, Some(cause)) => format!("{} {cause}", protocol.trim()),
        (None, None) => reason,
    }
}
