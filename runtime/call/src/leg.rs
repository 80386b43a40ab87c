//! A leg of the call, and all of them: who is where, in which state.

use std::collections::VecDeque;
use std::net::SocketAddr;

use callbox_model::{EndCause, Frames, Instant, LegKey, LegNumber, LegState, MediaCommand, MediaFault, StepError};
use callbox_sdp::Description;

use crate::Output;
use crate::attempts::Dialling;
use crate::bridge::Joined;
use crate::gather::{Gather, Secret};
use crate::give::Giving;
use crate::line::Line;
use crate::play::Plays;
use crate::press::Pressing;
use crate::record::Recorder;
use crate::refer::Referring;
use crate::referral::Referral;
use crate::replace::Replacing;

#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) number: LegNumber,
    pub(crate) line: Line,
    pub(crate) signal: Signal,
    pub(crate) sound: Sound,
    /// Theirs, while ours has not answered it.
    pub(crate) offer: Option<Description>,
    pub(crate) plays: Plays,
    pub(crate) gather: Option<Gather>,
    pub(crate) secret: Option<Secret>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) pressing: Option<Pressing>,
    pub(crate) joined: Joined,
    /// `Bridge` commands that media has not answered; what it says to the last of them counts.
    pub(crate) bridgings: u32,
    pub(crate) referring: Option<Referring>,
    pub(crate) referral: Option<Box<Referral>>,
    pub(crate) replacing: Option<Box<Replacing>>,
    pub(crate) giving: Option<Box<Giving>>,
    /// Re-offers of theirs, since when.
    pub(crate) reoffers: (u32, Instant),
    /// Its frames before it came here.
    pub(crate) base: Frames,
    /// The first boundary of the ledger that waits for its count; every later one does too.
    pub(crate) owes: Option<usize>,
}

#[derive(Debug)]
pub(crate) enum Signal {
    Offered,
    Ringing(u16),
    /// Our 200 is being sent.
    Answering,
    /// Our 200 held the offer; theirs comes with the ACK.
    AwaitingAnswer,
    /// Of a leg that we dial.
    Dialling(Box<Dialling>),
    Answered,
    /// We have asked for its end.
    Leaving {
        until: Instant,
        answered: bool,
    },
    Ended(EndCause),
}

#[derive(Debug)]
pub(crate) enum Sound {
    Silent,
    Opening(Then),
    Open(SocketAddr),
    Failed(MediaFault),
    /// The last figures are still to come.
    Closing {
        until: Instant,
    },
    Gone,
}

/// What the port was opened for.
#[derive(Debug)]
pub(crate) enum Then {
    Ring { status: u16 },
    Answer { headers: Vec<callbox_model::Header> },
    Dial,
}

impl Leg {
    pub(crate) fn new(number: LegNumber, line: Line, signal: Signal, offer: Option<Description>) -> Self {
        Self {
            number,
            line,
            signal,
            sound: Sound::Silent,
            offer,
            plays: Plays::default(),
            gather: None,
            secret: None,
            recorder: None,
            pressing: None,
            joined: Joined::No,
            bridgings: 0,
            referring: None,
            referral: None,
            replacing: None,
            giving: None,
            reoffers: (0, Instant::default()),
            base: Frames::default(),
            owes: None,
        }
    }

    pub(crate) const fn is_answered(&self) -> bool {
        matches!(self.signal, Signal::AwaitingAnswer | Signal::Answered | Signal::Leaving { answered: true, .. })
    }

    /// A final answer was not given yet, and none is on its way.
    pub(crate) const fn is_unanswered(&self) -> bool {
        matches!(self.signal, Signal::Offered | Signal::Ringing(_))
    }

    /// Neither over nor being hung up.
    pub(crate) const fn stands(&self) -> bool {
        !matches!(self.signal, Signal::Leaving { .. } | Signal::Ended(_))
    }

    pub(crate) const fn ended(&self) -> Option<&EndCause> {
        match &self.signal {
            Signal::Ended(cause) => Some(cause),
            _ => None,
        }
    }

    /// Nothing will come of it any more.
    pub(crate) const fn is_gone(&self) -> bool {
        matches!((&self.signal, &self.sound), (Signal::Ended(_), Sound::Gone))
    }

    pub(crate) const fn can_be_heard(&self) -> bool {
        matches!(self.sound, Sound::Open(_)) && self.stands()
    }

    /// It was offered to another call, which has not answered.
    pub(crate) fn is_on_offer(&self) -> bool {
        self.giving.as_ref().is_some_and(|giving| giving.is_offered())
    }

    pub(crate) fn state(&self) -> LegState {
        match &self.signal {
            Signal::Offered | Signal::Answering => LegState::Trying,
            Signal::Ringing(status) => LegState::Ringing(*status),
            Signal::Dialling(dialling) => dialling.ringing.map_or(LegState::Trying, LegState::Ringing),
            Signal::AwaitingAnswer | Signal::Answered | Signal::Leaving { .. } if self.line.is_held() => LegState::Held,
            Signal::AwaitingAnswer | Signal::Answered | Signal::Leaving { .. } => LegState::Answered,
            Signal::Ended(cause) => LegState::Ended(cause.clone()),
        }
    }

