//! The far end's REFER (RFC 3515, 3892): our user decides, and its sender hears what comes of it.

use std::time::Duration;

use super::Agent;
use super::asking::Purpose;
use super::border::{Effect, Event, LegId, No};
use super::chance::Key;
use super::leg::Stage;
use super::requests::Request;
use crate::header::Name;
use crate::message::{Message, Method};
use crate::scan;
use crate::transaction::Time;
use crate::write::phrase;

#[derive(Debug)]
pub(crate) struct Subscription {
    /// The REFER's own number, which tells several in one dialog apart (2.4.6).
    id: u32,
    phase: Phase,
    /// When it is declined, or is over.
    pub(super) until: Time,
}

#[derive(Debug)]
enum Phase {
    Asked {
        transaction: Key,
        wants: Wants,
    },
    /// With what was told last.
    Active {
        told: u16,
        wants: Wants,
    },
}

/// RFC 4488.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Notify,
    Nothing,
}

/// Our user has so long: a far end that waits longer has hung up.
const DECIDE_WITHIN: Duration = Duration::from_secs(5);
/// As long as a call may ring: what comes later interests nobody.
const LASTS: Duration = Duration::from_secs(180);

impl Agent {
    pub(super) fn referred(&mut self, now: Time, id: LegId, request: Request<'_>, out: &mut Vec<Effect>) {
        let Request { key, message, cseq, .. } = request;
        let Some((to, replaces)) = self.read_refer_to(message) else {
            self.refuse(now, key, 400, "Refer-To names no one place", &[], out);
            return;
        };
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !matches!(leg.stage, Stage::Up) {
            self.refuse(now, key, 403, "The call is not answered", &[], out);
            return;
        }
        // One at a time: a user is told of one.
        if leg.subscription.is_some() {
            self.refuse(now, key, 491, "", &[], out);
            return;
        }
        let is_quiet = message.text(Name::ReferSub).is_some_and(|wants| wants.eq_ignore_ascii_case("false"));
        let wants = if is_quiet { Wants::Nothing } else { Wants::Notify };
        let phase = Phase::Asked { transaction: key, wants };
        leg.subscription = Some(Subscription { id: cseq, phase, until: now + DECIDE_WITHIN });
        let by = message.text(Name::ReferredBy);
        self.tell(id, Event::Referred { to, by, replaces }, out);
    }

    pub(super) fn decide_referral(
        &mut self,
        now: Time,
        id: LegId,
        status: u16,
        out: &mut Vec<Effect>,
    ) -> Result<(), No> {
        let Some(leg) = self.legs.get(&id) else { return Err(No::Gone) };
        if !matches!(leg.subscription, Some(Subscription { phase: Phase::Asked { .. }, .. })) {
            return Err(No::State("asked for no transfer"));
        }
        if !(200..=699).contains(&status) {
            return Err(No::Invalid(format!("{status} answers no REFER")));
        }
        self.answer_referral(now, id, status, out);
        Ok(())
    }

    /// Nothing, when nothing is asked.
    pub(super) fn answer_referral(&mut self, now: Time, id: LegId, status: u16, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let is_asked = |it: &mut Subscription| matches!(it.phase, Phase::Asked { .. });
        let Some(Subscription { id: number, phase: Phase::Asked { transaction, wants }, .. }) =
            leg.subscription.take_if(is_asked)
        else {
            return;
        };
        if status >= 300 {
            self.refuse(now, transaction, status, "", &[], out);
            return;
        }
        leg.refers += 1;
        let phase = Phase::Active { told: 100, wants };
        leg.subscription = Some(Subscription { id: number, phase, until: now + LASTS });
        let contact = leg.dialog.contact(&self.settings);
        let mut headers = vec![("Contact", contact.as_str())];
        if wants == Wants::Nothing {
            headers.push(("Refer-Sub", "false"));
        }
        // 2.4.2: whatever it is that was accepted, it is not done yet.
        self.refuse(now, transaction, 202, "", &headers, out);
        self.notify(now, id, None, out);
    }

