//! Digits on their way out, in the order in which they were asked for. Each request is answered
//! once: when its last digit is sent, or when it is known that it cannot be.

use std::collections::VecDeque;

use callbox_model::MediaFault;
use callbox_rtp::{EventPacket, Press, code_of};

#[derive(Debug, Default)]
pub(crate) struct Keypad {
    strokes: VecDeque<Stroke>,
    now: Now,
    /// Ticks in which nothing could be sent.
    waited: u32,
}

#[derive(Debug)]
enum Stroke {
    Digit(char),
    Wait,
    /// The end of a request.
    End,
}

#[derive(Debug, Default)]
enum Now {
    #[default]
    Idle,
    Pressing {
        press: Press,
        timestamp: u32,
    },
    Paused {
        ticks: u32,
    },
}

/// What a tick gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stroked {
    Nothing,
    Packet {
        event: EventPacket,
        is_first: bool,
        timestamp: u32,
    },
    /// Of one request.
    Sent,
}

/// What stands in the way of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// The far end must send first. It is waited for, but not for ever.
    Awaited,
    /// Never, and why.
    Closed(&'static str),
}

impl Keypad {
    /// # Errors
    /// None of it will be sent.
    pub(crate) fn ask(&mut self, digits: &str) -> Result<(), MediaFault> {
        if let Some(wrong) = digits.chars().find(|&digit| digit != 'w' && code_of(digit).is_none()) {
            return Err(MediaFault::Node(format!("{wrong:?} is no digit that can be sent")));
        }
        if self.strokes.len() + digits.len() >= MOST_STROKES {
            return Err(MediaFault::Node(format!("more than {MOST_STROKES} digits wait to be sent")));
        }
        let strokes = digits.chars().map(|digit| if digit == 'w' { Stroke::Wait } else { Stroke::Digit(digit) });
        self.strokes.extend(strokes);
        self.strokes.push_back(Stroke::End);
        Ok(())
    }

    /// While one is being sent nothing else is.
    pub(crate) fn is_pressing(&self) -> bool {
        matches!(self.now, Now::Pressing { .. })
    }

    /// Every 20 ms. `begin` gives the timestamp of an event that begins now.
    ///
    /// # Errors
    /// So many requests have failed, and why.
    pub(crate) fn tick(&mut self, way: Way, begin: impl FnOnce() -> u32) -> Result<Stroked, (usize, &'static str)> {
        if self.strokes.is_empty() && matches!(self.now, Now::Idle) {
            return Ok(Stroked::Nothing);
        }
        match way {
            Way::Open => self.waited = 0,
            Way::Awaited if self.waited < MOST_WAITED => {
                self.waited += 1;
                return Ok(Stroked::Nothing);
            }
            Way::Awaited => return Err((self.give_up(), "the far end may not be sent to before it has sent")),
            Way::Closed(why) => return Err((self.give_up(), why)),
        }
        if let Now::Paused { ticks } = &mut self.now {
            *ticks -= 1;
            if *ticks == 0 {
                self.now = Now::Idle;
            }
            return Ok(Stroked::Nothing);
        }
        if matches!(self.now, Now::Idle) {
            match self.strokes.pop_front() {
                None => {}
                Some(Stroke::End) => return Ok(Stroked::Sent),
                Some(Stroke::Wait) => self.now = Now::Paused { ticks: WAIT_TICKS },
                Some(Stroke::Digit(digit)) => {
                    if let Some(press) = Press::new(digit, PRESS_MS) {
                        self.now = Now::Pressing { press, timestamp: begin() };
                    }
                }
            }
        }
        let Now::Pressing { press, timestamp } = &mut self.now else { return Ok(Stroked::Nothing) };
        if let Some((event, is_first)) = press.next_packet() {
            return Ok(Stroked::Packet { event, is_first, timestamp: *timestamp });
        }
        self.now = Now::Paused { ticks: PAUSE_TICKS };
        if matches!(self.strokes.front(), Some(Stroke::End)) {
            self.strokes.pop_front();
            return Ok(Stroked::Sent);
        }
        Ok(Stroked::Nothing)
    }

    /// How many requests are left unanswered.
    pub(crate) fn give_up(&mut self) -> usize {
        let count = self.strokes.iter().filter(|stroke| matches!(stroke, Stroke::End)).count();
        *self = Self::default();
        count
    }
}

const PRESS_MS: u32 = 100;
/// Between two digits.
const PAUSE_TICKS: u32 = 3;
/// Half a second.
const WAIT_TICKS: u32 = 25;
/// A menu of menus has a dozen.
const MOST_STROKES: usize = 256;
/// Five seconds.
const MOST_WAITED: u32 = 250;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(keypad: &mut Keypad, ticks: usize) -> (Vec<u8>, usize) {
        let (mut firsts, mut sent) = (Vec::new(), 0);
        for _ in 0..ticks {
            match keypad.tick(Way::Open, || 0).unwrap() {
                Stroked::Packet { event, is_first: true, .. } => firsts.push(event.event),
                Stroked::Sent => sent += 1,
                _ => {}
            }
        }
        (firsts, sent)
    }

    #[test]
    fn every_request_is_answered_once_and_in_order() {
        let mut keypad = Keypad::default();
        keypad.ask("1w2").unwrap();
        keypad.ask("").unwrap();
        keypad.ask("#").unwrap();
        assert_eq!(run(&mut keypad, 100), (vec![1, 2, 11], 3));
        assert_eq!(keypad.give_up(), 0);
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let mut keypad = Keypad::default();
        assert!(keypad.ask("12x").is_err());
        assert!(keypad.ask(&"1".repeat(256)).is_err());
        assert_eq!(run(&mut keypad, 10), (Vec::new(), 0));
        keypad.ask("1").unwrap();
        keypad.ask("23").unwrap();
        assert_eq!(keypad.tick(Way::Closed("why"), || 0), Err((2, "why")));
        assert_eq!(keypad.tick(Way::Closed("why"), || 0), Ok(Stroked::Nothing));
    }

    #[test]
    fn the_far_end_is_waited_for_but_not_for_ever() {
        let mut keypad = Keypad::default();
        keypad.ask("1").unwrap();
        let ticks = (0..1_000).take_while(|_| keypad.tick(Way::Awaited, || 0).is_ok()).count();
        assert_eq!(ticks, 250);
        keypad.ask("5").unwrap();
        assert_eq!(run(&mut keypad, 20), (vec![5], 1));
    }
}
