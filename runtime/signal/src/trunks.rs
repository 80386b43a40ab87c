//! Trunks that want to know where we are: each registers with its carrier for as long as the node
//! names it, and is taken back when it is named no longer.

use std::collections::BTreeMap;
use std::time::Duration;

use callbox_model::{Refused, TrunkId, TrunkState, Wall};
use callbox_sip::enroll::{Enrolment, Register, State};
use callbox_sip::{Message, Method, Peer, Transport, Uri};

use crate::core::Core;
use crate::locating::{self, Begun, Found};
use crate::registrations::wall;
use crate::{Admission, TrunkRegistration, translate};

type Time = Duration;

/// Those that are named, and those that are being taken back, by the number of their requests.
#[derive(Debug, Default)]
pub(crate) struct Trunks {
    all: BTreeMap<u64, Enrolled>,
    count: u64,
    due: Option<Time>,
}

#[derive(Debug)]
struct Enrolled {
    wish: TrunkRegistration,
    uri: Uri,
    /// From's, the same for all its requests.
    tag: String,
    stage: Stage,
    /// The streams that it was registered over: the carrier calls us by them.
    flows: Vec<u64>,
    told: Option<TrunkState>,
    named: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Yes,
    /// It is taken back, and nobody is told of it.
    NoLonger,
}

#[derive(Debug)]
enum Stage {
    /// Where the carrier is tells which of our addresses leads there: it is looked up first.
    Lost {
        next: Time,
        times: u32,
    },
    Seeking {
        times: u32,
    },
    Known(Enrolment),
}

/// What waits for the addresses of a carrier.
pub(crate) enum Errand {
    Begin,
    Send(Register),
}

impl Trunks {
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.due
    }

    pub(crate) fn is_used(&self, connection: u64) -> bool {
        self.all.values().any(|enrolled| enrolled.flows.contains(&connection))
    }

    fn settle(&mut self) {
        self.all.retain(|_, enrolled| !enrolled.is_over());
        self.due = self.all.values().filter_map(Enrolled::next_deadline).min();
    }
}

impl Core {
    pub(crate) fn set_trunks(&mut self, wishes: Vec<TrunkRegistration>) {
        let now = self.now();
        for enrolled in self.trunks.all.values_mut() {
            if enrolled.named == Named::Yes && !wishes.contains(&enrolled.wish) {
                enrolled.named = Named::NoLonger;
                if let Stage::Known(enrolment) = &mut enrolled.stage {
                    enrolment.stop(now);
                }
            }
        }
        for wish in wishes {
            let stands = |enrolled: &Enrolled| enrolled.named == Named::Yes && enrolled.wish.trunk == wish.trunk;
            if self.trunks.all.values().any(stands) {
                continue;
            }
            let uri = match Uri::read(wish.uri.as_bytes()) {
                Ok(uri) => uri,
                Err(error) => {
                    let state = TrunkState::Failed { status: 400, reason: error.to_string() };
                    self.admission.trunk_state(wish.trunk, state);
                    continue;
                }
            };
            let tag = self.token();
            let stage = Stage::Lost { next: now, times: 0 };
            let mut enrolled = Enrolled { wish, uri, tag, stage, flows: Vec::new(), told: None, named: Named::Yes };
            enrolled.tell(TrunkState::Registering, &*self.admission);
            self.trunks.count += 1;
            self.trunks.all.insert(self.trunks.count, enrolled);
        }
        self.trunks_tick(now);
    }

