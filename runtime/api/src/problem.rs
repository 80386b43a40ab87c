//! Problem bodies (RFC 9457): what went wrong, on which thing, and why.
//!
//! A handler returns a [`Problem`]; the outermost layer ([`crate::finish`]) gives it the request's
//! id and the dictionary's title, and writes the body.

mod code;

use std::borrow::Cow;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use code::Code;

use crate::backend::BackendError;

pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: Cow<'static, str>,
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// `handlers[0].module` for example.
    pub(crate) field: String,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code: Cow::Borrowed(code.code()),
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn field(code: Code, field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        let whole = format!("`{field}`: {detail}");
        Self::new(code, whole).with_errors(vec![FieldError { field, detail }])
    }

    pub(crate) fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what} `{id}`"))
    }

    pub(crate) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn retry_after_s(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        let text = error.to_string();
        match error {
            BackendError::NotFound { .. } => Self::new(Code::NotFound, text),
            BackendError::Conflict { code, detail } => match Code::named(code) {
                Some(own) => Self::new(own, detail),
                None => Self { code: Cow::Borrowed(code), ..Self::new(Code::Conflict, detail) },
            },
            BackendError::Invalid { field, detail } => Self::field(Code::Invalid, field, detail),
            BackendError::Refused { code, status, detail } => {
                if let Some(own) = Code::named(&code) {
                    return Self::new(own, detail);
                }
                let status = StatusCode::from_u16(status).ok().filter(StatusCode::is_client_error);
                Self {
                    code: Cow::Owned(code),
                    status: status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
                    ..Self::new(Code::Invalid, detail)
                }
            }
            BackendError::Quota { .. } => Self::new(Code::Quota, text).retry_after_s(60),
            BackendError::RevisionMismatch { .. } => Self::new(Code::RevisionMismatch, text),
            BackendError::Unavailable { detail } => Self::new(Code::Unavailable, detail).retry_after_s(1),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// What is sent as `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Relative reference of the code's entry in the dictionary.
    #[serde(rename = "type")]
    #[schema(example = "/v1/errors/not-found")]
    pub(crate) kind: String,
    pub(crate) title: &'a str,
    pub(crate) status: u16,
    /// What went wrong, on which thing, and why.
    pub(crate) detail: &'a str,
    /// The request's id, as in `x-request-id`.
    pub(crate) instance: &'a str,
    pub(crate) code: &'a str,
    /// Fields that are wrong, where fields are.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    pub(crate) errors: &'a [FieldError],
}
