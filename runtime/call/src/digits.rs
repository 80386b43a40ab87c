//! A digit: who gets it.
//!
//! It is told when it is pressed, so that prompts stop at once, and again when it is let go, when
//! its length is known. It goes to the gather that runs on its leg; else it waits in line.

use callbox_model::{Change, LegNumber, Millis};

use crate::Output;
use crate::call::Call;

impl Call {
    pub(crate) fn digit_began(&mut self, number: LegNumber, digit: char, out: &mut Vec<Output>) {
        let at = self.digits.len();
        // Strangers press what they like for as long as they like.
        if at < MOST_DIGITS {
            let shown = if self.is_secret(number) { '*' } else { digit };
            self.digits.push(shown);
        }
        self.stop_recording_on(number, digit, out);
        if self.is_gathering(number) {
            self.gather_digit(number, digit, at, out);
            return;
        }
        let lost = self.mailbox.lost_digits;
        self.mailbox.put_digit(number, digit, at);
        if lost == 0 && self.mailbox.lost_digits > 0 {
            let detail = "digits that nobody asked for are left out, the oldest first".to_owned();
            self.record(Change::LimitReached { limit: "event_digits".to_owned(), detail }, out);
        }
        self.stop_plays_on(number, digit, out);
    }

    pub(crate) fn digit_ended(&mut self, number: LegNumber, digit: char, length: Millis, out: &mut Vec<Output>) {
        self.mailbox.let_go(number, digit, length);
        self.secret_let_go(number, out);
        self.deliver(out);
    }
}

/// Digits of one call that a successor is told of.
const MOST_DIGITS: usize = 4_096;
