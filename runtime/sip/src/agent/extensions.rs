//! Extensions: which are spoken here, which the far end speaks, and what is answered to those that
//! nobody here knows (RFC 3261 8.2.2.3, 20.5, 20.37).

use crate::header::Name;
use crate::message::{Message, Method};

/// What is understood here, for Allow.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY";

/// For Supported.
pub(super) const SUPPORTED: &str = "100rel, timer, replaces, norefersub";

pub(super) const ACCEPT: &str = "application/sdp, multipart/mixed, application/dtmf-relay, application/dtmf";

/// Event packages (RFC 6665): a REFER's alone.
pub(super) const EVENTS: &str = "refer";

/// What the far end can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) update: Can,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Can {
    Yes,
    /// It did not say so.
    #[default]
    Unsaid,
}

impl Options {
    /// What is not said in this message stays as it was.
    pub(crate) fn learn(&mut self, message: &Message) {
        if message.count(Name::Allow) > 0 {
            self.update = Can::from(has(message, Name::Allow, "UPDATE"));
        }
    }
}

impl From<bool> for Can {
    fn from(can: bool) -> Self {
        if can { Self::Yes } else { Self::Unsaid }
    }
}

/// In Supported or Require.
pub(super) fn supports(message: &Message, tag: &str) -> bool {
    has(message, Name::Supported, tag) || requires(message, tag)
}

pub(super) fn requires(message: &Message, tag: &str) -> bool {
    has(message, Name::Require, tag)
}

fn has(message: &Message, name: Name, word: &str) -> bool {
    message.values(name).any(|value| crate::scan::list(&value).any(|one| one.eq_ignore_ascii_case(word.as_bytes())))
}

/// What a request demands and nobody here knows, for Unsupported.
pub(super) fn unsupported(message: &Message) -> Option<String> {
    if message.count(Name::Require) == 0 {
        return None;
    }
    // Path means something in a REGISTER alone (RFC 3327), as outbound does (RFC 5626) and GRUU.
    let more: &[&str] = match message.method() {
        Some(Method::Register) => &["path", "outbound", "gruu"],
        _ => &[],
    };
    let known = |tag: &&String| {
        let is_it = |one: &str| one.eq_ignore_ascii_case(tag);
        SUPPORTED.split(", ").any(is_it) || more.iter().any(|one| is_it(one))
    };
    let unknown: Vec<_> = message.list(Name::Require).into_iter().filter(|tag| !known(&tag)).collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
}
