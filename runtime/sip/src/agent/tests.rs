//! Two agents and a network between them that loses, repeats and reorders.

mod dialling;
mod everything;
mod flows;
mod limits;
mod net;
mod offers;
mod outside;
mod phone;
mod programs;
mod reliable;
mod timers;
mod torture;
mod transfer;
