//! What happened while the module waited for something else: in order, bounded.
//!
//! Strangers can fill it: digits past the limit push out the oldest digit, messages past it are
//! refused. Ends and outcomes are never left out.

use std::collections::VecDeque;

use callbox_model::{Digit, EndCause, GuestEvent, LegState, Millis};

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

    /// A hold or its end takes the place of one of the same leg that was not heard yet: far ends may
    /// hold and resume as often as they like.
    pub(crate) fn put(&mut self, event: GuestEvent) {
        if let GuestEvent::Leg(change) = &event
            && is_hold(&change.state)
        {
            let leg = change.leg;
            let is_same = |item: &Item| matches!(item, Item::Event(GuestEvent::Leg(other)) if other.leg == leg && is_hold(&other.state));
            self.waiting.retain(|item| !is_same(item));
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

    pub(crate) fn put_digit(&mut self, digit: char, at: usize) {
        if self.digits >= self.most
            && let Some(oldest) = self.waiting.iter().position(|item| matches!(item, Item::Digit { .. }))
        {
            self.waiting.remove(oldest);
            self.digits -= 1;
            self.lost_digits += 1;
        }
        self.digits += 1;
        self.waiting.push_back(Item::Digit { digit, at, length: None });
    }

    /// The newest digit was let go. Nothing to do when it is not here any more.
    pub(crate) fn let_go(&mut self, digit: char, length: Millis) {
        let newest = self.waiting.iter_mut().rev().find_map(|item| match item {
            Item::Digit { digit: pressed, length: open @ None, .. } if *pressed == digit => Some(open),
            _ => None,
        });
        if let Some(open) = newest {
            *open = Some(length);
        }
    }

    /// The oldest digit, for a gather, with its place.
    pub(crate) fn take_digit(&mut self) -> Option<(char, usize)> {
        let oldest = self.waiting.iter().position(|item| matches!(item, Item::Digit { .. }))?;
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
            Item::Digit { digit, at, length } => {
                self.digits -= 1;
                let digit = Digit { leg: 1, digit, length: length.unwrap_or_default() };
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

fn is_hold(state: &LegState) -> bool {
    matches!(state, LegState::Held | LegState::Answered)
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
        mailbox.put_digit('5', 0);
        mailbox.put_message(callbox_model::Message { sender: String::new(), body: String::new() });
        assert_eq!(next(&mut mailbox), None);
        mailbox.let_go('5', 120);
        assert!(matches!(next(&mut mailbox), Some(GuestEvent::Digit(Digit { digit: '5', length: 120, .. }))));
        assert!(matches!(next(&mut mailbox), Some(GuestEvent::Message(_))));
        assert_eq!(next(&mut mailbox), None);
    }

    #[test]
    fn the_oldest_digits_are_left_out_and_counted() {
        let mut mailbox = Mailbox::new(2);
        for (at, digit) in "123".chars().enumerate() {
            mailbox.put_digit(digit, at);
            mailbox.let_go(digit, 1);
        }
        assert_eq!(mailbox.take_digit(), Some(('2', 1)));
        assert_eq!(mailbox.lost_digits, 1);
    }

    #[test]
    fn the_end_comes_last_and_again() {
        let mut mailbox = Mailbox::new(2);
        mailbox.put_digit('1', 0);
        mailbox.end(cause());
        assert!(matches!(next(&mut mailbox), Some(GuestEvent::Digit(_))));
        assert_eq!(next(&mut mailbox), Some(GuestEvent::Ended(cause())));
        assert_eq!(next(&mut mailbox), Some(GuestEvent::Ended(cause())));
    }
}
