//! What happened while the module waited for something else: in order, bounded.
//!
//! Strangers can fill it: digits past the limit push out the oldest digit, messages past it are
//! refused, and of a leg's states the newest is told. Ends and outcomes are never left out.

use std::collections::VecDeque;

use callbox_model::{Digit, EndCause, GuestEvent, LegNumber, LegState, Millis};

#[derive(Debug)]
pub(crate) struct Mailbox {
    waiting: VecDeque<Item>,
    most: usize,
    digits: usize,
    messages: usize,
    /// Digits pushed out.
    pub(crate) lost_digits: u64,
    end: Option<EndCause>,
}

#[derive(Debug)]
enum Item {
    /// `at` is its place among all digits of the call; the length is known when it is let go.
    Digit {
        leg: LegNumber,
        digit: char,
        at: usize,
        length: Option<Millis>,
    },
    Event(GuestEvent),
}

impl Mailbox {
    pub(crate) fn new(most: u32) -> Self {
        Self { waiting: VecDeque::new(), most: most.max(1) as usize, digits: 0, messages: 0, lost_digits: 0, end: None }
    }

    pub(crate) fn put(&mut self, event: GuestEvent) {
        // A far end may ring, hold and ask for transfers as often as it likes while nobody listens.
        if is_passing(&event) {
            let kind = |event: &GuestEvent| (leg_of(event), std::mem::discriminant(event));
            let is_older = |older: &GuestEvent| is_passing(older) && kind(older) == kind(&event);
            let older = self.waiting.iter().position(|item| matches!(item, Item::Event(older) if is_older(older)));
            if let Some(place) = older {
                self.waiting.remove(place);
            }
        }
        self.waiting.push_back(Item::Event(event));
    }

    /// False when there are too many of them.
    pub(crate) fn put_message(&mut self, message: callbox_model::Message) -> bool {
        if self.messages >= self.most {
            return false;
        }
        self.messages += 1;
        self.waiting.push_back(Item::Event(GuestEvent::Message(message)));
        true
    }

    pub(crate) fn put_digit(&mut self, leg: LegNumber, digit: char, at: usize) {
        if self.digits >= self.most
            && let Some(oldest) = self.waiting.iter().position(|item| matches!(item, Item::Digit { .. }))
        {
            self.waiting.remove(oldest);
            self.digits -= 1;
            self.lost_digits += 1;
        }
        self.digits += 1;
        self.waiting.push_back(Item::Digit { leg, digit, at, length: None });
    }

    /// The newest digit was let go. Nothing to do when it is not here any more.
    pub(crate) fn let_go(&mut self, leg: LegNumber, digit: char, length: Millis) {
        let newest = self.waiting.iter_mut().rev().find_map(|item| match item {
            Item::Digit { leg: on, digit: pressed, length: open @ None, .. } if *pressed == digit && *on == leg => {
                Some(open)
            }
            _ => None,
        });
        if let Some(open) = newest {
            *open = Some(length);
        }
    }

    /// The leg is not here any more: what was held is let go.
    pub(crate) fn let_all_go(&mut self, leg: LegNumber) {
        for item in &mut self.waiting {
            if let Item::Digit { leg: on, length: open @ None, .. } = item
                && *on == leg
            {
                *open = Some(0);
            }
        }
    }

    /// The oldest digit of a leg, for a gather, with its place.
    pub(crate) fn take_digit(&mut self, leg: LegNumber) -> Option<(char, usize)> {
        let oldest = self.waiting.iter().position(|item| matches!(item, Item::Digit { leg: on, .. } if *on == leg))?;
        match self.waiting.remove(oldest)? {
            Item::Digit { digit, at, .. } => {
                self.digits -= 1;
                Some((digit, at))
            }
            Item::Event(_) => None,
        }
    }

    /// From now on the end is what comes when nothing else is left.
    pub(crate) fn end(&mut self, cause: EndCause) {
        self.end = Some(cause);
        // A digit that was held when the call ended is let go by it.
        for item in &mut self.waiting {
            if let Item::Digit { length: open @ None, .. } = item {
                *open = Some(0);
            }
        }
    }

