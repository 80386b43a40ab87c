//! Session timers (RFC 4028): a call whose far end is gone without a word is ended. One side
//! refreshes the session half-way through its time; the other one waits for that, and hangs up.

use std::time::Duration;

use super::Agent;
use super::border::{Effect, LegId};
use super::extensions::{Can, supports};
use super::leg::{Leg, Stage};
use super::reoffer::{Ours, least_session};
use crate::header::{Name, Params};
use crate::message::Message;
use crate::scan;
use crate::transaction::Time;
use crate::write::Writer;

#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionTimer {
    interval: Duration,
    refresher: Refresher,
    pub(crate) at: Time,
    next: Next,
    /// When the session is over unless it is refreshed.
    end: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresher {
    Us,
    Them,
}

/// What happens at `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Refresh,
    End,
}

impl SessionTimer {
    fn new(now: Time, interval: Duration, refresher: Refresher) -> Self {
        // 10: not later than half-way; and a BYE a little before the end, so that it is heard in it.
        let end = now + interval - (interval / 3).min(Duration::from_secs(32));
        let (at, next) = match refresher {
            Refresher::Us => (now + interval / 2, Next::Refresh),
            Refresher::Them => (end, Next::End),
        };
        Self { interval, refresher, at, next, end }
    }
}

impl Agent {
    /// 9: what is below our least is answered 422, to those that understand it.
    pub(super) fn too_brief(&self, message: &Message) -> Option<String> {
        let (wanted, _) = session_expires(message)?;
        let least = self.settings.min_session;
        (wanted < least && supports(message, "timer")).then(|| least.as_secs().to_string())
    }

    /// 7.1: what our INVITE asks for.
    pub(super) fn ask_for_session(&self, writer: &mut Writer, timer: Option<&SessionTimer>, least: Duration) {
        let interval = timer.map_or(self.settings.session, |timer| timer.interval).max(least).as_secs().to_string();
        match timer.map(|timer| timer.refresher) {
            None => writer.header("Session-Expires", &interval),
            // Seen from the one who asks.
            Some(Refresher::Us) => writer.parts("Session-Expires", &[&interval, ";refresher=uac"]),
            Some(Refresher::Them) => writer.parts("Session-Expires", &[&interval, ";refresher=uas"]),
        };
        if least > USUAL_LEAST {
            writer.header("Min-SE", &least.as_secs().to_string());
        }
    }

    /// What a re-INVITE or UPDATE of ours asks for: that all stays as it is.
    pub(super) fn ask_for_session_of(&self, id: LegId, writer: &mut Writer) {
        if let Some(Leg { timer: Some(timer), min_session, .. }) = self.legs.get(&id) {
            self.ask_for_session(writer, Some(timer), *min_session);
        }
    }

    /// 9: what our 2xx to this INVITE or UPDATE says, and what holds from now on.
    pub(super) fn agree_on_session(&mut self, now: Time, id: LegId, request: &Message, writer: &mut Writer) {
        let ours = self.settings.session;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let knows_it = supports(request, "timer");
        let asked = session_expires(request);
        if !knows_it && asked.is_none() {
            // Nobody along the way knows of it.
            leg.timer = None;
            return;
        }
        // We may shorten what is asked for, but not below the least of anybody on the way.
        let least = least_session(request).unwrap_or_default().max(self.settings.min_session);
        let interval = asked.map_or(ours, |(wanted, _)| wanted.min(ours)).max(least);
        let refresher = match asked.and_then(|(_, refresher)| refresher) {
            _ if !knows_it => Refresher::Us,
            Some(Named::Uac) => Refresher::Them,
            Some(Named::Uas) => Refresher::Us,
            // Who has the timer keeps it; of a new one, we would rather hear ourselves.
            None => leg.timer.map_or(Refresher::Us, |timer| timer.refresher),
        };
        leg.timer = Some(SessionTimer::new(now, interval, refresher));
        let seconds = interval.as_secs().to_string();
        match refresher {
            Refresher::Us => writer.parts("Session-Expires", &[&seconds, ";refresher=uas"]),
            Refresher::Them => writer.parts("Session-Expires", &[&seconds, ";refresher=uac"]),
        };
        if knows_it {
            writer.header("Require", "timer");
        }
    }

    /// 7.2: what the far end's 2xx says holds.
    pub(super) fn begin_session_timer(&mut self, now: Time, id: LegId, response: &Message) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.timer = session_expires(response).map(|(interval, refresher)| {
            let refresher = if refresher == Some(Named::Uas) { Refresher::Them } else { Refresher::Us };
            // Nobody may have it shorter, whatever it says.
            SessionTimer::new(now, interval.max(USUAL_LEAST), refresher)
        });
        if leg.timer.is_none() {
            leg.described = None;
        }
    }

    /// 7.3: our INVITE asked for less than somebody on the way wants. None: it asks for no more.
    pub(super) fn longer_session(&self, request: &Message, response: &Message) -> Option<[(Name, String); 2]> {
        let least = least_session(response)?;
        let (asked, _) = session_expires(request)?;
        let known = least_session(request).unwrap_or_default();
        let seconds = |duration: Duration| duration.as_secs().to_string();
        (least > known).then(|| [(Name::SessionExpires, seconds(asked.max(least))), (Name::MinSe, seconds(least))])
    }

    pub(super) fn session_timer_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(timer) = leg.timer.as_mut().filter(|timer| timer.at <= now) else { return };
        if !matches!(leg.stage, Stage::Up) {
            // It waits for what stands before its 200; then it begins.
            *timer = SessionTimer::new(now, timer.interval, timer.refresher);
            return;
        }
        match timer.next {
            Next::End => self.send_bye(now, id, Some("the session has expired".to_owned()), out),
            Next::Refresh => {
                (timer.at, timer.next) = (timer.end, Next::End);
                // One that waits for its turn refreshes as well.
                if leg.ours.is_none() {
                    let body = match leg.options.update {
                        Can::Yes => None,
                        Can::Unsaid => leg.described.clone(),
                    };
                    leg.ours = Some(Ours::refresh(now, body));
                    self.reoffer_tick(now, id, out);
                }
            }
        }
    }
}

/// Seen from the one who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Uac,
    Uas,
}

fn session_expires(message: &Message) -> Option<(Duration, Option<Named>)> {
    let value = message.first(Name::SessionExpires)?;
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    let seconds = scan::number::<u32>(value[..end].trim_ascii())?;
    let refresher = Params::read(value.get(end + 1..).unwrap_or_default())?.get("refresher");
    let refresher = match refresher.as_deref() {
        Some(uac) if uac.eq_ignore_ascii_case("uac") => Some(Named::Uac),
        Some(uas) if uas.eq_ignore_ascii_case("uas") => Some(Named::Uas),
        _ => None,
    };
    Some((Duration::from_secs(seconds.into()), refresher))
}

/// RFC 4028 5: what it is where nobody says Min-SE.
const USUAL_LEAST: Duration = Duration::from_secs(90);
