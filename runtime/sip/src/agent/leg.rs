//! One leg: its dialog, and how far it has come.

use std::time::Duration;

use bytes::Bytes;

use super::border::{Credentials, Peer, Settings};
use super::chance::Key;
use super::dial::Dialling;
use super::dialog::Dialog;
use super::extensions::Options;
use super::prack::Reliable;
use super::refer::Subscription;
use super::referring::Referring;
use super::reoffer::Ours;
use super::session_timer::SessionTimer;
use crate::transaction::{Retransmission, Time};

#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) dialog: Dialog,
    pub(crate) stage: Stage,
    /// A 200 of ours to an INVITE, until its ACK.
    pub(crate) accepted: Option<Accepted>,
    /// Their re-INVITE, UPDATE or PRACK with an offer, until it is answered.
    pub(crate) reoffer: Option<Reoffer>,
    /// Our re-INVITE or UPDATE, until it is answered.
    pub(crate) ours: Option<Ours>,
    pub(crate) timer: Option<SessionTimer>,
    /// The far end's REFER.
    pub(crate) subscription: Option<Subscription>,
    /// Our REFER.
    pub(crate) referring: Option<Referring>,
    /// What the far end can do, as it said last.
    pub(crate) options: Options,
    pub(crate) credentials: Option<Box<Credentials>>,
    /// Our newest session description, where a refresh may need it.
    pub(crate) described: Option<Bytes>,
    /// No session of it may be shorter (RFC 4028).
    pub(crate) min_session: Duration,
    /// REFERs of the far end that were accepted.
    pub(crate) refers: u32,
    /// The connection under which it is found in [`super::Agent::reached`].
    pub(crate) reached: u64,
    pub(crate) deadline: Option<Time>,
}

#[derive(Debug)]
pub(crate) enum Stage {
    /// Theirs, not answered.
    Incoming(Box<Incoming>),
    /// Answered, one way or the other.
    Up,
    /// Ours, not answered.
    Dialling(Box<Dialling>),
    /// Our BYE waits for its answer.
    Leaving { reason: String },
}

#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) transaction: Key,
    /// The INVITE's own number, whatever comes within the early dialog: its ACK has it.
    pub(crate) cseq: u32,
    /// When the caller wants no answer any more (13.3.1).
    pub(crate) expires: Option<Time>,
    /// When the caller is told again that it rings (13.3.1.1).
    pub(crate) remind: Option<Time>,
    pub(crate) reliable: Reliable,
    /// Whose turn it was to offer.
    pub(crate) offer: OfferIn,
}

/// Who describes the session first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfferIn {
    /// The INVITE did.
    Invite,
    /// We do, in a reliable 18x or in the 200.
    Answer,
}

/// 13.3.1.4: the 200 is sent again until its ACK, over any transport.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) bytes: Bytes,
    /// Where it went.
    pub(crate) peer: Peer,
    pub(crate) cseq: u32,
    pub(crate) again: Retransmission,
    pub(crate) until: Time,
    pub(crate) kind: AcceptedKind,
    /// The answer to our offer came before, in a PRACK.
    pub(crate) answer: Option<Vec<u8>>,
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
    pub(crate) transaction: Key,
    pub(crate) cseq: u32,
    pub(crate) until: Time,
    pub(crate) kind: ReofferKind,
    /// Of the far end: while we dial there may be several.
    pub(crate) tag: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReofferKind {
    Invite,
    InviteAsking,
    Update,
    Prack,
}

impl Leg {
    pub(crate) fn new(dialog: Dialog, stage: Stage, options: Options, settings: &Settings) -> Self {
        Self {
            dialog,
            stage,
            accepted: None,
            reoffer: None,
            ours: None,
            timer: None,
            subscription: None,
            referring: None,
            options,
            credentials: None,
            described: None,
            min_session: settings.min_session,
            refers: 0,
            reached: 0,
            deadline: None,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let stage = match &self.stage {
            Stage::Dialling(dialling) => Some(dialling.deadline()),
            Stage::Incoming(incoming) => {
                let reliable = incoming.reliable.deadline();
                [incoming.remind, incoming.expires, reliable].into_iter().flatten().min()
            }
            Stage::Up | Stage::Leaving { .. } => None,
        };
        [
            self.accepted.as_ref().map(|accepted| accepted.again.at().min(accepted.until)),
            self.reoffer.as_ref().map(|reoffer| reoffer.until),
            self.ours.as_ref().and_then(|ours| ours.deadline(self.may_offer())),
            self.timer.as_ref().map(|timer| timer.at),
            self.subscription.as_ref().map(|subscription| subscription.until),
            self.referring.as_ref().map(|referring| referring.until),
            stage,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether an offer of ours may be made: the session stands, and no other is open.
    pub(crate) fn may_offer(&self) -> bool {
        matches!(self.stage, Stage::Up) && self.reoffer.is_none() && self.accepted.is_none()
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

impl Accepted {
    pub(crate) fn new(now: Time, bytes: Bytes, peer: Peer, cseq: u32, kind: AcceptedKind) -> Self {
        let again = Retransmission::always(now, crate::transaction::T2);
        Self { bytes, peer, cseq, again, until: now + crate::transaction::GIVE_UP, kind, answer: None, bye: None }
    }
}

/// 13.3.1.1: proxies give a call up that is silent for three minutes.
pub(crate) const REMIND_EVERY: Duration = Duration::from_secs(60);
