//! Names of headers, long and compact, and the parameters behind a value.

use std::fmt;

use crate::scan;

macro_rules! names {
    ($($variant:ident = $long:literal $(, $compact:literal)?;)*) => {
        /// A header that the runtime knows. Others are found by their text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Name {
            $($variant,)*
            Other,
        }

        impl Name {
            pub const fn long(self) -> &'static str {
                match self {
                    $(Self::$variant => $long,)*
                    Self::Other => "",
                }
            }

            /// RFC 3261 7.3.3: either form, in any case.
            pub fn read(text: &[u8]) -> Self {
                if let [letter] = text {
                    return match letter.to_ascii_lowercase() {
                        $($($compact => Self::$variant,)?)*
                        _ => Self::Other,
                    };
                }
                $(if text.len() == $long.len() && text.eq_ignore_ascii_case($long.as_bytes()) {
                    return Self::$variant;
                })*
                Self::Other
            }
        }
    };
}

names! {
    Via = "Via", b'v';
    From = "From", b'f';
    To = "To", b't';
    CallId = "Call-ID", b'i';
    CSeq = "CSeq";
    Contact = "Contact", b'm';
    ContentLength = "Content-Length", b'l';
    ContentType = "Content-Type", b'c';
    MaxForwards = "Max-Forwards";
    Route = "Route";
    RecordRoute = "Record-Route";
    Allow = "Allow";
    Supported = "Supported", b'k';
    Require = "Require";
    ProxyRequire = "Proxy-Require";
    Unsupported = "Unsupported";
    Accept = "Accept";
    AcceptEncoding = "Accept-Encoding";
    AcceptLanguage = "Accept-Language";
    ContentEncoding = "Content-Encoding", b'e';
    ContentDisposition = "Content-Disposition";
    Expires = "Expires";
    MinExpires = "Min-Expires";
    Reason = "Reason";
    RetryAfter = "Retry-After";
    Date = "Date";
    Timestamp = "Timestamp";
    Subject = "Subject", b's';
    UserAgent = "User-Agent";
    Server = "Server";
    Authorization = "Authorization";
    ProxyAuthorization = "Proxy-Authorization";
    WwwAuthenticate = "WWW-Authenticate";
    ProxyAuthenticate = "Proxy-Authenticate";
    Warning = "Warning";
    ReferTo = "Refer-To", b'r';
    ReferredBy = "Referred-By", b'b';
    Replaces = "Replaces";
    Event = "Event", b'o';
    AllowEvents = "Allow-Events", b'u';
    SessionExpires = "Session-Expires", b'x';
    MinSe = "Min-SE";
    RSeq = "RSeq";
    RAck = "RAck";
    SubscriptionState = "Subscription-State";
    ReferSub = "Refer-Sub";
    Path = "Path";
    ServiceRoute = "Service-Route";
    AuthenticationInfo = "Authentication-Info";
    Identity = "Identity", b'y';
    RequestDisposition = "Request-Disposition", b'd';
    AcceptContact = "Accept-Contact", b'a';
    RejectContact = "Reject-Contact", b'j';
}

impl Name {
    /// Part of the protocol's own working: not shown to modules, not set by them.
    pub fn is_plumbing(self) -> bool {
        matches!(
            self,
            Self::Via
                | Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::Contact
                | Self::ContentLength
                | Self::ContentType
                | Self::ContentEncoding
                | Self::ContentDisposition
                | Self::MaxForwards
                | Self::Route
                | Self::RecordRoute
                | Self::Require
                | Self::ProxyRequire
                | Self::Supported
                | Self::Unsupported
                | Self::Allow
                | Self::AllowEvents
                | Self::Event
                | Self::SubscriptionState
                | Self::SessionExpires
                | Self::MinSe
                | Self::RSeq
                | Self::RAck
                | Self::ReferTo
                | Self::ReferSub
                | Self::Path
                | Self::ServiceRoute
                | Self::Authorization
                | Self::ProxyAuthorization
                | Self::WwwAuthenticate
                | Self::ProxyAuthenticate
                | Self::AuthenticationInfo
        )
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.long())
    }
}

/// `;name=value` pairs. Names are compared without case, values are kept as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    pairs: Vec<(String, Option<String>)>,
}

impl Params {
    /// Reads what stands behind the first `;`. None when it is no list of parameters.
    pub fn read(text: &[u8]) -> Option<Self> {
        let mut pairs = Vec::new();
        let mut rest = text.trim_ascii();
        while !rest.is_empty() {
            let end = scan::find(rest, |byte| byte == b';').unwrap_or(rest.len());
            let part = rest[..end].trim_ascii();
            rest = rest.get(end + 1..).unwrap_or_default().trim_ascii();
            if part.is_empty() {
                continue;
            }
            let (name, value) = match part.iter().position(|&byte| byte == b'=') {
                Some(equals) => (part[..equals].trim_ascii(), Some(part[equals + 1..].trim_ascii())),
                None => (part, None),
            };
            if !scan::is_token(name) || value.is_some_and(<[u8]>::is_empty) {
                return None;
            }
            pairs.push((scan::text(name), value.map(scan::text)));
        }
        Some(Self { pairs })
    }

    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
    }

    /// The value, without quotes.
    pub fn get(&self, name: &str) -> Option<String> {
        let (_, value) = self.pairs.iter().find(|(given, _)| given.eq_ignore_ascii_case(name))?;
        value.as_deref().map(scan::unquote)
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.pairs {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}
