//! Replaces (RFC 3891): one dialog that takes another's place.

use std::fmt::{self, Write};

use super::Agent;
use super::border::LegId;
use super::leg::{Leg, Stage};
use crate::header::{Name, Params};
use crate::message::Message;
use crate::uri::{Uri, unescape};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaces {
    call_id: String,
    /// Of whom it is sent to.
    to_tag: String,
    from_tag: String,
    only: Only,
}

#[derive(Debug, PartialEq, Eq)]
enum Only {
    Any,
    Early,
}

/// A status, and its words.
pub(super) type No = (u16, &'static str);

impl Replaces {
    pub(super) fn read(value: &str) -> Option<Self> {
        let (call_id, params) = value.split_once(';')?;
        let params = Params::read(params.as_bytes())?;
        Some(Self {
            call_id: call_id.trim().to_owned(),
            to_tag: params.get("to-tag")?,
            from_tag: params.get("from-tag")?,
            only: if params.has("early-only") { Only::Early } else { Only::Any },
        })
    }

    /// Out of the headers of a Refer-To URI.
    pub(super) fn of_uri(uri: &Uri) -> Option<Self> {
        let headers = uri.headers.as_deref()?;
        let value = headers.split('&').find_map(|header| {
            let (name, value) = header.split_once('=')?;
            name.eq_ignore_ascii_case("Replaces").then_some(value)
        })?;
        Self::read(&unescape(value))
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        if self.only == Only::Early { f.write_str(";early-only") } else { Ok(()) }
    }
}

impl Agent {
    /// RFC 3891 3, in its order.
    pub(super) fn replaceable(&self, replaces: &Replaces) -> Result<LegId, No> {
        let id = self.named_by(replaces).ok_or((481, "Replaces names no call here"))?;
        match self.legs.get(&id).map(|leg| &leg.stage) {
            None => Err((481, "Replaces names no call here")),
            Some(Stage::Leaving { .. }) => Err((603, "")),
            // An early dialog may be replaced by whoever is called by us alone.
            Some(Stage::Incoming(_)) => Err((481, "The call is not answered yet")),
            Some(Stage::Up) if replaces.only == Only::Early => Err((486, "")),
            Some(Stage::Up | Stage::Dialling(_)) => Ok(id),
        }
    }

    /// The leg whose dialog it is, seen from here.
    pub(super) fn named_by(&self, replaces: &Replaces) -> Option<LegId> {
        // 3: a tag of 0 is none, for RFC 2543's sake.
        let from_tag = if replaces.from_tag == "0" { "" } else { &replaces.from_tag };
        let of =
            |from_tag: &str| self.leg_of(replaces.call_id.as_bytes(), replaces.to_tag.as_bytes(), from_tag.as_bytes());
        of(&replaces.from_tag).or_else(|| of(from_tag))
    }

    /// What a Refer-To says, so that its reader takes that leg's place: the far end of it, and the
    /// dialog as that far end sees it.
    pub(super) fn refer_to_leg(&self, id: LegId) -> Option<String> {
        let Leg { stage: Stage::Up, dialog, .. } = self.legs.get(&id)? else { return None };
        let far = &dialog.far;
        let target = Uri::read(far.target.as_bytes()).ok().filter(|uri| uri.host.is_some())?;
        let address = target.as_str().split('?').next().unwrap_or_default();
        let dialog = format!("{};to-tag={};from-tag={}", dialog.call_id, far.tag, dialog.local_tag);
        Some(format!("<{address}?Replaces={}>", escape(&dialog)))
    }

    /// The URI that a REFER names, without the headers that are asked for with it; and the leg.
    pub(super) fn read_refer_to(&self, message: &Message) -> Option<(String, Option<LegId>)> {
        let [target] = message.addresses(Name::ReferTo).try_into().ok()?;
        let leg = Replaces::of_uri(&target.uri).and_then(|replaces| self.named_by(&replaces));
        Some((target.uri.to_string(), leg))
    }
}

/// RFC 3261 25.1 `hvalue`, and less: all but letters, digits and a few marks.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_read() {
        let value = "a-1@host;to-tag=t%1;from-tag=f;early-only";
        let uri =
            Uri::read(format!("sip:bob@b;transport=tcp?Subject=x&replaces={}", escape(value)).as_bytes()).unwrap();
        let replaces = Replaces::of_uri(&uri).unwrap();
        assert_eq!(Some(&replaces), Replaces::read(value).as_ref());
        assert_eq!((replaces.call_id.as_str(), replaces.to_tag.as_str()), ("a-1@host", "t%1"));
        assert_eq!(replaces.only, Only::Early);
        assert_eq!(Replaces::read("a;to-tag=1"), None);
        assert_eq!(Replaces::of_uri(&Uri::read(b"sip:b@b").unwrap()), None);
    }
}
