//! One leg: its dialog, and how far it has come.

use bytes::Bytes;

use super::dialog::Dialog;
use crate::message::Message;
use crate::transaction::{Retransmission, Time};

#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) dialog: Dialog,
    pub(crate) stage: Stage,
    /// A 200 of ours to an INVITE, until its ACK.
    pub(crate) accepted: Option<Accepted>,
    /// Their re-INVITE or UPDATE, until it is answered.
    pub(crate) reoffer: Option<Reoffer>,
    pub(crate) deadline: Option<Time>,
}

#[derive(Debug)]
pub(crate) enum Stage {
    /// Theirs, not answered. `remind` is when the caller is told again that it rings (13.3.1.1).
    Incoming { transaction: String, remind: Option<Time> },
    /// Answered, one way or the other.
    Up,
    /// Ours, not answered. `give_up` is when nobody has.
    Dialling { branch: String, invite: Message, give_up: Time, cancel: Cancel },
    /// Our BYE waits for its answer.
    Leaving { reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    No,
    /// As soon as a provisional answer allows it (9.1).
    Wanted {
        reason: Option<String>,
    },
    Sent,
}

/// 13.3.1.4: the 200 is sent again until its ACK, over any transport.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) bytes: Bytes,
    pub(crate) cseq: u32,
    pub(crate) again: Retransmission,
    pub(crate) until: Time,
    pub(crate) kind: AcceptedKind,
    /// A hang-up that came before the ACK waits for it (15).
    pub(crate) bye: Option<Option<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptedKind {
    First,
    /// A re-INVITE that held an offer.
    Again,
    /// A re-INVITE that asked for ours.
    AgainOffering,
}

#[derive(Debug)]
pub(crate) struct Reoffer {
    pub(crate) transaction: String,
    pub(crate) cseq: u32,
    pub(crate) until: Time,
    pub(crate) kind: ReofferKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReofferKind {
    Invite,
    InviteAsking,
    Update,
}

impl Leg {
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let accepted = self.accepted.as_ref().map(|accepted| accepted.again.at().min(accepted.until));
        let reoffer = self.reoffer.as_ref().map(|reoffer| reoffer.until);
        let stage = match &self.stage {
            Stage::Dialling { give_up, .. } => Some(*give_up),
            Stage::Incoming { remind, .. } => *remind,
            Stage::Up | Stage::Leaving { .. } => None,
        };
        [accepted, reoffer, stage].into_iter().flatten().min()
    }

    /// What it is, for a refusal.
    pub(crate) fn state(&self) -> &'static str {
        match &self.stage {
            Stage::Incoming { .. } => "ringing",
            Stage::Up => "answered",
            Stage::Dialling { .. } => "being dialled",
            Stage::Leaving { .. } => "being hung up",
        }
    }
}
