//! The sound of a leg: its port, and what was agreed about it.

use std::time::Duration;

use callbox_model::{Change, EndCause, LegNumber, LegState, MediaCommand, MediaEvent, MediaFault, Outcome, StepError};
use callbox_sdp::{Agreed, Direction};

use crate::call::Call;
use crate::control::Wait;
use crate::give::GIVE_COUNT;
use crate::leg::{Signal, Sound, Then};
use crate::line::Held;
use crate::{Output, offer};

impl Call {
    /// What media tells of the port. Of what is heard there: `play`, `record`, `digits`, `bridge`.
    pub(crate) fn sound_event(&mut self, number: LegNumber, event: MediaEvent, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        match event {
            MediaEvent::Opened { rtp } => match std::mem::replace(&mut leg.sound, Sound::Open(rtp)) {
                Sound::Opening(Then::Dial) => self.try_round(number, out),
                Sound::Opening(then) if leg.is_unanswered() => self.opened_then(then, out),
                // It is ending meanwhile.
                Sound::Opening(_) => {}
                other => {
                    self.strays += 1;
                    leg.sound = other;
                }
            },
            MediaEvent::Failed(_) if matches!(leg.sound, Sound::Closing { .. }) => {
                // It was closed before it was known that it never opened.
                leg.sound = Sound::Gone;
                self.counted_last(number, None);
            }
            MediaEvent::Failed(fault) => self.not_opened(number, fault, out),
            MediaEvent::Silent { for_ms } => {
                // Who is on hold, or has agreed to send nothing, is silent by right.
                if matches!(leg.signal, Signal::Answered) && !leg.line.is_held() {
                    let why = format!("no sound from the far end for {} s", for_ms / 1_000);
                    self.hang_up_leg(number, Some(why), out);
                }
            }
            MediaEvent::Counted { ask, frames } => {
                self.counted(number, ask as usize, frames);
                if ask == GIVE_COUNT {
                    self.offer_leg(number, out);
                }
            }
            MediaEvent::Closed { frames } => {
                leg.sound = Sound::Gone;
                self.counted_last(number, Some(frames));
            }
            MediaEvent::FirstPacket { .. } => {}
            _ => self.strays += 1,
        }
    }

    fn not_opened(&mut self, number: LegNumber, fault: MediaFault, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Sound::Opening(then) = &leg.sound else {
            self.strays += 1;
            return;
        };
        let words = media_words(&fault);
        let is_dialled = matches!(then, Then::Dial);
        leg.sound = Sound::Failed(fault);
        if is_dialled {
            self.leg_ended(number, EndCause { status: 503, reason: words, remote: false }, out);
        } else {
            let outcome = Outcome::Failed(StepError::Unavailable(words));
            self.finish(|wait| matches!(wait, Wait::Answer | Wait::Ring), outcome, out);
        }
    }

    /// What flows has changed. `wants` is what our offer or answer said of it.
    pub(crate) fn agree(&mut self, number: LegNumber, agreed: Agreed, wants: Direction, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let line = &mut leg.line;
        let (was_held, was_held_by) = (line.is_held(), line.held);
        // While we want nothing at all, what they would want is not known; it stays as it was.
        line.held = match (agreed.sends, wants.sends()) {
            (true, _) => Held::No,
            (false, true) => Held::ByThem,
            (false, false) => line.held,
        };
        line.wants = wants;
        line.agreed = Some(agreed);
        let (is_held, they_changed) = (line.is_held(), line.held != was_held_by);
        leg.update_media(out);
        if was_held != is_held {
            self.record(Change::LegHeld { leg: number, held: is_held }, out);
            // Of its own doing the module knows.
            if they_changed {
                let state = if is_held { LegState::Held } else { LegState::Answered };
                self.tell_leg(number, state, out);
            }
        }
    }

    /// For the first time.
    pub(crate) fn sound_agreed(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        if let Some(agreed) = &leg.line.agreed {
            let codec = offer::codec_name(agreed);
            if !agreed.sends {
                leg.line.held = Held::ByThem;
            }
            self.record(Change::LegMedia { leg: number, codec }, out);
        }
    }

    pub(crate) fn close_sound(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let until = self.now.at + CLOSE_WITHIN;
        let Some(leg) = self.legs.get_mut(number) else { return };
        match leg.sound {
            Sound::Opening(_) | Sound::Open(_) => {
                leg.line.media(MediaCommand::Close, out);
                leg.sound = Sound::Closing { until };
            }
            Sound::Silent | Sound::Failed(_) => leg.sound = Sound::Gone,
            Sound::Closing { .. } | Sound::Gone => {}
        }
    }

    /// A step that needs the leg's sound.
    pub(crate) fn check_heard(&self, number: LegNumber) -> Result<(), StepError> {
        let leg = self.legs.check(number)?;
        match (&leg.signal, leg.can_be_heard()) {
            (_, true) => Ok(()),
            (Signal::Leaving { .. }, _) => Err(StepError::State("the call is being hung up".to_owned())),
            _ if number == 1 => {
                Err(StepError::State("nothing can be heard yet: answer first, or ring with early media".to_owned()))
            }
            _ => Err(StepError::State(format!("nothing can be heard on leg {number} before it is answered"))),
        }
    }
}

pub(crate) fn media_words(fault: &MediaFault) -> String {
    match fault {
        MediaFault::NoAsset(name) => format!("the application has no asset `{name}`"),
        MediaFault::BadAsset(why) => format!("the asset cannot be played: {why}"),
        MediaFault::NoVoice(why) => format!("no voice engine: {why}"),
        MediaFault::NoPort => "no RTP port is free".to_owned(),
        MediaFault::Node(why) => why.clone(),
    }
}

/// Media needs a moment to finish recordings.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
