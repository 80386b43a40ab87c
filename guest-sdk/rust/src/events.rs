//! Events as an iterator.

use crate::{Call, Event};

/// What happens to the call, in order. [`Event::Ended`] is the last.
pub struct Events<'a> {
    of: Option<&'a Call>,
}

impl<'a> Events<'a> {
    pub(crate) fn of(call: &'a Call) -> Self {
        Self { of: Some(call) }
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let event = self.of?.next();
        if let Event::Ended(_) = event {
            self.of = None;
        }
        Some(event)
    }
}
