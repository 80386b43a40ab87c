//! Two legs that hear each other.

use std::os::fd::AsFd;

use callbox_model::{BridgeDigits, LegKey, MediaEvent, MediaFault};
use rustix::event::epoll;

use super::homes::Errand;
use super::{Thread, home, watch};
use crate::leg::{Link, Watch};

impl Thread {
    /// The leg is at home. Where the other is, or on its way there, the bridge is made.
    pub(super) fn bridge(&mut self, at: usize, key: LegKey, with: LegKey, digits: BridgeDigits) {
        self.part(at);
        if key == with {
            return self.bridged(key, Err("a leg cannot be bridged with itself"));
        }
        if let Some(leg) = self.legs.get(at) {
            leg.link = Link::Waiting { with };
        }
        if home(with, self.with.peers.len()) == self.with.number {
            self.errand(with, Errand::Join { guest: key, digits });
        } else {
            self.visit(at, with, digits);
        }
    }

    /// Both are here. If the guest has changed its mind, it was answered then.
    pub(super) fn join(&mut self, at: usize, key: LegKey, guest: LegKey, digits: BridgeDigits) {
        let Some(one) = self.waiting(guest, key) else { return };
        self.part(at);
        for (leg, with) in [(one, at), (at, one)] {
            if let Some(leg) = self.legs.get(leg) {
                leg.join(with, digits);
            }
            self.watch(leg, Watch::Live);
        }
        self.bridged(guest, Ok(()));
    }

    /// The other leg does not exist.
    pub(super) fn join_nobody(&mut self, key: LegKey, guest: LegKey) {
        if let Some(at) = self.waiting(guest, key) {
            if let Some(leg) = self.legs.get(at) {
                leg.link = Link::Alone;
            }
            self.bridged(guest, Err("there is no such leg"));
        }
    }

    fn waiting(&mut self, guest: LegKey, key: LegKey) -> Option<usize> {
        let at = self.legs.find(guest)?;
        let link = self.legs.get(at)?.link;
        (link == Link::Waiting { with: key }).then_some(at)
    }

    /// Ends the bridge of this leg, if there is one, or is to be one.
    pub(super) fn part(&mut self, at: usize) {
        let Some(leg) = self.legs.get(at) else { return };
        let key = leg.key;
        match std::mem::replace(&mut leg.link, Link::Alone) {
            Link::Alone => {}
            Link::Waiting { .. } => self.bridged(key, Err("it was parted before the other leg was there")),
            Link::Bridged { with, .. } => {
                if let Some(other) = self.legs.get(with) {
                    other.link = Link::Alone;
                }
                self.watch(at, Watch::Calm);
                self.watch(with, Watch::Calm);
            }
        }
    }

    pub(super) fn bridged(&self, key: LegKey, result: Result<(), &str>) {
        let result = result.map_err(|why| MediaFault::Node(why.to_owned()));
        (self.with.events)(key, MediaEvent::Bridged { result });
    }

    /// Who waits for the packets of a leg.
    pub(super) fn watch(&mut self, at: usize, wish: Watch) {
        let Some(leg) = self.legs.get(at) else { return };
        if leg.watch == wish {
            return;
        }
        let _ = match leg.watch {
            Watch::Calm => epoll::delete(&self.calm, &leg.rtp),
            Watch::Live => epoll::delete(&self.live, &leg.rtp),
            Watch::Hushed => {
                self.hushed -= 1;
                Ok(())
            }
            Watch::Nobody => Ok(()),
        };
        let watched = match wish {
            Watch::Calm => watch(&self.calm, leg.rtp.as_fd(), at as u64 * 2),
            Watch::Live => watch(&self.live, leg.rtp.as_fd(), at as u64 * 2),
            Watch::Hushed => {
                self.hushed += 1;
                Ok(())
            }
            Watch::Nobody => Ok(()),
        };
        leg.watch = wish;
        if let Err(error) = watched {
            tracing::warn!(%error, "cannot watch the packets of a leg: it is not heard any more");
        }
    }
}
