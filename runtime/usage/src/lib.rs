//! What may be used, and what was used.
//!
//! Rates: a [`TokenBucket`] for each tenant and each module holds guests to their share of CPU
//! time ([`CpuShares`]); a [`Window`] counts what may happen so often an hour. [`OutboundGuard`]
//! bounds what a tenant dials, and what that costs.
//!
//! Sums: [`tiles`] holds the Runs of a call against its life, [`sum`] adds Runs up, and
//! [`compare`] says where two sums differ, the ledger's and a recount for example.
//!
//! It meters nothing itself, and keeps nothing: the sandbox and the call say what was used, the
//! store has the ledger. It is told the time.

mod bucket;
mod calling_code;
mod outbound;
mod shares;
mod sum;
mod tiles;
mod window;

pub use bucket::TokenBucket;
pub use calling_code::calling_code;
pub use outbound::{Bill, Bought, OutboundGuard, Over, Today};
pub use shares::CpuShares;
pub use sum::{Difference, compare, merge, sum};
pub use tiles::{Untiled, tiles};
pub use window::{Window, Windows};
