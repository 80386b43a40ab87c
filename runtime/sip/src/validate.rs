//! Whether a message is one that can be worked with, and if not, what to answer.
//!
//! Requests are answered; a response that is wrong is dropped (RFC 3261 8.1.3.3, 18.1.2).

use crate::address::Address;
use crate::header::Name;
use crate::message::{Message, Method};
use crate::scan;
use crate::uri::{Scheme, Uri};
use crate::via::Via;

/// Why not. Without a status nothing is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub status: Option<u16>,
    /// Fits behind the status: says which header, and why.
    pub reason: String,
}

impl Message {
    pub fn validate(&self) -> Result<(), Invalid> {
        let checked = match self.is_request() {
            true => self.validate_request(),
            false => self.validate_common(),
        };
        checked.map_err(|invalid| Invalid { status: self.is_request().then_some(invalid.status).flatten(), ..invalid })
    }

    fn validate_request(&self) -> Result<(), Invalid> {
        if self.version() != b"SIP/2.0" {
            // RFC 4475 3.1.2.7: trailing spaces are no version.
            let is_padded = self.version().trim_ascii() == b"SIP/2.0";
            return Err(if is_padded {
                bad("Start line has spaces behind the version")
            } else {
                invalid(505, "Version Not Supported")
            });
        }
        self.validate_common()?;
        let (_, method) = self.cseq().ok_or_else(|| bad("CSeq is unreadable"))?;
        if Some(&method) != self.method() && !matches!(self.method(), Some(Method::Other(_))) {
            return Err(bad(&format!(
                "CSeq says {method}, the request is {}",
                self.method().map_or("", Method::as_str)
            )));
        }
        let uri = Uri::read(self.request_uri()).map_err(|_| bad("Request-URI is unreadable"))?;
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel) {
            return Err(invalid(416, "Unsupported URI Scheme"));
        }
        // RFC 3261 19.1.1: headers have no place in a Request-URI.
        if uri.headers.is_some() {
            return Err(bad("Request-URI has headers"));
        }
        if self.max_forwards() == Some(None) {
            return Err(bad("Max-Forwards is unreadable"));
        }
        for name in [Name::Contact, Name::Route, Name::RecordRoute] {
            self.validate_addresses(name)?;
        }
        Ok(())
    }

    fn validate_common(&self) -> Result<(), Invalid> {
        // First what an answer needs.
        let Some(via) = self.first(Name::Via) else {
            return Err(Invalid { status: None, reason: "Via is missing".to_owned() });
        };
        if scan::list(&via).next().and_then(Via::read).is_none() {
            return Err(Invalid { status: None, reason: "Via is unreadable".to_owned() });
        }
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            match self.count(name) {
                0 => return Err(bad(&format!("{name} is missing"))),
                1 => {}
                _ => return Err(bad(&format!("{name} is there more than once"))),
            }
        }
        if self.count(Name::MaxForwards) > 1 {
            return Err(bad("Max-Forwards is there more than once"));
        }
        for name in [Name::From, Name::To] {
            let value = self.first(name).unwrap_or_default();
            if Address::read(&value).is_none() {
                return Err(bad(&format!("{name} is unreadable")));
            }
        }
        let call_id = self.first(Name::CallId).unwrap_or_default();
        if call_id.is_empty() || call_id.iter().any(u8::is_ascii_whitespace) {
            return Err(bad("Call-ID is unreadable"));
        }
        if self.cseq().is_none() {
            return Err(bad("CSeq is unreadable"));
        }
        for value in self.values(Name::Via) {
            if scan::is_open(&value) {
                return Err(bad("Via is unreadable"));
            }
        }
        Ok(())
    }

    fn validate_addresses(&self, name: Name) -> Result<(), Invalid> {
        for value in self.values(name) {
            let is_star = name == Name::Contact && &*value == b"*";
            if !is_star && (scan::is_open(&value) || scan::list(&value).any(|one| Address::read(one).is_none())) {
                return Err(bad(&format!("{name} is unreadable")));
            }
        }
        Ok(())
    }
}

fn bad(reason: &str) -> Invalid {
    invalid(400, reason)
}

fn invalid(status: u16, reason: &str) -> Invalid {
    Invalid { status: Some(status), reason: reason.to_owned() }
}
