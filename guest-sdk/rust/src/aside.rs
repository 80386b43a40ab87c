//! Events that somebody looked past on the way to another: kept in order for whoever asks next.

use std::collections::VecDeque;
use std::mem::discriminant;

use crate::{EndCause, Event, LegState};

#[derive(Default)]
pub(crate) struct Aside {
    waiting: VecDeque<Event>,
}

impl Aside {
    /// The oldest. The call's end is given again and again, as the contract does it.
    pub(crate) fn next(&mut self) -> Option<Event> {
        match self.waiting.front()? {
            Event::Ended(cause) => Some(Event::Ended(cause.clone())),
            _ => self.waiting.pop_front(),
        }
    }

    /// The first event that `wanted` has a use for, of those here and of those `next` brings, which
    /// are put here on the way. None when `next` brings none; an error when the call is over first.
    pub(crate) fn look<T>(
        &mut self,
        mut wanted: impl FnMut(&Event) -> Option<T>,
        mut next: impl FnMut() -> Option<Event>,
    ) -> Result<Option<T>, EndCause> {
        for place in 0..self.waiting.len() {
            if let Some(found) = self.waiting.get(place).and_then(&mut wanted) {
                self.take(place);
                return Ok(Some(found));
            }
        }
        loop {
            if let Some(Event::Ended(cause)) = self.waiting.back() {
                return Err(cause.clone());
            }
            let Some(event) = next() else { return Ok(None) };
            let found = wanted(&event);
            if found.is_none() || matches!(event, Event::Ended(_)) {
                self.put(event);
            }
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn take(&mut self, place: usize) {
        if !matches!(self.waiting.get(place), Some(Event::Ended(_))) {
            self.waiting.remove(place);
        }
    }

    /// Strangers press digits, hold and come back, and ask for transfers, as often as they like: of
    /// these no more is kept than the contract keeps in line.
    fn put(&mut self, event: Event) {
        match &event {
            Event::Digit(_) => self.make_room(|other| matches!(other, Event::Digit(_)), MOST_DIGITS),
            // One that nobody answered is answered by the node after 5 s, before another can come.
            Event::Refer(asked) => {
                let leg = asked.leg;
                self.make_room(|other| matches!(other, Event::Refer(older) if older.leg == leg), 1);
            }
            Event::Leg(change) if self.is_back(change.leg, &change.state) => return,
            _ => {}
        }
        self.waiting.push_back(event);
    }

    /// Leaves out the oldest of a kind when there are as many as there may be.
    fn make_room(&mut self, kind: impl Fn(&Event) -> bool, most: usize) {
        if self.waiting.iter().filter(|event| kind(event)).count() >= most
            && let Some(oldest) = self.waiting.iter().position(kind)
        {
            self.waiting.remove(oldest);
        }
    }

    /// A hold that was taken back while nobody heard of it is left out, and so is a return to it.
    fn is_back(&mut self, leg: u32, state: &LegState) -> bool {
        if !matches!(state, LegState::Held | LegState::Answered) {
            return false;
        }
        let is_same =
            |place: usize| self.state_of(place, leg).is_some_and(|old| discriminant(old) == discriminant(state));
        let mut places = (0..self.waiting.len()).rev().filter(|place| self.state_of(*place, leg).is_some());
        let Some(last) = places.next() else { return false };
        if is_same(last) {
            return true;
        }
        let is_back = places.next().is_some_and(is_same);
        if is_back {
            self.waiting.remove(last);
        }
        is_back
    }

    fn state_of(&self, place: usize, leg: u32) -> Option<&LegState> {
        match self.waiting.get(place)? {
            Event::Leg(change) if change.leg == leg => Some(&change.state),
            _ => None,
        }
    }
}

const MOST_DIGITS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digit, LegChange, ReferRequest};

    fn digit(digit: char) -> Event {
        Event::Digit(Digit { leg: 1, digit, length: 100 })
    }

    fn leg(leg: u32, state: LegState) -> Event {
        Event::Leg(LegChange { leg, state })
    }

    fn ended() -> Event {
        Event::Ended(EndCause { status: 0, reason: String::new(), remote: true })
    }

    fn answer_of(number: u32) -> impl Fn(&Event) -> Option<()> {
        move |event| match event {
            Event::Leg(LegChange { leg, state: LegState::Answered }) if *leg == number => Some(()),
            _ => None,
        }
    }

    fn left(aside: &mut Aside) -> Vec<String> {
        aside.waiting.drain(..).map(|event| format!("{event:?}")).collect()
    }

    fn as_text(events: impl IntoIterator<Item = Event>) -> Vec<String> {
        events.into_iter().map(|event| format!("{event:?}")).collect()
    }

