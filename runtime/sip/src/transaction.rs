//! Transactions (RFC 3261 17, with RFC 6026 for INVITEs that were accepted).
//!
//! Four machines, each told of messages and of the time, each naming its next deadline. They say
//! what to send again; who they belong to is the agent's business.

mod client;
mod server;

pub(crate) use client::{Client, Heard};
pub(crate) use server::{Again, Server};

use std::time::Duration;

/// Time since an arbitrary zero.
pub(crate) type Time = Duration;

/// Round-trip estimate (RFC 3261 17.1.1.1).
pub(crate) const T1: Duration = Duration::from_millis(500);
/// The longest pause between retransmissions.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// How long a message stays in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// Timers B, F, H, L, M: when nobody has answered.
pub(crate) const GIVE_UP: Duration = Duration::from_millis(64 * 500);

/// Whether the transport loses messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriage {
    Unreliable,
    Reliable,
}

impl Carriage {
    /// Timers D, I, J, K are zero over a reliable transport.
    fn linger(self, time: Duration) -> Duration {
        match self {
            Self::Unreliable => time,
            Self::Reliable => Duration::ZERO,
        }
    }
}

/// A message that is sent again and again, with growing pauses.
#[derive(Debug)]
pub(crate) struct Retransmission {
    at: Time,
    pause: Duration,
    most: Duration,
}

impl Retransmission {
    /// None over a reliable transport.
    pub(crate) fn new(now: Time, carriage: Carriage, most: Duration) -> Option<Self> {
        (carriage == Carriage::Unreliable).then(|| Self::always(now, most))
    }

    /// Over any transport.
    pub(crate) fn always(now: Time, most: Duration) -> Self {
        Self { at: now + T1, pause: T1, most }
    }

    /// True when it is due; then the next one is set.
    pub(crate) fn is_due(&mut self, now: Time) -> bool {
        if self.at > now {
            return false;
        }
        self.pause = (self.pause * 2).min(self.most);
        self.at = now + self.pause;
        true
    }

    pub(crate) fn at(&self) -> Time {
        self.at
    }
}
