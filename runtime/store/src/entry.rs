//! What is written down, and what reads back.

use callbox_model::{Change, Event, Run, Subject, TenantId, Wall};

use crate::OutboundLeg;

/// One thing to write down. Entries are applied in order, and all of a batch or none.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Written once for each subject and sequence; again, it changes nothing.
    Event(Event),
    /// The newest state of a Run. Replaces what is kept, unless that is closed or newer.
    Run(Run),
    /// An event of a subject that nobody else counts: the store gives the sequence.
    Note(Note),
    /// What was bought of a trunk. One row for each leg; the larger figures stand.
    Outbound(OutboundLeg),
}

/// An event without its sequence. Written at least once: a database that fails in the middle of
/// its commit may have it twice, under two sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub subject: Subject,
    pub tenant: Option<TenantId>,
    pub at: Wall,
    pub change: Change,
}

/// An event and its place in the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Grows with every event, with holes. What stands before a position never changes.
    pub position: i64,
    pub event: Event,
}

/// Some events, and how far was looked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub events: Vec<Stored>,
    /// The last event's position when there may be more; otherwise the newest position of all.
    /// The next question starts here.
    pub end: i64,
}

/// What a dead process left open, and was closed for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    pub calls: u64,
    pub runs: u64,
    pub recordings: u64,
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

impl From<Run> for Entry {
    fn from(run: Run) -> Self {
        Self::Run(run)
    }
}

impl From<Note> for Entry {
    fn from(note: Note) -> Self {
        Self::Note(note)
    }
}

impl From<OutboundLeg> for Entry {
    fn from(leg: OutboundLeg) -> Self {
        Self::Outbound(leg)
    }
}
