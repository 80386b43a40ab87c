//! Applications with what belongs to them, and numbers.

use std::collections::BTreeMap;

use callbox_model::{ApplicationId, ApplicationSpec, Limits, NumberId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::shown;
use super::outbound::Outbound;
use super::{Fields, Time};
use crate::backend::NewNumber;
use crate::problem::Problem;

/// One link of the chain.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handler {
    /// Name of a module of the tenant.
    module: String,
    /// Null is the newest version at the time a call begins.
    #[serde(default)]
    version: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Application {
    #[schema(value_type = String, example = "app_01arz3ndektsv4rrffq69g5fav")]
    id: ApplicationId,
    #[schema(value_type = String)]
    tenant: TenantId,
    name: String,
    /// Primary first.
    handlers: Vec<Handler>,
    config: BTreeMap<String, String>,
    headers: Vec<String>,
    voice: Option<String>,
    language: Option<String>,
    apology: Option<String>,
    last_resort_status: Option<u16>,
    outbound: Outbound,
    /// Names of its secrets; their values are never shown.
    secrets: Vec<String>,
    /// Grows with every change; for `If-Match`.
    pub(crate) revision: u64,
    created: Time,
}

impl From<callbox_model::Application> for Application {
    fn from(application: callbox_model::Application) -> Self {
        let spec = application.spec;
        let handler = |link: callbox_model::Handler| Handler { module: link.module, version: link.version };
        Self {
            id: application.id,
            tenant: application.tenant,
            name: application.name,
            handlers: spec.handlers.into_iter().map(handler).collect(),
            config: spec.config,
            headers: spec.headers,
            voice: spec.voice,
            language: spec.language,
            apology: spec.apology,
            last_resort_status: spec.last_resort_status,
            outbound: spec.outbound.into(),
            secrets: application.secrets,
            revision: application.revision,
            created: application.created.into(),
        }
    }
}

/// An application as it is written. What is left out is empty, or its default.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplicationBody {
    /// Unique within the tenant.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]*$")]
    name: String,
    /// Primary first. When it is empty, the last resort has every call.
    #[serde(default)]
    #[schema(max_items = 8)]
    handlers: Vec<Handler>,
    /// What the modules read as their configuration.
    #[serde(default)]
    config: BTreeMap<String, String>,
    /// SIP headers that handlers may read and set, besides those that start with `X-`.
    #[serde(default)]
    #[schema(max_items = 64)]
    headers: Vec<String>,
    /// Voice of `say`, where a module names none.
    #[schema(max_length = 64)]
    voice: Option<String>,
    /// Language of `say`, where a module names none.
    #[schema(max_length = 64)]
    language: Option<String>,
    /// Said by the last resort to an answered caller. Empty: hung up without a word.
    apology: Option<String>,
    /// SIP status of the last resort for a caller not answered yet. Default 480.
    #[schema(minimum = 400, maximum = 699)]
    last_resort_status: Option<u16>,
    /// Where calls that its modules begin may go.
    #[serde(default)]
    outbound: Outbound,
}

impl ApplicationBody {
    pub(crate) fn check(self, limits: &Limits) -> Result<(String, ApplicationSpec), Problem> {
        let mut fields = Fields::default();
        fields.hold_name("name", &self.name);
        fields.hold("handlers", self.handlers.len() <= HANDLERS, || {
            format!("has {} links; {HANDLERS} is the most", self.handlers.len())
        });
        for (place, handler) in self.handlers.iter().enumerate() {
            fields.hold_name(&format!("handlers[{place}].module"), &handler.module);
            fields.hold(&format!("handlers[{place}].version"), handler.version != Some(0), || {
                "versions count from 1".to_owned()
            });
        }
        for key in self.config.keys() {
            fields.hold("config", !key.is_empty() && key.len() <= 256, || {
                format!("the key `{}` must have 1 to 256 bytes", shown(key))
            });
        }
        let config_bytes = self.config.iter().map(|(key, value)| key.len() + value.len()).sum();
        fields.hold_length("config", config_bytes, CONFIG_BYTES);
        fields.hold("headers", self.headers.len() <= 64, || "64 headers are the most".to_owned());
        for (place, header) in self.headers.iter().enumerate() {
            fields.hold(&format!("headers[{place}]"), is_header_name(header), || {
                format!("`{}` is no name of a SIP header", shown(header))
            });
        }
        for (field, value) in [("voice", &self.voice), ("language", &self.language)] {
            fields.hold_length(field, value.as_deref().unwrap_or_default().len(), 64);
        }
        if let Some(apology) = &self.apology {
            let most = limits.speech_characters as usize;
            fields.hold("apology", apology.chars().count() <= most, || format!("{most} characters are the most"));
        }
        if let Some(status) = self.last_resort_status {
            fields.hold("last_resort_status", (400..700).contains(&status), || {
                format!("{status} refuses no call: expected 400 to 699")
            });
        }
        let outbound = self.outbound.check(&mut fields);
        fields.done()?;
        let handler = |link: Handler| callbox_model::Handler { module: link.module, version: link.version };
        let spec = ApplicationSpec {
            handlers: self.handlers.into_iter().map(handler).collect(),
            config: self.config,
            headers: self.headers,
            voice: self.voice,
            language: self.language,
            apology: self.apology,
            last_resort_status: self.last_resort_status,
            outbound,
        };
        Ok((self.name, spec))
    }
}