    pub(super) fn notify_referrer(
        &mut self,
        now: Time,
        id: LegId,
        status: u16,
        out: &mut Vec<Effect>,
    ) -> Result<(), No> {
        if !(100..=699).contains(&status) {
            return Err(No::Invalid(format!("{status} is no status")));
        }
        let Some(leg) = self.legs.get_mut(&id) else { return Err(No::Gone) };
        let Some(Subscription { phase: Phase::Active { told, .. }, .. }) = &mut leg.subscription else {
            return Err(No::State("told of no transfer"));
        };
        *told = status;
        self.notify(now, id, (status >= 200).then_some("noresource"), out);
        Ok(())
    }

    /// 2.4.4, 2.4.5. With a reason, it is the last one.
    fn notify(&mut self, now: Time, id: LegId, last: Option<&'static str>, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(Subscription { id: number, phase: Phase::Active { told, wants }, until }) = &leg.subscription else {
            return;
        };
        let (number, told, wants, until) = (*number, *told, *wants, *until);
        if last.is_some() {
            leg.subscription = None;
        }
        if wants == Wants::Nothing {
            return;
        }
        let (mut writer, branch) = leg.dialog.request(&Method::Notify, &self.settings, &mut self.chance);
        let peer = leg.dialog.next_hop();
        writer.header("Contact", &leg.dialog.contact(&self.settings)).header("User-Agent", &self.settings.product);
        // 2.4.6: the first needs no id, and there are phones that expect none.
        match leg.refers {
            1 => writer.header("Event", "refer"),
            _ => writer.parts("Event", &["refer;id=", &number.to_string()]),
        };
        match last {
            Some(reason) => writer.parts("Subscription-State", &["terminated;reason=", reason]),
            None => {
                let left = until.saturating_sub(now).as_secs().to_string();
                writer.parts("Subscription-State", &["active;expires=", &left])
            }
        };
        let body = format!("SIP/2.0 {told} {}\r\n", phrase(told));
        if let Ok(bytes) = writer.body("message/sipfrag;version=2.0", body.as_bytes()) {
            self.ask_bytes(now, peer, branch, Method::Notify, Purpose::Notify(id), bytes, out);
        }
    }

    /// RFC 6665 4.2.2: it wants no more, or cannot hear it.
    pub(super) fn notify_refused(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.subscription.take_if(|it| matches!(it.phase, Phase::Active { .. }));
        }
    }

    /// A SUBSCRIBE within the dialog: it prolongs, or ends, what its REFER began (2.4.4).
    pub(super) fn resubscribed(&mut self, now: Time, id: LegId, request: Request<'_>, out: &mut Vec<Effect>) {
        let Request { key, message, .. } = request;
        if event_of(message).is_none() {
            self.refuse(now, key, 489, "", &[("Allow-Events", super::extensions::EVENTS)], out);
            return;
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(Subscription { phase: Phase::Active { .. }, until, .. }) = &mut leg.subscription else {
            self.refuse(now, key, 481, "", &[], out);
            return;
        };
        let asked = message.first(Name::Expires).and_then(|value| scan::number::<u32>(&value));
        let expires = asked.map_or(LASTS, |seconds| Duration::from_secs(seconds.into()).min(LASTS));
        *until = now + expires;
        let (contact, seconds) = (leg.dialog.contact(&self.settings), expires.as_secs().to_string());
        self.refuse(now, key, 200, "", &[("Contact", &contact), ("Expires", &seconds)], out);
        self.notify(now, id, expires.is_zero().then_some("timeout"), out);
    }

    pub(super) fn refer_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get(&id) else { return };
        match &leg.subscription {
            Some(Subscription { phase: Phase::Asked { .. }, until, .. }) if *until <= now => {
                self.answer_referral(now, id, 603, out);
            }
            Some(Subscription { until, .. }) if *until <= now => self.notify(now, id, Some("timeout"), out),
            _ => {}
        }
    }
}

/// The id of a `refer` event, if it has one. None: it is another package.
pub(super) fn event_of(message: &Message) -> Option<Option<u32>> {
    let value = message.text(Name::Event)?;
    let (package, params) = value.split_once(';').unwrap_or((&value, ""));
    let id = crate::header::Params::read(params.as_bytes())?.get("id");
    package.trim().eq_ignore_ascii_case("refer").then(|| id.and_then(|id| scan::number(id.as_bytes())))
}