    /// Of a digit, its place among all digits too.
    pub(crate) fn next(&mut self) -> Option<(GuestEvent, Option<usize>)> {
        match self.waiting.front() {
            // Its length is not known yet, and nothing may overtake it.
            Some(Item::Digit { length: None, .. }) => return None,
            Some(_) => {}
            None => return self.end.clone().map(|cause| (GuestEvent::Ended(cause), None)),
        }
        match self.waiting.pop_front()? {
            Item::Digit { leg, digit, at, length } => {
                self.digits -= 1;
                let digit = Digit { leg, digit, length: length.unwrap_or_default() };
                Some((GuestEvent::Digit(digit), Some(at)))
            }
            Item::Event(event) => {
                if matches!(event, GuestEvent::Message(_)) {
                    self.messages -= 1;
                }
                Some((event, None))
            }
        }
    }
}

/// What a newer one of the same leg makes old.
const fn is_passing(event: &GuestEvent) -> bool {
    match event {
        GuestEvent::Leg(change) => !matches!(change.state, LegState::Ended(_)),
        GuestEvent::Refer(_) => true,
        _ => false,
    }
}

const fn leg_of(event: &GuestEvent) -> Option<LegNumber> {
    match event {
        GuestEvent::Leg(change) => Some(change.leg),
        GuestEvent::Refer(request) => Some(request.leg),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(mailbox: &mut Mailbox) -> Option<GuestEvent> {
        mailbox.next().map(|(event, _)| event)
    }

    fn cause() -> EndCause {
        EndCause { status: 0, reason: String::new(), remote: true }
    }

    #[test]
    fn a_digit_that_is_held_lets_nothing_overtake_it() {
        let mut mailbox = Mailbox::new(4);
        mailbox.put_digit(1, '5', 0);
        mailbox.put_message(callbox_model::Message { sender: String::new(), body: String::new() });
        assert_eq!(next(&mut mailbox), None);
        mailbox.let_go(1, '5', 120);
        assert!(matches!(next(&mut mailbox), Some(GuestEvent::Digit(Digit { digit: '5', length: 120, .. }))));
        assert!(matches!(next(&mut mailbox), Some(GuestEvent::Message(_))));
        assert_eq!(next(&mut mailbox), None);
    }

    #[test]
    fn the_oldest_digits_are_left_out_and_counted() {
        let mut mailbox = Mailbox::new(2);
        for (at, digit) in "123".chars().enumerate() {
            mailbox.put_digit(1, digit, at);
            mailbox.let_go(1, digit, 1);
        }
        assert_eq!(mailbox.take_digit(1), Some(('2', 1)));
        assert_eq!(mailbox.lost_digits, 1);
    }

    #[test]
    fn of_a_leg_s_states_the_newest_is_told_and_its_end_beside() {
        let mut mailbox = Mailbox::new(2);
        let state = |state| GuestEvent::Leg(callbox_model::LegChange { leg: 2, state });
        for status in 180..190 {
            mailbox.put(state(LegState::Ringing(status)));
        }
        mailbox.put_digit(2, '1', 0);
        mailbox.put(state(LegState::Answered));
        mailbox.put(state(LegState::Ended(cause())));
        mailbox.let_all_go(2);
        assert!(matches!(next(&mut mailbox), Some(GuestEvent::Digit(Digit { leg: 2, length: 0, .. }))));
        assert_eq!(next(&mut mailbox), Some(state(LegState::Answered)));
        assert_eq!(next(&mut mailbox), Some(state(LegState::Ended(cause()))));
        assert_eq!(next(&mut mailbox), None);
    }

    #[test]
    fn the_end_comes_last_and_again() {
        let mut mailbox = Mailbox::new(2);
        mailbox.put_digit(1, '1', 0);
        mailbox.end(cause());
        assert!(matches!(next(&mut mailbox), Some(GuestEvent::Digit(_))));
        assert_eq!(next(&mut mailbox), Some(GuestEvent::Ended(cause())));
        assert_eq!(next(&mut mailbox), Some(GuestEvent::Ended(cause())));
    }
}
