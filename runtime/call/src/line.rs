//! What a leg is to whoever owns it: what goes along when it is given to another call.

use std::net::SocketAddr;

use callbox_model::{Frames, Header, Instant, LegCommand, LegKey, MediaCommand, MediaPlan};
use callbox_sdp::{Agreed, Direction, Session};

use crate::{Output, offer};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Of its sound.
    pub(crate) port: LegKey,
    /// Of its signalling. The same as `port` for a leg that was offered, until another far end
    /// takes its place.
    pub(crate) dialog: LegKey,
    pub(crate) address: String,
    /// Of the far end's last message that had any.
    pub(crate) headers: Vec<Header>,
    /// Without its `remote`, which is made of `agreed`.
    pub(crate) plan: MediaPlan,
    pub(crate) session: Session,
    pub(crate) agreed: Option<Agreed>,
    /// What we want of its sound: less than all while we hold it.
    pub(crate) wants: Direction,
    pub(crate) held: Held,
    pub(crate) asks: Asks,
    /// Of its sound, as last counted.
    pub(crate) frames: Frames,
    /// It is hung up then.
    pub(crate) limit: Option<Instant>,
}

/// Whether the far end holds us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    No,
    ByThem,
}

/// Commands of a leg that signalling has not replied to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asks {
    last: u32,
    open: Vec<(u32, LegAsk)>,
}

/// What a reply of signalling is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegAsk {
    Ring {
        status: u16,
    },
    Answer,
    Reject,
    Hangup,
    /// The answer to their re-INVITE.
    Reoffer,
    Dial,
    /// Our re-INVITE.
    Change {
        wants: Direction,
    },
    Refer,
    AnswerRefer {
        status: u16,
    },
    NotifyRefer,
    Info,
}

impl Line {
    pub(crate) fn new(key: LegKey, address: String, plan: MediaPlan, session: u64) -> Self {
        Self {
            port: key,
            dialog: key,
            address,
            headers: Vec::new(),
            plan,
            session: Session::new(session),
            agreed: None,
            wants: Direction::SendRecv,
            held: Held::No,
            asks: Asks::default(),
            frames: Frames::default(),
            limit: None,
        }
    }

    pub(crate) fn command(&mut self, kind: LegAsk, out: &mut Vec<Output>, command: impl FnOnce(u32) -> LegCommand) {
        let ask = self.asks.next(kind);
        out.push(Output::Leg(self.dialog, command(ask)));
    }

    pub(crate) fn media(&self, command: MediaCommand, out: &mut Vec<Output>) {
        out.push(Output::Media(self.port, command));
    }

    pub(crate) fn media_plan(&self) -> MediaPlan {
        MediaPlan { remote: self.agreed.as_ref().map(offer::remote), ..self.plan.clone() }
    }

    pub(crate) const fn is_held_by_us(&self) -> bool {
        !matches!(self.wants, Direction::SendRecv)
    }

    /// By either side.
    pub(crate) fn is_held(&self) -> bool {
        self.held == Held::ByThem || self.is_held_by_us()
    }
}

impl Asks {
    pub(crate) fn next(&mut self, kind: LegAsk) -> u32 {
        self.last += 1;
        self.open.push((self.last, kind));
        self.last
    }

    pub(crate) fn take(&mut self, ask: u32) -> Option<LegAsk> {
        let place = self.open.iter().position(|(open, _)| *open == ask)?;
        Some(self.open.swap_remove(place).1)
    }

    pub(crate) fn has(&self, kind: LegAsk) -> bool {
        self.open.iter().any(|(_, open)| *open == kind)
    }

    /// What our re-INVITE wants that is being answered.
    pub(crate) fn change(&self) -> Option<Direction> {
        self.open.iter().find_map(|(_, kind)| match kind {
            LegAsk::Change { wants } => Some(*wants),
            _ => None,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether the far end owes an answer. To what it has asked itself, ours is on its way: phones
    /// often begin with a re-INVITE (RFC 3264 10.2, one codec of several).
    pub(crate) fn are_of_far_end(&self) -> bool {
        self.open.iter().any(|(_, kind)| *kind != LegAsk::Reoffer)
    }

    /// What is still said of them changes nothing.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }
}

/// A leg on its way from one call to another, with all that its new owner needs. Opaque to the
/// node, which only carries it.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenLeg {
    pub(crate) line: Line,
    /// Ours, where its sound comes to.
    pub(crate) local: SocketAddr,
}

impl GivenLeg {
    /// What `Adopted` and `Declined` name it by.
    pub fn key(&self) -> LegKey {
        self.line.port
    }

    /// Its signalling, where that has a key of its own.
    pub fn dialog(&self) -> LegKey {
        self.line.dialog
    }
}
