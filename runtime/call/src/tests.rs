//! Calls in virtual time, against a small world of a far end, media and a sandbox.

mod bridging;
mod dialling;
mod drivers;
mod flows;
mod giving;
mod programs;
mod promises;
mod transfers;
mod world;
