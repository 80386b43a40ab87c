//! What can go wrong while the driver starts, and why an upload is not taken.

use std::path::PathBuf;

use callbox_model::FaultCode;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot make the Wasm engine for {instances} instances: {reason}")]
    Engine { instances: u32, reason: String },
    #[error("cannot offer the contract to guests: {0}")]
    Contract(String),
    #[error("cannot {what} {path}: {source}")]
    Files { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot start a thread for guests: {0}")]
    Thread(std::io::Error),
    #[error("no instance fits this machine: {0}")]
    NoRoom(String),
}

/// Why an upload is refused. The code is stable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {detail}")]
pub struct UploadRefused {
    pub code: &'static str,
    pub detail: String,
}

/// What a refusal is in HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 413
    TooLarge,
    /// 422
    Unprocessable,
    /// 503: the node could not look at it.
    Unavailable,
}

impl UploadRefused {
    /// Codes of its own. A module that cannot be started has the code of its fault.
    pub const CODES: &[&str] = &[
        "not-wasm",
        "invalid-wasm",
        "feature-off",
        "wrong-world",
        "unknown-import",
        "too-large",
        "too-complex",
        "function-too-large",
        "function-too-complex",
        "too-many-functions",
        "too-many-memories",
        "too-many-tables",
        "too-many-instances",
        "memory-too-large",
        "table-too-large",
        "compile-limit",
    ];

    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        let is_known = Self::CODES.contains(&code) || FaultCode::ALL.iter().any(|fault| fault.code() == code);
        debug_assert!(is_known, "{code} is not in the dictionary of errors");
        Self { code, detail: detail.into() }
    }

    /// The node's disk, process table or pool is at fault, not the module.
    pub(crate) fn node(detail: impl Into<String>) -> Self {
        Self::new(NODE, detail)
    }

    pub fn class(&self) -> Class {
        match self.code {
            "too-large" => Class::TooLarge,
            NODE => Class::Unavailable,
            _ => Class::Unprocessable,
        }
    }

    pub fn status(&self) -> u16 {
        match self.class() {
            Class::TooLarge => 413,
            Class::Unprocessable => 422,
            Class::Unavailable => 503,
        }
    }
}

const NODE: &str = "host-dependency";
