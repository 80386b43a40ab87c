//! callbox: a programmable voice runtime. One binary: the node, and the commands that talk to it.
//!
//! Start at [`cli::run`]; a node is put together in [`node::Node::start`].

#![deny(unsafe_code)]
#![expect(unreachable_pub, reason = "a binary has no outside: `pub` says what leaves its module")]

mod admission;
mod backend;
mod cli;
mod clock;
mod config;
mod directory;
mod drive;
mod fatal;
mod lane;
mod limited;
mod metering;
mod node;
mod outbound;
mod phone;
mod reach;
mod registered;
mod routing;
mod sealed;
mod trunks;
mod verifiers;

use std::process::ExitCode;

/// A call's messages are made on one thread and dropped on another, which the system's allocator
/// pays for with locks and with memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
