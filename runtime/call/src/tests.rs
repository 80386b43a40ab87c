//! Calls in virtual time, against a small world of a far end, media and a sandbox.

mod bridging;
mod dialling;
mod drivers;
mod flows;
mod giving;
mod limits;
mod programs;
mod promises;
mod secrets;
mod transfers;
mod world;
