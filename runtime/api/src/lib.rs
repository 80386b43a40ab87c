//! The REST API: routes, their OpenAPI document, keys, server-sent events, health and metrics.
//!
//! It reads requests, checks who asks and what is asked, puts the question to the node through the
//! traits of [`backend`], and writes the answer or a problem body (RFC 9457). The OpenAPI document
//! is made from the routes, so that no route can be without it.
//!
//! It deliberately holds nothing that lasts: no tenant, no call, no key. It decides what a role may
//! do, and how much at once; whether a module is any good, or a name free, the backend decides.
//!
//! Nouns: [`backend::Backend`] (what the node does for it), [`backend::Scope`] (whose things are
//! asked for), [`key::Secret`], [`Password`], problem (an error's body).
//!
//! Start at [`Service::start`].

mod app;
mod audio;
pub mod backend;
mod config;
mod door;
mod extract;
mod finish;
mod health;
pub mod key;
mod openapi;
mod password;
mod problem;
mod rates;
mod replays;
mod routes;
mod service;
mod stream;
mod views;

pub use async_trait::async_trait;
pub use config::Config;
pub use health::Metrics;
pub use password::Password;
pub use service::{Error, Handle, Service};
