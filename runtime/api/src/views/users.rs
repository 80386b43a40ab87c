//! Domains, users, and where users can be reached.

use callbox_model::{DomainId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address::{is_host, is_user};
use super::check::shown;
use super::{Fields, Time, present};
use crate::Password;
use crate::backend::{NewUser, UserChange};
use crate::problem::{Code, Problem};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Domain {
    #[schema(value_type = String, example = "dom_01arz3ndektsv4rrffq69g5fav")]
    id: DomainId,
    #[schema(value_type = String)]
    tenant: TenantId,
    /// In lower case. The realm that its users' phones are asked in.
    name: String,
    /// Whether phones that know no better may answer with MD5. SHA-256 is offered first.
    md5: bool,
    created: Time,
}

impl From<callbox_model::Domain> for Domain {
    fn from(domain: callbox_model::Domain) -> Self {
        Self {
            id: domain.id,
            tenant: domain.tenant,
            name: domain.name,
            md5: domain.md5,
            created: domain.created.into(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DomainBody {
    /// A host name. No two tenants have the same.
    #[schema(min_length = 1, max_length = 253)]
    name: String,
    /// Whether phones that know no better may answer with MD5. Default false.
    #[serde(default)]
    md5: bool,
}

impl DomainBody {
    pub(crate) fn check(self) -> Result<(String, bool), Problem> {
        let mut fields = Fields::default();
        fields.hold("name", is_host(&self.name), || format!("`{}` is no host name", shown(&self.name)));
        fields.done()?;
        Ok((self.name.to_ascii_lowercase(), self.md5))
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DomainPatch {
    /// Whether phones that know no better may answer with MD5.
    pub(crate) md5: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    #[schema(value_type = String, example = "usr_01arz3ndektsv4rrffq69g5fav")]
    id: UserId,
    #[schema(value_type = String)]
    tenant: TenantId,
    /// The name of one of the tenant's domains.
    domain: String,
    /// Before the `@`.
    name: String,
    /// For people.
    display: Option<String>,
    created: Time,
}

impl From<callbox_model::User> for User {
    fn from(user: callbox_model::User) -> Self {
        Self {
            id: user.id,
            tenant: user.tenant,
            domain: user.domain,
            name: user.name,
            display: user.display,
            created: user.created.into(),
        }
    }
}

/// A user that was just made or changed.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserWithPassword {
    #[serde(flatten)]
    pub(crate) user: User,
    /// The password that was made for it. It is shown this once, and kept nowhere. Null when none
    /// was made.
    #[schema(read_only, example = "7k2mq9x0c4vbt81hnzw3rj5d")]
    pub(crate) password: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserBody {
    /// The name of one of the tenant's domains.
    domain: String,
    /// Before the `@`; what the phone logs in with. Stays for ever, as the domain does.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-zA-Z0-9+][a-zA-Z0-9._+-]*$")]
    name: String,
    /// For people.
    #[schema(min_length = 1, max_length = 100)]
    display: Option<String>,
    /// Left out, one is made and shown once.
    #[schema(value_type = Option<String>, min_length = 12, max_length = 128, write_only)]
    password: Option<Password>,
}

impl UserBody {
    /// With the password that is to be shown.
    pub(crate) fn check(self) -> Result<(NewUser, Option<Password>), Problem> {
        let mut fields = Fields::default();
        fields.hold("domain", is_host(&self.domain), || format!("`{}` is no host name", shown(&self.domain)));
        fields.hold("name", is_user(&self.name), || {
            format!("`{}` is no user: 1 to 64 of a-z, A-Z, 0-9, `-`, `_`, `.`, `+`", shown(&self.name))
        });
        if let Some(display) = &self.display {
            fields.hold_title("display", display);
        }
        if let Some(password) = &self.password {
            hold_password(&mut fields, password);
        }
        fields.done()?;
        let (password, made) = given_or_made(self.password)?;
        let domain = self.domain.to_ascii_lowercase();
        Ok((NewUser { domain, name: self.name, display: self.display, password }, made))
    }
}

/// What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserPatch {
    /// Null takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    display: Option<Option<String>>,
    /// Null makes a new one, which is shown once.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 12, max_length = 128, write_only)]
    password: Option<Option<Password>>,
}

impl UserPatch {
    /// With the password that is to be shown.
    pub(crate) fn check(self) -> Result<(UserChange, Option<Password>), Problem> {
        let mut fields = Fields::default();
        if let Some(Some(display)) = &self.display {
            fields.hold_title("display", display);
        }
        if let Some(Some(password)) = &self.password {
            hold_password(&mut fields, password);
        }
        fields.done()?;
        let (password, made) = match self.password {
            None => (None, None),
            Some(given) => {
                let (password, made) = given_or_made(given)?;
                (Some(password), made)
            }
        };
        Ok((UserChange { display: self.display, password }, made))
    }
}

/// The password, and once more when it is to be shown.
fn given_or_made(given: Option<Password>) -> Result<(Password, Option<Password>), Problem> {
    match given {
        Some(password) => Ok((password, None)),
        None => {
            let made = Password::random().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
            Ok((made.clone(), Some(made)))
        }
    }
}

/// Says nothing of what it is.
fn hold_password(fields: &mut Fields, password: &Password) {
    let text = password.as_str();
    let fits = (12..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fields.hold("password", fits, || "must have 12 to 128 characters, and no control characters".to_owned());
}

/// One contact under which a user can be reached.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Registration {
    #[schema(value_type = String)]
    user: UserId,
    /// The Contact URI.
    contact: String,
    /// `+sip.instance`: which phone it is.
    instance: Option<String>,
    /// Which of the phone's flows it is (RFC 5626).
    reg_id: Option<u32>,
    /// Proxies on the way to it (RFC 3327).
    path: Vec<String>,
    /// How much it is preferred, in thousandths.
    q_permille: u16,
    /// `UDP` for example.
    transport: String,
    /// Where the REGISTER came from.
    #[schema(value_type = String)]
    remote: std::net::SocketAddr,
    user_agent: Option<String>,
    expires: Time,
}

impl From<callbox_model::Registration> for Registration {
    fn from(registration: callbox_model::Registration) -> Self {
        Self {
            user: registration.user,
            contact: registration.contact,
            instance: registration.instance,
            reg_id: registration.reg_id,
            path: registration.path,
            q_permille: registration.q_permille,
            transport: registration.transport,
            remote: registration.remote,
            user_agent: registration.user_agent,
            expires: registration.expires.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_not_nothing() {
        let patch = |text: &str| serde_json::from_str::<UserPatch>(text).unwrap().check().unwrap();
        assert_eq!(patch("{}"), (UserChange::default(), None));
        let (change, made) = patch(r#"{"display": null, "password": null}"#);
        assert_eq!(change, UserChange { display: Some(None), password: made.clone() });
        assert!(made.is_some());
        let (change, made) = patch(r#"{"password": "correct horse"}"#);
        assert_eq!((change.password, made), (Some(Password::new("correct horse")), None));
    }

    #[test]
    fn a_password_is_in_no_debug_line_and_no_refusal() {
        let text = r#"{"domain": "example.org", "name": "anna", "password": "hush-hush"}"#;
        let body: UserBody = serde_json::from_str(text).unwrap();
        let patch: UserPatch = serde_json::from_str(r#"{"password": "hush-hush"}"#).unwrap();
        let lines = [format!("{body:?}"), format!("{patch:?}")];
        let (short, again) = (body.check().unwrap_err(), patch.check().unwrap_err());
        assert_eq!((&*short.errors[0].field, &*again.errors[0].field), ("password", "password"));
        let long = UserChange { display: None, password: Some(Password::new("hush-hush")) };
        for line in lines.into_iter().chain([format!("{short:?} {again:?} {long:?}")]) {
            assert!(!line.contains("hush"), "{line}");
        }
    }
}
