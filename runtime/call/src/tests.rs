//! Calls in virtual time, against a small world of a far end, media and a sandbox.

mod drivers;
mod flows;
mod programs;
mod world;
