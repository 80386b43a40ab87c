//! Taking a leg in that another call gives: as a new leg, or in the place of one that was dialled
//! for it (an attended transfer between two calls).

use callbox_model::{CallId, Change, GuestEvent, LegNumber};

use crate::call::Call;
use crate::leg::{Leg, Signal, Sound};
use crate::{GivenLeg, Output, PeerMessage};

impl Call {
    pub(crate) fn adopt(&mut self, from: CallId, given: GivenLeg, ask: Option<u32>, out: &mut Vec<Output>) {
        let is_full = self.legs.standing() >= self.application.limits.legs_per_call as usize;
        let place = match ask {
            _ if self.control.run().is_none() || self.is_leaving() => Err("the call is ending"),
            Some(ask) => self.taking(ask).map(Some).ok_or("nobody waits for it any more"),
            None if is_full => Err("the call has as many legs as it may have (legs_per_call)"),
            None => Ok(None),
        };
        match place {
            Ok(dialled) => self.take_in(from, given, dialled, out),
            Err(why) => {
                let leg = given.key();
                out.push(Output::Peer(from, PeerMessage::Declined { leg, why: why.to_owned() }));
            }
        }
    }

    /// `dialled` is the leg in whose place it comes.
    fn take_in(&mut self, from: CallId, given: GivenLeg, dialled: Option<LegNumber>, out: &mut Vec<Output>) {
        let GivenLeg { line, local } = given;
        let (port, dialog, address) = (line.port, line.dialog, line.address.clone());
        out.push(Output::Own { leg: port });
        if dialog != port {
            out.push(Output::Own { leg: dialog });
        }
        let number = dialled.unwrap_or_else(|| self.legs.next_number());
        let mut leg = Leg::new(number, line, Signal::Answered, None);
        leg.base = leg.line.frames;
        leg.sound = Sound::Open(local);
        let wanted = dialled.and_then(|dialled| self.replace_dialled(dialled, &mut leg, out));
        match self.legs.all.iter().position(|other| other.number >= number) {
            Some(place) => self.legs.all.insert(place, leg),
            None => self.legs.all.push(leg),
        }
        out.push(Output::Peer(from, PeerMessage::Adopted { leg: port }));
        self.record(Change::LegAdopted { leg: number, from, address }, out);
        match wanted {
            None => self.tell(GuestEvent::Given(number), out),
            Some((send_digits, referrer)) => self.dialled_is_answered(number, send_digits, referrer, out),
        }
    }

    /// The leg that was dialled for it goes; what it was to do, the new one does.
    fn replace_dialled(
        &mut self,
        dialled: LegNumber,
        leg: &mut Leg,
        out: &mut Vec<Output>,
    ) -> Option<(Option<String>, Option<LegNumber>)> {
        let place = self.legs.all.iter().position(|other| other.number == dialled)?;
        let old = self.legs.all.remove(place);
        out.push(Output::Forget { leg: old.line.port });
        let Signal::Dialling(dialling) = old.signal else { return None };
        leg.line.limit = dialling.time_limit.map(|limit| self.now.at + limit);
        Some((dialling.send_digits, dialling.referrer))
    }
}
