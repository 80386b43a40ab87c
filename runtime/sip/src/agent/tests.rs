//! Two agents and a network between them that loses, repeats and reorders.

mod flows;
mod limits;
mod net;
mod programs;
