//! Trunks.

use callbox_model::{TenantId, TrunkId, TrunkSpec};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address::{User, is_sip_uri, is_user};
use super::check::shown;
use super::{Fields, Time, present};
use crate::Password;
use crate::backend::{NewTrunk, PasswordChange, ShownTrunk, TrunkChange};
use crate::problem::Problem;

/// How a trunk's registration stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(crate) enum TrunkState {
    /// It does not register.
    Static,
    Registering,
    Registered {
        until: Time,
    },
    /// Tried again by and by.
    Failed {
        /// SIP status, or 0 when nobody answered.
        status: u16,
        reason: String,
    },
}

impl From<callbox_model::TrunkState> for TrunkState {
    fn from(state: callbox_model::TrunkState) -> Self {
        match state {
            callbox_model::TrunkState::Static => Self::Static,
            callbox_model::TrunkState::Registering => Self::Registering,
            callbox_model::TrunkState::Registered { until } => Self::Registered { until: until.into() },
            callbox_model::TrunkState::Failed { status, reason } => Self::Failed { status, reason },
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trunk {
    #[schema(value_type = String, example = "trk_01arz3ndektsv4rrffq69g5fav")]
    id: TrunkId,
    #[schema(value_type = String)]
    tenant: TenantId,
    name: String,
    uri: String,
    #[schema(value_type = Vec<String>)]
    networks: Vec<IpNet>,
    #[schema(value_type = Vec<String>)]
    media_networks: Vec<IpNet>,
    username: Option<String>,
    /// Whether it has a password. What it is, is never shown.
    has_password: bool,
    realm: Option<String>,
    register: bool,
    expires_s: Option<u32>,
    caller_id: Option<String>,
    minute_price_micros: u64,
    /// How its registration stands.
    state: TrunkState,
    /// Grows with every change; for `If-Match`.
    pub(crate) revision: u64,
    created: Time,
}

impl From<ShownTrunk> for Trunk {
    fn from(shown: ShownTrunk) -> Self {
        let spec = shown.trunk.spec;
        Self {
            id: shown.trunk.id,
            tenant: shown.trunk.tenant,
            name: shown.trunk.name,
            uri: spec.uri,
            networks: spec.networks,
            media_networks: spec.media_networks,
            username: spec.username,
            has_password: shown.has_password,
            realm: spec.realm,
            register: spec.register,
            expires_s: spec.expires_s,
            caller_id: spec.caller_id,
            minute_price_micros: spec.minute_price_micros,
            state: shown.state.into(),
            revision: shown.trunk.revision,
            created: shown.trunk.created.into(),
        }
    }
}

/// A trunk as it is written. What is left out is empty, or its default; but for the password, which
/// nobody can read to write it again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrunkBody {
    /// Unique within the tenant; what applications know it by.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]*$")]
    name: String,
    /// Where calls go: `sip:` or `sips:` and a host; with a port, and `;transport=`, where DNS does
    /// not say them.
    #[schema(max_length = 255, example = "sip:carrier.example")]
    uri: String,
    /// Where its calls come from. Empty: none come.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 256, example = json!(["192.0.2.0/24"]))]
    networks: Vec<IpNet>,
    /// Where its sound may be, besides where it signals from.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 256)]
    media_networks: Vec<IpNet>,
    /// Answers its challenges under this name.
    #[schema(min_length = 1, max_length = 128)]
    username: Option<String>,
    /// Goes with the username. Left out, the trunk keeps the one that it has; null takes it away.
    /// Never shown again.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, write_only)]
    password: Option<Option<Password>>,
    /// Answers challenges of this realm alone. Without it, of whichever it names.
    #[schema(min_length = 1, max_length = 255)]
    realm: Option<String>,
    /// Whether to register there, under the username. Default false.
    #[serde(default)]
    register: bool,
    /// Asked for when registering. Default 600.
    #[schema(minimum = 60, maximum = 86_400)]
    expires_s: Option<u32>,
    /// A number or a SIP URI: stands in From when an application names none. Without it: the username.
    caller_id: Option<String>,
    /// What a begun minute costs, in millionths of the tenant's currency, for the guard against
    /// fraud. Default 0.
    #[serde(default)]
    #[schema(maximum = 1_000_000_000)]
    minute_price_micros: u64,
}

impl TrunkBody {
    pub(crate) fn check_new(self) -> Result<NewTrunk, Problem> {
        let TrunkChange { name, spec, password } = self.check()?;
        let password = match password {
            PasswordChange::Put(password) => Some(password),
            PasswordChange::Keep | PasswordChange::Remove => None,
        };
        Ok(NewTrunk { name, spec, password })
    }

    pub(crate) fn check(self) -> Result<TrunkChange, Problem> {
        let mut fields = Fields::default();
        fields.hold_name("name", &self.name);
        fields.hold("uri", is_sip_uri(&self.uri, User::Refused), || {
            format!("`{}` is no `sip:` or `sips:` and a host, with or without port and transport", shown(&self.uri))
        });
        fields.hold_networks("networks", &self.networks);
        for (place, network) in self.networks.iter().enumerate() {
            fields.hold(&format!("networks[{place}]"), network.prefix_len() > 0, || {
                "is every address: a number that strangers may call is `anonymous`".to_owned()
            });
        }
        fields.hold_networks("media_networks", &self.media_networks);
        if let Some(username) = &self.username {
            hold_quotable(&mut fields, "username", username, 128);
            // It stands in From, and in the address that registers.
            fields.hold("username", !self.register || is_user(username), || {
                format!("`{}` cannot be registered: 1 to 64 of a-z, A-Z, 0-9, `-`, `_`, `.`, `+`", shown(username))
            });
        }
        if let Some(realm) = &self.realm {
            hold_quotable(&mut fields, "realm", realm, 255);
        }
        fields.hold("register", !self.register || self.username.is_some(), || {
            "needs the `username` to register under".to_owned()
        });
        if let Some(Some(password)) = &self.password {
            let text = password.as_str();
            let fits = (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control);
            fields.hold("password", fits, || "must have 1 to 128 characters, and no control characters".to_owned());
            fields.hold("password", self.username.is_some(), || "needs a `username`".to_owned());
        }
        if let Some(expires_s) = self.expires_s {
            fields.hold("expires_s", (60..=86_400).contains(&expires_s), || {
                format!("{expires_s} is not between 60 and 86,400")
            });
        }
        if let Some(caller_id) = &self.caller_id {
            fields.hold_caller_id("caller_id", caller_id);
        }
        fields.hold("minute_price_micros", self.minute_price_micros <= DEAREST_MICROS, || {
            format!("{} is over {DEAREST_MICROS}", self.minute_price_micros)
        });
        fields.done()?;
        let password = match self.password {
            Some(Some(password)) => PasswordChange::Put(password),
            // Without the name that it goes with, it is of no use.
            None if self.username.is_some() => PasswordChange::Keep,
            None | Some(None) => PasswordChange::Remove,
        };
        let spec = TrunkSpec {
            uri: self.uri,
            networks: self.networks,
            media_networks: self.media_networks,
            username: self.username,
            realm: self.realm,
            register: self.register,
            expires_s: self.expires_s,
            caller_id: self.caller_id,
            minute_price_micros: self.minute_price_micros,
        };
        Ok(TrunkChange { name: self.name, spec, password })
    }
}

/// What stands between quotes in a header.
fn hold_quotable(fields: &mut Fields, field: &str, text: &str, most: usize) {
    let fits = (1..=most).contains(&text.len())
        && !text.chars().any(|character| character.is_control() || "\"\\".contains(character));
    fields
        .hold(field, fits, || format!("must have 1 to {most} bytes, no control characters, and neither `\"` nor `\\`"));
}

/// A thousand a minute.
const DEAREST_MICROS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(more: &str) -> TrunkBody {
        serde_json::from_str(&format!(r#"{{"name": "carrier", "uri": "sip:carrier.example"{more}}}"#)).unwrap()
    }

    #[test]
    fn a_password_that_nobody_named_stays_with_its_username() {
        let password = |more: &str| body(more).check().unwrap().password;
        assert_eq!(password(r#", "username": "acme""#), PasswordChange::Keep);
        assert_eq!(password(""), PasswordChange::Remove);
        assert_eq!(password(r#", "username": "acme", "password": null"#), PasswordChange::Remove);
        let put = PasswordChange::Put(Password::new("hush"));
        assert_eq!(password(r#", "username": "acme", "password": "hush""#), put);
        let problem = body(r#", "password": "hush""#).check().unwrap_err();
        assert_eq!(problem.errors[0].field, "password");
    }

    #[test]
    fn a_password_is_in_no_debug_line_and_no_refusal() {
        let kept = body(r#", "username": "acme", "password": "hush""#);
        let refused = body(r#", "password": "hush""#);
        let lines = [format!("{kept:?}"), format!("{:?}", kept.check()), format!("{:?}", refused.check_new())];
        for line in lines {
            assert!(line.contains("carrier") || line.contains("username"), "{line}");
            assert!(!line.contains("hush"), "{line}");
        }
    }
}
