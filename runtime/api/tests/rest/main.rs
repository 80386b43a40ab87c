//! The API as its clients see it: the real server, over TCP, with a backend over maps behind it.

mod house;
mod memory;
mod memory_sip;
mod memory_things;

mod access;
mod applications;
mod calls;
mod document;
mod events;
mod idempotency;
mod isolation;
mod limits;
mod modules;
mod node;
mod outbound;
mod passwords;
mod problems;
mod trunks;
mod users;
