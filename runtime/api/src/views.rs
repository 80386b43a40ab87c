//! What requests and answers look like: thin types around the words of the model, with schemas.
//!
//! Ids are strings, times are RFC 3339 with microseconds. Unknown fields of a request are refused.

mod access;
mod address;
mod applications;
mod calls;
mod check;
mod events;
mod modules;
mod node;
mod outbound;
mod trunks;
mod users;

use std::str::FromStr;

use callbox_model::Wall;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

pub(crate) use access::{Key, KeyBody, NewKey, Tenant, TenantBody, TenantPatch};
pub(crate) use applications::{
    Application, ApplicationBody, Asset, Number, NumberBinding, NumberBody, NumberPatch, SecretBody, SecretNames,
};
pub(crate) use calls::{Call, CallStatus, MessageBody, Recording, Run, UsageRow};
pub(crate) use check::Fields;
pub(crate) use events::{Event, EventList};
pub(crate) use modules::{Module, ModulePatch, ModuleState};
pub(crate) use node::{ErrorEntry, ErrorKind, Health, Limit, Node};
pub(crate) use outbound::{CallBody, OutboundUsage, Placed};
pub(crate) use trunks::{Trunk, TrunkBody};
pub(crate) use users::{Domain, DomainBody, DomainPatch, Registration, User, UserBody, UserPatch, UserWithPassword};

/// A piece of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// Give this as `after` for the next piece. Null at the end.
    pub(crate) next: Option<String>,
}

/// A moment: RFC 3339, UTC, with microseconds. Any offset and precision is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-03-01T12:00:00.000000Z")]
pub(crate) struct Time(pub(crate) Wall);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(64).collect();
        jiff::Timestamp::from_str(text)
            .map(|time| Self(Wall(time.as_microsecond())))
            .map_err(|_| format!("`{shown}` is no time: expected RFC 3339, 2026-03-01T12:00:00Z for example"))
    }
}

impl From<Wall> for Time {
    fn from(wall: Wall) -> Self {
        Self(wall)
    }
}

/// Tells null from nothing: for fields that stay as they are when they are left out.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// An enum of the model with a schema, and the ways there and back.
macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "kebab-case")]
        pub(crate) enum $name {
            $($(#[$case_doc])* $case,)*
        }

        impl From<callbox_model::$name> for $name {
            fn from(word: callbox_model::$name) -> Self {
                match word {
                    $(callbox_model::$name::$case => Self::$case,)*
                }
            }
        }

        impl From<$name> for callbox_model::$name {
            fn from(view: $name) -> Self {
                match view {
                    $($name::$case => Self::$case,)*
                }
            }
        }
    };
}
use mirror;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_at_any_offset_and_shown_in_utc() {
        let time: Time = "2024-02-29T13:34:56.000007+01:00".parse().unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2024-02-29T12:34:56.000007Z\"");
        assert!("yesterday".parse::<Time>().unwrap_err().contains("`yesterday`"));
    }
}
