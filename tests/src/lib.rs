//! What the tests share: the real binary, real phones, and an ear.

pub mod address;
pub mod agent;
pub mod callee;
pub mod ear;
pub mod fuzz;
pub mod kamailio;
pub mod phones;
pub mod rest;
pub mod server;
pub mod tenant;
pub mod wild;
