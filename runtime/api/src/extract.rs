//! Paths, queries, bodies and conditions of requests; what is wrong with them becomes a problem.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::app::App;
use crate::problem::{Code, Problem, Result};

/// The parts of a path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        match axum::extract::Path::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                Err(Problem::new(Code::BadId, error.body_text()))
            }
            Err(error) => Err(Problem::new(Code::Internal, error.body_text())),
        }
    }
}

/// The query, without `tenant`: that one was read at the door.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let own: Vec<&str> =
            query.split('&').filter(|pair| pair.split('=').next() != Some("tenant") && !pair.is_empty()).collect();
        let own = own.join("&");
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&own)
            .map_err(|error| Problem::new(Code::BadQuery, format!("the query cannot be read: {error}")))?;
        let values = serde::de::value::MapDeserializer::<_, serde_urlencoded::de::Error>::new(
            pairs.iter().map(|(name, value)| (name.as_str(), Value(value))),
        );
        serde_path_to_error::deserialize(values).map(Self).map_err(|error| {
            let (path, detail) = (error.path().to_string(), error.into_inner().to_string());
            problem_at(Code::BadQuery, path, detail)
        })
    }
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let bytes = Bytes::from_request(request, app)
            .await
            .map_err(|error| Problem::new(Code::BadRequest, error.body_text()))?;
        if bytes.is_empty() {
            return Err(Problem::new(Code::BadJson, "the body is empty; this route needs a JSON object"));
        }
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let error = error.into_inner();
            match error.classify() {
                Category::Data => problem_at(Code::Invalid, path, without_place(&error.to_string())),
                Category::Io | Category::Syntax | Category::Eof => {
                    Problem::new(Code::BadJson, format!("the body is no JSON: {error}"))
                }
            }
        })?;
        reader.end().map_err(|error| Problem::new(Code::BadJson, format!("the body is no JSON: {error}")))?;
        Ok(Self(value))
    }
}

/// The revision that a change was made on.
pub(crate) enum IfMatch {
    Any,
    Revision(u64),
}

impl IfMatch {
    pub(crate) fn revision(self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Revision(revision) => Some(revision),
        }
    }
}

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self> {
        let Some(value) = parts.headers.get(IF_MATCH) else {
            return Err(Problem::new(
                Code::RevisionNeeded,
                "this change needs `If-Match` with the revision it is made on, or `*` for any",
            ));
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        digits.parse().map(Self::Revision).map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            Problem::field(Code::BadHeader, "If-Match", format!("`{shown}` is no revision: expected `\"7\"` or `*`"))
        })
    }
}

/// Names the field where one is to blame; serde says of a missing one only in words which it is.
fn problem_at(code: Code, path: String, detail: String) -> Problem {
    let quoted = || {
        let named = detail.strip_prefix("missing field `").or_else(|| detail.strip_prefix("unknown field `"));
        named.and_then(|rest| rest.split('`').next())
    };
    let path = if path == "." { "" } else { path.as_str() };
    let field = match quoted() {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) if path != name && !path.ends_with(&format!(".{name}")) => format!("{path}.{name}"),
        _ => path.to_owned(),
    };
    if field.is_empty() { Problem::new(code, detail) } else { Problem::field(code, field, detail) }
}

/// serde_json adds ` at line 1 column 20`; the field says it better.
fn without_place(text: &str) -> String {
    text.rsplit_once(" at line ").map_or(text, |(message, _)| message).to_owned()
}

/// One value of a query: text that is read as what its field is.
struct Value<'a>(&'a str);

impl<'de> serde::de::IntoDeserializer<'de, serde_urlencoded::de::Error> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident),* $(,)?) => {$(
        fn $method<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(error) => {
                    let shown: String = self.0.chars().take(64).collect();
                    Err(serde::de::Error::custom(format!("`{shown}`: {error}")))
                }
            }
        }
    )*};
}

impl<'de> serde::Deserializer<'de> for Value<'de> {
    type Error = serde_urlencoded::de::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(serde::de::value::BorrowedStrDeserializer::<Self::Error>::new(self.0))
    }

    parsed! {
        deserialize_bool => visit_bool,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_i64 => visit_i64,
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_to_blame_is_found_in_what_serde_says() {
        let named = |path: &str, detail: &str| {
            let problem = problem_at(Code::Invalid, path.to_owned(), detail.to_owned());
            problem.errors.first().map(|error| error.field.clone())
        };
        assert_eq!(named(".", "missing field `name`"), Some("name".to_owned()));
        assert_eq!(named("nam", "unknown field `nam`, expected `name`"), Some("nam".to_owned()));
        assert_eq!(named("handlers[0]", "missing field `module`"), Some("handlers[0].module".to_owned()));
        assert_eq!(named("handlers[0].modul", "unknown field `modul`"), Some("handlers[0].modul".to_owned()));
        assert_eq!(named(".", "invalid type: sequence, expected struct"), None);
    }
}
