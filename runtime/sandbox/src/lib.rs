//! Runs tenants' modules: the wasmtime driver.
//!
//! A [`Run`](callbox_model::Run) of a module begins with [`Handle::start`] and ends with exactly one
//! [`What::Ended`]. In between the guest asks for steps ([`What::Step`]) and is given their outcomes
//! ([`Handle::outcome`]); while it waits it is a parked fiber of some 35 KiB. Guests live on threads
//! of their own, in slices of a millisecond, and are metered by the CPU clock of their thread.
//!
//! A module comes in through [`Handle::accept`], which validates it, compiles it in a process of its
//! own (module `compile`), and tries whether it can be started.
//!
//! What it does not do: it holds no call and decides nothing about one. What a step means, and which
//! module comes after a fault, is for the call brain. Where components, keys and shares are kept is
//! behind the traits of module `host`, which the node implements.

mod artifact;
mod cache;
mod classify;
pub mod compile;
mod config;
mod control;
mod engine;
mod error;
mod geometry;
mod guest;
pub mod host;
mod log_lines;
mod meter;
mod metered;
mod run;
mod service;
mod ticker;

pub use config::Config;
pub use error::{Class, Error, UploadRefused};
pub use geometry::Report;
pub use host::{Ambient, Answer, Host, Kv, Modules, Owner, Throttle};
pub use run::{GuestEnd, SandboxEvent, StartControl, What};
pub use service::{Described, Handle, Service};

/// The contract's bindings.
pub(crate) mod contract {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "callbox:voice/call-handler",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}