    pub(crate) fn dialling(&mut self) -> Option<&mut Dialling> {
        match &mut self.signal {
            Signal::Dialling(dialling) => Some(dialling),
            _ => None,
        }
    }

    /// The local end of its sound.
    pub(crate) const fn local(&self) -> Option<SocketAddr> {
        match self.sound {
            Sound::Open(local) => Some(local),
            _ => None,
        }
    }

    pub(crate) fn update_media(&self, out: &mut Vec<Output>) {
        if self.local().is_some() {
            self.line.media(MediaCommand::Update(self.line.media_plan()), out);
        }
    }
}

/// In the order of their numbers.
#[derive(Debug)]
pub(crate) struct Legs {
    pub(crate) all: Vec<Leg>,
    last: LegNumber,
    /// The newest of those that are not here any more.
    departed: VecDeque<(LegNumber, Departed)>,
}

#[derive(Debug)]
pub(crate) enum Departed {
    Ended(EndCause),
    Given,
}

/// Whose signalling a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Dialog(LegNumber),
    Attempt(LegNumber),
    /// Of a far end that is taking a place.
    Replacing(LegNumber),
    /// Of a far end that wanted the place of a leg on offer.
    OnOffer(LegNumber),
}

impl Legs {
    /// Most calls have one.
    pub(crate) fn new() -> Self {
        Self { all: Vec::with_capacity(1), last: 0, departed: VecDeque::new() }
    }

    pub(crate) fn next_number(&mut self) -> LegNumber {
        self.last += 1;
        self.last
    }

    pub(crate) fn get(&self, number: LegNumber) -> Option<&Leg> {
        self.all.iter().find(|leg| leg.number == number)
    }

    pub(crate) fn get_mut(&mut self, number: LegNumber) -> Option<&mut Leg> {
        self.all.iter_mut().find(|leg| leg.number == number)
    }

    /// A leg on offer is not it when its new owner is this very call.
    pub(crate) fn whose(&self, key: LegKey) -> Option<Whose> {
        self.all.iter().find_map(|leg| {
            let number = leg.number;
            if leg.line.dialog == key {
                return Some(Whose::Dialog(number));
            }
            if matches!(&leg.signal, Signal::Dialling(dialling) if dialling.has(key)) {
                return Some(Whose::Attempt(number));
            }
            if leg.replacing.as_ref().is_some_and(|replacing| replacing.key == key) {
                return Some(Whose::Replacing(number));
            }
            leg.giving.as_ref().is_some_and(|giving| giving.has(key)).then_some(Whose::OnOffer(number))
        })
    }

    pub(crate) fn by_port(&self, key: LegKey) -> Option<&Leg> {
        self.all.iter().find(|leg| leg.line.port == key)
    }

    pub(crate) fn by_dialog(&self, key: LegKey) -> Option<&Leg> {
        self.all.iter().find(|leg| leg.line.dialog == key)
    }

    /// Those that count against `legs_per_call`.
    pub(crate) fn standing(&self) -> usize {
        self.all.iter().filter(|leg| leg.ended().is_none()).count()
    }

    /// Takes it out of the call.
    pub(crate) fn depart(&mut self, number: LegNumber, how: Departed) -> Option<Leg> {
        let place = self.all.iter().position(|leg| leg.number == number)?;
        if self.departed.len() >= MOST_DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back((number, how));
        Some(self.all.remove(place))
    }

    /// A leg that a step may act on.
    pub(crate) fn check(&self, number: LegNumber) -> Result<&Leg, StepError> {
        let Some(leg) = self.get(number) else {
            return Err(match self.departed.iter().find(|(gone, _)| *gone == number) {
                Some((_, Departed::Ended(cause))) => StepError::Ended(cause.clone()),
                Some((_, Departed::Given)) => StepError::State(format!("leg {number} was given to another call")),
                None => StepError::State(format!("the call has no leg {number}")),
            });
        };
        match leg.ended() {
            Some(cause) => Err(StepError::Ended(cause.clone())),
            None if leg.giving.is_some() => {
                Err(StepError::State(format!("leg {number} is being given to another call")))
            }
            None => Ok(leg),
        }
    }

    /// One that is answered, and not being hung up.
    pub(crate) fn check_talking(&self, number: LegNumber) -> Result<&Leg, StepError> {
        let leg = self.check(number)?;
        match &leg.signal {
            Signal::Answered if leg.local().is_some() => Ok(leg),
            Signal::Leaving { .. } => Err(StepError::State(format!("leg {number} is being hung up"))),
            _ => Err(StepError::State(format!("leg {number} is not answered"))),
        }
    }
}

/// Of which a step is told how they left. Older ones never were.
const MOST_DEPARTED: usize = 64;
