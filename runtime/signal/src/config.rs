//! What the driver is set to. Every limit with its unit and its reason.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use callbox_sip::Transport;

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: Vec<Listen>,
    /// Named in Contact, Via and session descriptions instead of the local address.
    pub advertised: Option<IpAddr>,
    /// Requests a second of one source; a burst may be twice that. Over it: 503 with Retry-After;
    /// at twice the rate: silence. A carrier's trunk sends a few hundred.
    pub requests_per_s_per_source: u32,
    /// Sources whose rate is remembered. The oldest is forgotten first.
    pub sources: usize,
    /// TCP connections at once: each costs a descriptor and up to a message of memory.
    pub connections: usize,
    /// TCP connections of one source.
    pub connections_per_source: usize,
    /// A connection without a call that sends nothing for so long is closed. Phones ping every
    /// two minutes.
    pub idle: Duration,
    /// A message that was begun must be whole after so long: slow senders are cut off.
    pub message_within: Duration,
    /// To connect, for dialled legs.
    pub connect_within: Duration,
    /// Messages that wait for a connection to take them.
    pub unsent: usize,
    /// Commands that wait for the thread.
    pub commands: usize,
    /// Legs at once.
    pub legs: usize,
    /// Bytes of the kernel's receive buffer of a UDP socket: bursts wait there.
    pub receive_buffer_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub transport: Transport,
    pub address: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            advertised: None,
            requests_per_s_per_source: 2_000,
            sources: 10_000,
            connections: 4_096,
            connections_per_source: 256,
            idle: Duration::from_secs(300),
            message_within: Duration::from_secs(10),
            connect_within: Duration::from_secs(5),
            unsent: 256,
            commands: 65_536,
            legs: 50_000,
            receive_buffer_bytes: 4 << 20,
        }
    }
}
