//! When callbox itself holds the call. After the last handler: a spoken apology for an answered caller, a SIP status for one who still
//! hears it ring.

use callbox_model::{Instant, Speech, StepId};

use crate::Output;
use crate::call::{Anchor, Call};
use crate::control::Holder;
use crate::leg::Signal;

/// What callbox does while it holds the call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LastResort {
    /// Leg 1 of an outbound call is being dialled; the first handler has the call when it answers.
    Dialling,
    /// Nothing is left to do but to see the legs end.
    Waiting,
    /// Hung up after its words, or when they take too long.
    Speaking { step: StepId, until: Instant },
    /// An answer is on its way; what to do is known when it is there.
    Answering { until: Instant },
}

impl Call {
    pub(crate) fn start_last_resort(&mut self, out: &mut Vec<Output>) {
        self.hold_by_callbox(out);
        self.last_words(out);
    }

    fn last_words(&mut self, out: &mut Vec<Output>) {
        let speech = self.apology();
        let leg = self.legs.get(1);
        let can_be_heard = leg.is_some_and(|leg| leg.can_be_heard() && leg.giving.is_none());
        let doing = match leg.map(|leg| &leg.signal) {
            Some(Signal::Offered | Signal::Ringing(_)) => {
                let status = self.application.last_resort_status;
                // An unanswered leg can always be refused.
                let _ = self.reject(status, String::new(), Vec::new(), out);
                LastResort::Waiting
            }
            Some(Signal::Answering | Signal::AwaitingAnswer) => {
                LastResort::Answering { until: self.now.at + ANSWER_WITHIN }
            }
            Some(Signal::Leaving { .. } | Signal::Ended(_)) if self.anchor == Anchor::Leg1 => LastResort::Waiting,
            Some(Signal::Answered) if can_be_heard && speech.is_some() => {
                let step = self.next_step();
                if let Some(speech) = speech {
                    self.speak(1, step, speech, out);
                }
                LastResort::Speaking { step, until: self.now.at + SPEAK_WITHIN }
            }
            // Leg 1 is elsewhere, or there is nothing to say.
            _ => {
                self.hang_up(Some("no handler left"), out);
                LastResort::Waiting
            }
        };
        if let Holder::Callbox { doing: slot, .. } = &mut self.control.holder {
            *slot = doing;
        }
    }

    fn apology(&self) -> Option<Speech> {
        let text = self.application.apology.as_deref().unwrap_or(APOLOGY);
        (!text.is_empty()).then(|| Speech {
            text: text.to_owned(),
            voice: self.application.voice.clone(),
            language: self.application.language.clone(),
        })
    }

    /// The words were said, or could not be.
    pub(crate) fn last_words_said(&mut self, step: StepId, out: &mut Vec<Output>) {
        if let Holder::Callbox { doing, .. } = &mut self.control.holder
            && matches!(doing, LastResort::Speaking { step: spoken, .. } if *spoken == step)
        {
            *doing = LastResort::Waiting;
            self.hang_up(Some("no handler left"), out);
        }
    }

    pub(crate) fn last_resort_deadline(&self) -> Option<(Instant, &'static str)> {
        match &self.control.holder {
            Holder::Callbox { doing: LastResort::Speaking { until, .. }, .. } => Some((*until, "the last words")),
            // Looked at with every input; this only bounds it.
            Holder::Callbox { doing: LastResort::Answering { until }, .. } => Some((*until, "the answer")),
            _ => None,
        }
    }

    pub(crate) fn last_resort_tick(&mut self, out: &mut Vec<Output>) {
        if self.last_resort_deadline().is_some_and(|(until, _)| until <= self.now.at) {
            if let Holder::Callbox { doing, .. } = &mut self.control.holder {
                *doing = LastResort::Waiting;
            }
            self.hang_up(Some("no handler left"), out);
        }
    }

    /// The answer that an earlier handler had begun is through.
    pub(crate) fn last_resort_answered(&mut self, out: &mut Vec<Output>) {
        if matches!(&self.control.holder, Holder::Callbox { doing: LastResort::Answering { .. }, .. }) {
            self.last_words(out);
        }
    }
}

const APOLOGY: &str = "We are sorry. This service is not available. Goodbye.";
/// Timer H of signalling is 32 s; then the leg is over anyway.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(40);
const SPEAK_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);