    pub(crate) fn trunks_tick(&mut self, now: Time) {
        let mut errands = Vec::new();
        for (&id, enrolled) in &mut self.trunks.all {
            if enrolled.next_deadline().is_none_or(|at| at > now) {
                continue;
            }
            match &mut enrolled.stage {
                Stage::Lost { times, .. } => {
                    enrolled.stage = Stage::Seeking { times: *times };
                    errands.push((id, enrolled.uri.clone(), Errand::Begin));
                }
                Stage::Known(enrolment) => {
                    if let Some(register) = enrolment.tick(now) {
                        errands.push((id, enrolled.uri.clone(), Errand::Send(register)));
                    }
                }
                Stage::Seeking { .. } => {}
            }
        }
        self.trunks.settle();
        for (id, uri, errand) in errands {
            match self.locate(&uri) {
                Begun::Done(found) => self.trunk_located(id, errand, found),
                Begun::Asking(search) => {
                    let names = self.names.clone();
                    self.spawn(|core| async move {
                        let found = locating::run(search, &names).await;
                        core.borrow_mut().trunk_located(id, errand, found);
                    });
                }
            }
        }
    }

    fn trunk_located(&mut self, id: u64, errand: Errand, found: Found) {
        let now = self.now();
        let Some(enrolled) = self.trunks.all.get(&id) else { return };
        let (egress, uri) = (enrolled.wish.egress.clone(), enrolled.uri.clone());
        let peers = match found {
            Ok(targets) => self.admitted(&egress, &uri, targets),
            Err(failure) => Err(locating::refused(&failure)),
        };
        match (errand, peers) {
            (Errand::Begin, Ok(peers)) => self.trunk_found(now, id, &peers),
            (Errand::Send(register), Ok(peers)) => self.trunk_asks(now, id, &register, peers),
            (errand, Err(refused)) => self.trunk_unreachable(now, id, &errand, &refused),
        }
        self.trunks.settle();
        self.rearm();
    }

    fn trunk_found(&mut self, now: Time, id: u64, peers: &[Peer]) {
        let (call_id, seed) = (self.token(), self.seed);
        let advertised = self.config.advertised;
        let (Some(enrolled), Some(peer)) = (self.trunks.all.get_mut(&id), peers.first()) else { return };
        if enrolled.named == Named::NoLonger {
            return;
        }
        let ip = advertised.unwrap_or(peer.local.ip());
        let at = std::net::SocketAddr::new(ip, peer.local.port());
        let transport = match peer.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.name().to_ascii_lowercase()),
        };
        let contact = format!("sip:{}@{at}{transport}", escaped(&enrolled.wish.credentials.username));
        let enrolment = Enrolment::new(now, call_id, contact, enrolled.wish.expires, seed);
        enrolled.stage = Stage::Known(enrolment);
    }

    fn trunk_asks(&mut self, now: Time, id: u64, register: &Register, peers: Vec<Peer>) {
        let Some(enrolled) = self.trunks.all.get_mut(&id) else { return };
        enrolled.flows = peers.iter().map(|peer| peer.connection).filter(|&id| id != 0).collect();
        let domain = locating::host(&enrolled.uri);
        let domain = if domain.contains(':') { format!("[{domain}]") } else { domain };
        let address = format!("<sip:{}@{domain}>", escaped(&enrolled.wish.credentials.username));
        let port = enrolled.uri.port.map(|port| format!(":{port}")).unwrap_or_default();
        let transport = enrolled.uri.transport().map(|name| format!(";transport={name}")).unwrap_or_default();
        let registrar = format!("sip:{domain}{port}{transport}");
        let header = |name: &str, value: String| (name.to_owned(), value);
        let headers = [
            header("From", format!("{address};tag={}", enrolled.tag)),
            header("To", address.clone()),
            header("Call-ID", register.call_id.clone()),
            header("CSeq", register.cseq.to_string()),
            header("Contact", format!("<{}>", register.contact)),
            header("Expires", register.expires_s.to_string()),
        ];
        let credentials = Some(translate::credentials(&enrolled.wish.credentials));
        let mut effects = std::mem::take(&mut self.effects);
        let method = Method::Register;
        self.agent.request(now, id, peers, method, &registrar, &[], &headers, b"", credentials, &mut effects);
        self.carry(effects);
    }

    fn trunk_unreachable(&mut self, now: Time, id: u64, errand: &Errand, why: &Refused) {
        let Some(enrolled) = self.trunks.all.get_mut(&id) else { return };
        match (&mut enrolled.stage, errand) {
            (Stage::Known(enrolment), Errand::Send(_)) => enrolment.answered(now, &Err(503)),
            (Stage::Seeking { times }, _) => {
                let pause = FIRST_PAUSE.saturating_mul(1 << (*times).min(8)).min(LONGEST_PAUSE);
                enrolled.stage = Stage::Lost { next: now + pause, times: *times + 1 };
            }
            _ => {}
        }
        let reason = match why {
            Refused::Denied(why) | Refused::Unavailable(why) | Refused::Invalid(why) => why.clone(),
            Refused::State(_) | Refused::Gone | Refused::Answered { .. } => String::new(),
        };
        enrolled.tell(TrunkState::Failed { status: 503, reason }, &*self.admission);
    }

    /// The end of a request.
    pub(crate) fn trunk_answered(&mut self, id: u64, result: &Result<Message, u16>) {
        let now = self.now();
        let Some(enrolled) = self.trunks.all.get_mut(&id) else { return };
        if let Stage::Known(enrolment) = &mut enrolled.stage {
            enrolment.answered(now, result);
            let state = match enrolment.state().clone() {
                State::Registering => Some(TrunkState::Registering),
                State::Registered { until } => Some(TrunkState::Registered { until: as_wall(now, until) }),
                State::Failed { status, reason } => Some(TrunkState::Failed { status, reason }),
                State::Ended => None,
            };
            if let Some(state) = state {
                enrolled.tell(state, &*self.admission);
            }
        }
        self.trunks.settle();
    }

    /// The carrier knows a way that is no longer.
    pub(crate) fn trunks_disconnected(&mut self, now: Time, connection: u64) {
        for enrolled in self.trunks.all.values_mut() {
            if let Stage::Known(enrolment) = &mut enrolled.stage
                && enrolled.flows.contains(&connection)
            {
                enrolled.flows.clear();
                enrolment.flow_lost(now);
            }
        }
        self.trunks.settle();
    }
}