    #[test]
    fn what_was_looked_past_comes_later_in_order() {
        let mut aside = Aside::default();
        let line = [digit('1'), leg(2, LegState::Ringing(180)), digit('2'), leg(2, LegState::Answered), digit('3')];
        let mut line = line.into_iter();
        assert_eq!(aside.look(answer_of(2), || line.next()).map_err(drop), Ok(Some(())));
        // The one that was waited for is gone; what came behind it is still in the node's line.
        assert_eq!(left(&mut aside), as_text([digit('1'), leg(2, LegState::Ringing(180)), digit('2')]));
        assert_eq!(as_text(line), as_text([digit('3')]));
    }

    #[test]
    fn what_was_put_aside_for_one_is_found_by_another() {
        let mut aside = Aside::default();
        let mut line = [leg(3, LegState::Answered), digit('1'), leg(2, LegState::Answered)].into_iter();
        assert_eq!(aside.look(answer_of(2), || line.next()).map_err(drop), Ok(Some(())));
        assert_eq!(aside.look(answer_of(3), || panic!("it is here already")).map_err(drop), Ok(Some(())));
        assert_eq!(left(&mut aside), as_text([digit('1')]));
    }

    #[test]
    fn no_more_within_the_time_keeps_what_came() {
        let mut aside = Aside::default();
        let mut line = [digit('1')].into_iter();
        assert_eq!(aside.look(answer_of(2), || line.next()).map_err(drop), Ok(None));
        assert_eq!(left(&mut aside), as_text([digit('1')]));
    }

    #[test]
    fn the_end_is_an_error_stays_last_and_nobody_is_asked_after_it() {
        let mut aside = Aside::default();
        let mut line = [digit('1'), ended()].into_iter();
        assert!(aside.look(answer_of(2), || line.next()).is_err());
        assert!(aside.look(answer_of(2), || panic!("there is nothing behind the end")).is_err());
        let is_end = |event: &Event| matches!(event, Event::Ended(_)).then_some(());
        assert_eq!(aside.look(is_end, || None).map_err(drop), Ok(Some(())));
        let told: Vec<_> = std::iter::from_fn(|| aside.next()).take(3).collect();
        assert_eq!(as_text(told), as_text([digit('1'), ended(), ended()]));
    }

    #[test]
    fn one_who_waits_for_the_end_leaves_it_for_others() {
        let mut aside = Aside::default();
        let is_end = |event: &Event| matches!(event, Event::Ended(_)).then_some(());
        let mut line = [ended()].into_iter();
        assert_eq!(aside.look(is_end, || line.next()).map_err(drop), Ok(Some(())));
        assert!(matches!(aside.next(), Some(Event::Ended(_))));
    }

    #[test]
    fn strangers_cannot_fill_it() {
        let mut aside = Aside::default();
        let referred = |to: &str| Event::Refer(ReferRequest { leg: 2, to: to.to_owned() });
        let mut line: Vec<_> = (0..1_000).flat_map(|_| [digit('1'), leg(2, LegState::Held)]).collect();
        line.extend((0..1_000).flat_map(|_| [leg(2, LegState::Answered), leg(2, LegState::Held), referred("sip:a")]));
        line.extend([leg(2, LegState::Answered), referred("sip:b"), digit('2')]);
        let mut line = line.into_iter();
        assert_eq!(aside.look(|_| None::<()>, || line.next()).map_err(drop), Ok(None));
        let digits = aside.waiting.iter().filter(|event| matches!(event, Event::Digit(_))).count();
        assert_eq!(digits, 256);
        let kept = left(&mut aside);
        assert!(kept.len() <= 256 + 2 + 1, "{} are kept", kept.len());
        assert_eq!(kept.last(), Some(&format!("{:?}", digit('2'))));
        assert_eq!(kept.iter().filter(|event| event.contains("sip:")).count(), 1);
        assert!(kept.iter().any(|event| event.contains("sip:b")));
    }

    #[test]
    fn a_hold_that_was_taken_back_unheard_leaves_the_state_as_it_is() {
        let mut aside = Aside::default();
        let mut line = [
            leg(2, LegState::Answered),
            leg(2, LegState::Held),
            leg(3, LegState::Held),
            leg(2, LegState::Answered),
            leg(2, LegState::Held),
            ended(),
        ]
        .into_iter();
        assert!(aside.look(|_| None::<()>, || line.next()).is_err());
        let expected = [leg(2, LegState::Answered), leg(3, LegState::Held), leg(2, LegState::Held), ended()];
        assert_eq!(left(&mut aside), as_text(expected));
    }
}
