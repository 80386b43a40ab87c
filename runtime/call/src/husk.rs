//! What has left its leg and has not come to its end: attempts that another one has overtaken,
//! dialogs whose far end was replaced, ports that were opened under another address.
//!
//! Each was told to end and is waited for, so that nothing stands after the call.

use std::time::Duration;

use callbox_model::{Instant, LegCommand, LegEvent, LegKey, MediaCommand, MediaEvent};

use crate::Output;
use crate::call::Call;

#[derive(Debug, Default)]
pub(crate) struct Husks(Vec<Husk>);

#[derive(Debug)]
struct Husk {
    key: LegKey,
    what: What,
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Dialog,
    Port,
}

impl Husks {
    pub(crate) fn has(&self, key: LegKey) -> bool {
        self.0.iter().any(|husk| husk.key == key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        self.0.iter().map(|husk| (husk.until, "the end of what has left its leg")).min()
    }

    fn place(&self, key: LegKey, what: What) -> Option<usize> {
        self.0.iter().position(|husk| husk.key == key && husk.what == what)
    }
}

impl Call {
    pub(crate) fn shed_dialog(&mut self, key: LegKey, reason: Option<String>, out: &mut Vec<Output>) {
        out.push(Output::Leg(key, LegCommand::Hangup { ask: NOBODY_ASKS, reason }));
        self.await_dialog(key);
    }

    /// Refuses a far end that has no place here.
    pub(crate) fn shed_offer(&mut self, key: LegKey, status: u16, reason: &str, out: &mut Vec<Output>) {
        let reason = reason.to_owned();
        out.push(Output::Leg(key, LegCommand::Reject { ask: NOBODY_ASKS, status, reason, headers: Vec::new() }));
        self.await_dialog(key);
    }

    fn await_dialog(&mut self, key: LegKey) {
        let until = self.now.at + crate::ending::LEAVE_WITHIN;
        self.husks.0.push(Husk { key, what: What::Dialog, until });
    }

    pub(crate) fn shed_port(&mut self, key: LegKey, out: &mut Vec<Output>) {
        out.push(Output::Media(key, MediaCommand::Close));
        let until = self.now.at + CLOSE_WITHIN;
        self.husks.0.push(Husk { key, what: What::Port, until });
    }

    pub(crate) fn husk_event(&mut self, key: LegKey, event: &LegEvent, out: &mut Vec<Output>) {
        let Some(place) = self.husks.place(key, What::Dialog) else {
            self.strays += 1;
            return;
        };
        match event {
            // A command that found nothing: it never began, or its end was told already.
            LegEvent::Ended(_) | LegEvent::Reply { result: Err(_), .. } => self.husk_gone(place, out),
            // Its 200 crossed our good-bye.
            LegEvent::Answered { .. } => {
                out.push(Output::Leg(key, LegCommand::Hangup { ask: NOBODY_ASKS, reason: None }));
            }
            _ => {}
        }
    }

    pub(crate) fn husk_media(&mut self, key: LegKey, event: &MediaEvent, out: &mut Vec<Output>) {
        let Some(place) = self.husks.place(key, What::Port) else {
            self.strays += 1;
            return;
        };
        match event {
            MediaEvent::Closed { frames } => {
                self.past = crate::frames::plus(self.past, *frames);
                self.husk_gone(place, out);
            }
            MediaEvent::Failed(_) => self.husk_gone(place, out),
            _ => {}
        }
    }

    fn husk_gone(&mut self, place: usize, out: &mut Vec<Output>) {
        let husk = self.husks.0.swap_remove(place);
        self.forget(husk.key, out);
    }

    /// A key may be of a port that stands and of a dialog that is over: the last one forgets it.
    pub(crate) fn forget(&self, key: LegKey, out: &mut Vec<Output>) {
        let is_used = self.legs.all.iter().any(|leg| leg.line.port == key || leg.line.dialog == key);
        if !is_used && !self.husks.has(key) {
            out.push(Output::Forget { leg: key });
        }
    }

    pub(crate) fn husks_tick(&mut self, out: &mut Vec<Output>) {
        while let Some(place) = self.husks.0.iter().position(|husk| husk.until <= self.now.at) {
            self.husk_gone(place, out);
        }
    }
}

/// Of commands whose reply changes nothing.
const NOBODY_ASKS: u32 = 0;
/// Media needs a moment.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
