//! Where legs are. A leg's home is the thread of its hash: it is opened there, and all that is
//! told to it goes there first. For a bridge it moves to the home of the other leg, and its own
//! home passes on what it is told, in order. It comes back only when it is to go elsewhere: its
//! home recalls it, and keeps what is told until it is there.

use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use callbox_model::{BridgeDigits, LegKey, MediaCommand, MediaFault, StepId};
use rustix::event::epoll;

use super::{Thread, slot_of, watch};
use crate::clips::Clip;
use crate::leg::{Leg, Watch};

pub(crate) enum Told {
    /// For the leg, wherever it is.
    Errand(LegKey, Errand),
    /// A leg comes to be bridged with one whose home this is.
    Visit {
        leg: Box<Leg>,
        with: LegKey,
        digits: BridgeDigits,
    },
    /// To where a leg visits: its home wants it back.
    Recall(LegKey),
    /// To the home of a leg.
    Back(Box<Leg>),
    /// To the home of a leg: it was closed where it visited.
    Gone(LegKey),
    Stop,
}

pub(crate) enum Errand {
    Command(MediaCommand),
    Ready(StepId, Result<Clip, MediaFault>),
    /// The guest, which is where this leg's home is, is to be bridged with it.
    Join {
        guest: LegKey,
        digits: BridgeDigits,
    },
}

/// A leg that is not at home.
pub(super) enum Away {
    At(usize),
    /// What was told since, in order.
    Recalled {
        waiting: Vec<Errand>,
    },
}

pub(crate) fn home(leg: LegKey, threads: usize) -> usize {
    let mixed = leg.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % threads
}

impl Errand {
    /// Whether the leg must be at home for it.
    fn is_for_home(&self) -> bool {
        matches!(self, Self::Join { .. } | Self::Command(MediaCommand::Bridge { .. }))
    }
}

impl Thread {
    pub(super) fn told(&mut self, told: Told) -> ControlFlow<()> {
        match told {
            Told::Errand(key, errand) => self.errand(key, errand),
            Told::Visit { leg, with, digits } => {
                let guest = leg.key;
                self.adopt(leg);
                self.errand(with, Errand::Join { guest, digits });
            }
            Told::Recall(key) => {
                // Where it is not here it was closed, and its home knows, or will.
                if let Some(at) = self.legs.find(key) {
                    self.part(at);
                    if let Some(leg) = self.release(at) {
                        self.count_at(home(key, self.with.peers.len()));
                        self.ring_home(key, Told::Back(leg));
                    }
                }
            }
            Told::Back(leg) => {
                let key = leg.key;
                self.adopt(leg);
                self.resume(key);
            }
            Told::Gone(key) => self.resume(key),
            Told::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    pub(super) fn errand(&mut self, key: LegKey, errand: Errand) {
        if let Some(at) = self.legs.find(key) {
            return self.run_errand(at, key, errand);
        }
        let peers = &self.with.peers;
        match self.away.get_mut(&key) {
            Some(Away::Recalled { waiting }) => waiting.push(errand),
            Some(away @ Away::At(_)) if errand.is_for_home() => {
                let recalled = Away::Recalled { waiting: vec![errand] };
                if let Away::At(thread) = std::mem::replace(away, recalled) {
                    peers[thread].ring(Told::Recall(key));
                }
            }
            Some(Away::At(thread)) => peers[*thread].ring(Told::Errand(key, errand)),
            None => self.stray(key, errand),
        }
    }

    fn run_errand(&mut self, at: usize, key: LegKey, errand: Errand) {
        match errand {
            Errand::Command(command) => self.command(at, key, command),
            Errand::Ready(step, clip) => {
                if let Some(leg) = self.legs.get(at) {
                    leg.ready(step, clip, &*self.with.events);
                }
            }
            Errand::Join { guest, digits } => self.join(at, key, guest, digits),
        }
    }

    /// It is at home, or nowhere any more: what was told meanwhile is done.
    fn resume(&mut self, key: LegKey) {
        if let Some(Away::Recalled { waiting }) = self.away.remove(&key) {
            for errand in waiting {
                self.errand(key, errand);
            }
        }
    }

    /// Sends a leg of this home to the home of the other.
    pub(super) fn visit(&mut self, at: usize, with: LegKey, digits: BridgeDigits) {
        let Some(leg) = self.release(at) else { return };
        let host = home(with, self.with.peers.len());
        self.away.insert(leg.key, Away::At(host));
        self.count_at(host);
        self.with.peers[host].ring(Told::Visit { leg, with, digits });
    }

    /// To the home of a leg, if that is not here.
    pub(super) fn ring_home(&self, key: LegKey, told: Told) {
        let home = home(key, self.with.peers.len());
        if home != self.with.number {
            self.with.peers[home].ring(told);
        }
    }

    /// A leg comes, with its sockets and all that plays and is recorded. What has come for it since
    /// waits in its sockets. A tick that fell into the move is made up at once.
    fn adopt(&mut self, mut leg: Box<Leg>) {
        leg.watch = Watch::Nobody;
        let (slot, due_ms) = (slot_of(leg.due_ms), leg.due_ms);
        let at = self.legs.put(leg);
        self.slots[slot].push(at);
        self.next_ms = self.next_ms.min(due_ms);
        self.watch(at, Watch::Calm);
        if let Some(leg) = self.legs.get(at)
            && let Err(error) = watch(&self.calm, leg.rtcp.as_fd(), at as u64 * 2 + 1)
        {
            tracing::warn!(%error, "cannot watch the reports of a leg that has moved");
        }
    }

    fn release(&mut self, at: usize) -> Option<Box<Leg>> {
        self.watch(at, Watch::Nobody);
        let leg = self.legs.take(at)?;
        let _ = epoll::delete(&self.calm, &leg.rtcp);
        self.slots[slot_of(leg.due_ms)].retain(|other| *other != at);
        Some(leg)
    }

    /// A leg goes there: it is counted there, and never nowhere.
    fn count_at(&self, thread: usize) {
        self.with.open[thread].fetch_add(1, Ordering::Relaxed);
        self.with.open[self.with.number].fetch_sub(1, Ordering::Relaxed);
    }
}
