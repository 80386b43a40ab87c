//! Our REFER (RFC 3515, 3892), and what its receiver tells of it.

use std::time::Duration;

use super::Agent;
use super::asking::Purpose;
use super::border::{Effect, Event, LegId, No, ReferTo};
use super::leg::Stage;
use super::refer::event_of;
use super::requests::Request;
use crate::header::Name;
use crate::message::{Message, Method};
use crate::scan;
use crate::transaction::Time;
use crate::uri::Uri;

#[derive(Debug)]
pub(crate) struct Referring {
    phase: Phase,
    /// When nothing is waited for any more.
    pub(super) until: Time,
}

#[derive(Debug)]
enum Phase {
    /// The answer is due; None when the user was told that it will not come.
    Asked {
        ask: Option<u32>,
    },
    Accepted,
    /// The final status was told; a last NOTIFY may still come.
    Told,
}

impl Referring {
    pub(super) fn take_ask(&mut self) -> Option<u32> {
        match &mut self.phase {
            Phase::Asked { ask } => ask.take(),
            Phase::Accepted | Phase::Told => None,
        }
    }
}

impl Agent {
    pub(super) fn refer(
        &mut self,
        now: Time,
        id: LegId,
        ask: u32,
        to: &ReferTo,
        timeout: Duration,
        out: &mut Vec<Effect>,
    ) -> Result<(), No> {
        let refer_to = match to {
            ReferTo::Address(uri) => {
                Uri::read(uri.as_bytes()).map_err(|error| No::Invalid(error.to_string()))?;
                format!("<{uri}>")
            }
            ReferTo::Leg(other) if *other == id => return Err(No::Invalid("a leg cannot replace itself".to_owned())),
            ReferTo::Leg(other) => {
                self.refer_to_leg(*other).ok_or_else(|| No::Invalid("no answered leg to take over".to_owned()))?
            }
        };
        let Some(leg) = self.legs.get_mut(&id) else { return Err(No::Gone) };
        if !matches!(leg.stage, Stage::Up) {
            return Err(No::State(leg.state()));
        }
        if leg.referring.as_ref().is_some_and(|referring| !matches!(referring.phase, Phase::Told)) {
            return Err(No::State("referred already"));
        }
        let (mut writer, branch) = leg.dialog.request(&Method::Refer, &self.settings, &mut self.chance);
        let peer = leg.dialog.next_hop();
        writer.header("Contact", &leg.dialog.contact(&self.settings)).header("Refer-To", &refer_to);
        // RFC 3892 2.1.
        writer.header("Referred-By", &leg.dialog.local).header("User-Agent", &self.settings.product);
        let bytes = writer.empty().map_err(super::commands::unwritable)?;
        leg.referring = Some(Referring { phase: Phase::Asked { ask: Some(ask) }, until: now + timeout });
        self.ask_bytes(now, peer, branch, Method::Refer, Purpose::Refer(id), bytes, out);
        Ok(())
    }

    pub(super) fn refer_accepted(&mut self, id: LegId, out: &mut Vec<Effect>) {
        let Some(referring) = self.legs.get_mut(&id).and_then(|leg| leg.referring.as_mut()) else { return };
        if let Some(ask) = referring.take_ask() {
            // A NOTIFY may have been faster, and the last.
            referring.phase = Phase::Accepted;
            self.reply(id, ask, Ok(()), out);
        }
    }

    pub(super) fn refer_refused(&mut self, id: LegId, status: u16, reason: &str, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let is_asked = |referring: &mut Referring| matches!(referring.phase, Phase::Asked { .. });
        let Some(mut referring) = leg.referring.take_if(is_asked) else { return };
        if let Some(ask) = referring.take_ask() {
            self.reply(id, ask, Err(No::Answered { status, reason: reason.to_owned() }), out);
        }
    }

    /// RFC 6665 4.1.3, of the one package that is subscribed to.
    pub(super) fn notified(&mut self, now: Time, id: LegId, request: Request<'_>, out: &mut Vec<Effect>) {
        let Request { key, message, .. } = request;
        let is_refer = event_of(message).is_some();
        let is_open = self.legs.get(&id).is_some_and(|leg| leg.referring.is_some());
        if !is_refer || !is_open {
            self.refuse(now, key, 481, "", &[], out);
            return;
        }
        self.refuse(now, key, 200, "", &[], out);
        // RFC 6665 4.1.2.4: it says that the REFER was accepted, whatever comes of the 202.
        self.refer_accepted(id, out);
        let is_last = message.text(Name::SubscriptionState).is_some_and(|state| {
            state.split(';').next().is_some_and(|state| state.trim().eq_ignore_ascii_case("terminated"))
        });
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(referring) = &mut leg.referring else { return };
        let was_told = matches!(referring.phase, Phase::Told);
        let status = status_in(message);
        if is_last {
            leg.referring = None;
        } else if status.is_some_and(|status| status >= 200) {
            referring.phase = Phase::Told;
        }
        if was_told {
            return;
        }
        match status {
            Some(status) => {
                self.tell(id, Event::ReferProgress { status, is_final: is_last || status >= 200 }, out);
            }
            // It will never be said.
            None if is_last => self.tell(id, Event::ReferProgress { status: 408, is_final: true }, out),
            None => {}
        }
    }

    pub(super) fn referring_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(mut referring) = leg.referring.take_if(|referring| referring.until <= now) else { return };
        if let Some(ask) = referring.take_ask() {
            let reason = "no answer".to_owned();
            self.reply(id, ask, Err(No::Answered { status: 408, reason }), out);
        } else if matches!(referring.phase, Phase::Accepted) {
            self.tell(id, Event::ReferProgress { status: 408, is_final: true }, out);
        }
    }
}

/// The status of a `message/sipfrag` body (RFC 3420).
fn status_in(message: &Message) -> Option<u16> {
    if message.content_type().as_deref() != Some("message/sipfrag") {
        return None;
    }
    let rest = message.body().strip_prefix(b"SIP/2.0 ")?;
    scan::number::<u16>(rest.get(..3)?).filter(|status| (100..700).contains(status))
}