impl Enrolled {
    fn next_deadline(&self) -> Option<Time> {
        match (&self.stage, self.named) {
            (Stage::Lost { next, .. }, Named::Yes) => Some(*next),
            (Stage::Known(enrolment), _) => enrolment.next_deadline(),
            (Stage::Lost { .. }, Named::NoLonger) | (Stage::Seeking { .. }, _) => None,
        }
    }

    fn is_over(&self) -> bool {
        match (&self.stage, self.named) {
            (_, Named::Yes) => false,
            (Stage::Known(enrolment), Named::NoLonger) => *enrolment.state() == State::Ended,
            (Stage::Lost { .. } | Stage::Seeking { .. }, Named::NoLonger) => true,
        }
    }

    /// Once for each state, and not of a trunk that is being taken back.
    fn tell(&mut self, state: TrunkState, admission: &dyn Admission) {
        if self.named == Named::Yes && self.told.as_ref() != Some(&state) {
            self.told = Some(state.clone());
            admission.trunk_state(self.trunk(), state);
        }
    }

    fn trunk(&self) -> TrunkId {
        self.wish.trunk
    }
}

fn as_wall(now: Time, at: Time) -> Wall {
    let micros = (wall() + at.saturating_sub(now)).as_micros();
    Wall::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// As the user of a URI (RFC 3261 25.1).
fn escaped(user: &str) -> String {
    user.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ if b"-_.!~*'()&=+$,;?/".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// After a carrier was not found, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_place_in_a_user_is_escaped() {
        assert_eq!(escaped("+49 30@carrier"), "+49%2030%40carrier");
        assert_eq!(escaped("me-and.you_1"), "me-and.you_1");
    }
}
