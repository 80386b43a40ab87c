//! Calls in virtual time, against a small world of a far end, media and a sandbox.

mod flows;
mod limits;
mod programs;
mod world;