/// A token of RFC 3261, section 25.1.
pub(super) fn is_header_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretNames {
    pub(crate) items: Vec<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretBody {
    /// At most 65,536 bytes. Never shown again.
    #[schema(max_length = 65536, write_only)]
    value: String,
}

impl SecretBody {
    pub(crate) fn check(self, name: &str) -> Result<String, Problem> {
        let mut fields = Fields::default();
        fields.hold_name("name", name);
        fields.hold_length("value", self.value.len(), SECRET_BYTES);
        fields.done()?;
        Ok(self.value)
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Asset {
    #[schema(value_type = String)]
    application: ApplicationId,
    name: String,
    bytes: u64,
    /// `sha256:` and 64 hexadecimal digits.
    digest: String,
    created: Time,
}

impl From<callbox_model::Asset> for Asset {
    fn from(asset: callbox_model::Asset) -> Self {
        Self {
            application: asset.application,
            name: asset.name,
            bytes: asset.bytes,
            digest: asset.digest,
            created: asset.created.into(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Number {
    #[schema(value_type = String, example = "num_01arz3ndektsv4rrffq69g5fav")]
    id: NumberId,
    #[schema(value_type = String)]
    tenant: TenantId,
    /// A user part (`100`, `+4930123456`), `user@domain`, or `*@domain` for a whole domain.
    address: String,
    /// Null rings nowhere: callers get 404.
    #[schema(value_type = Option<String>)]
    application: Option<ApplicationId>,
    /// Whether callers may come that are neither a trunk nor a user of the tenant.
    anonymous: bool,
    created: Time,
}

impl From<callbox_model::Number> for Number {
    fn from(number: callbox_model::Number) -> Self {
        Self {
            id: number.id,
            tenant: number.tenant,
            address: number.address,
            application: number.application,
            anonymous: number.anonymous,
            created: number.created.into(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NumberBody {
    /// A user part (`100`, `+4930123456`), `user@domain`, or `*@domain` for a whole domain.
    #[schema(min_length = 1, max_length = 255)]
    address: String,
    #[schema(value_type = Option<String>)]
    application: Option<ApplicationId>,
    /// Whether callers may come that are neither a trunk nor a user of the tenant. Default false.
    #[serde(default)]
    anonymous: bool,
}

impl NumberBody {
    pub(crate) fn check(self) -> Result<NewNumber, Problem> {
        let mut fields = Fields::default();
        fields.hold("address", is_address(&self.address), || {
            format!("`{}` is neither a user part, nor `user@domain`, nor `*@domain`", shown(&self.address))
        });
        fields.done()?;
        Ok(NewNumber { address: self.address, application: self.application, anonymous: self.anonymous })
    }
}

/// Without a scheme: `sip:100@example.org` would never match what is looked up.
fn is_address(address: &str) -> bool {
    let is_user = |user: &str| {
        !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_graphic() && !b"@<>\",:;?*".contains(&byte))
    };
    let is_domain = |domain: &str| {
        !domain.is_empty() && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.[]:_".contains(&byte))
    };
    address.len() <= 255
        && match address.split_once('@') {
            None => is_user(address),
            Some((user, domain)) => (user == "*" || is_user(user)) && is_domain(domain),
        }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NumberBinding {
    /// Null rings nowhere.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<String>, required = true)]
    pub(crate) application: Option<ApplicationId>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NumberPatch {
    /// Whether callers may come that are neither a trunk nor a user of the tenant.
    pub(crate) anonymous: bool,
}

/// As many as a call survives faults.
const HANDLERS: usize = 8;
const CONFIG_BYTES: usize = 64 << 10;
const SECRET_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_no_scheme_and_one_wildcard() {
        for good in ["100", "+4930123456", "anna@example.org", "*@example.org", "100@[::1]:5060"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", "sip:100", "*", "a b", "@example.org", "100@", "a@b@c", "1*@example.org", "\u{e4}"] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let body: ApplicationBody = serde_json::from_str(
            r#"{"name": "no name", "handlers": [{"module": ""}], "headers": ["a b"], "last_resort_status": 200}"#,
        )
        .unwrap();
        let problem = body.check(&Limits::default()).unwrap_err();
        let fields: Vec<_> = problem.errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["name", "handlers[0].module", "headers[0]", "last_resort_status"]);
    }
}
