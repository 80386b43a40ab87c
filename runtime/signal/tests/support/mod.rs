//! Services under test, and a node that says who may come in.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod dns;
pub(crate) mod papers;
pub(crate) mod phone;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use callbox_model::{
    Credentials, Egress, EndCause, LegCommand, LegEvent, LegKey, Offered, Refused, Registration, TrunkId, TrunkState,
    UserId, Verifiers, Way,
};
use callbox_signal::{Admission, Config, Handle, Listen, Realm, Refusal, Registered, Service, Transport};

pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Everybody may talk; users and domains are what a test says.
#[derive(Default)]
pub(crate) struct Door {
    serial: AtomicU64,
    pub(crate) closed: Mutex<Vec<IpAddr>>,
    pub(crate) realms: Mutex<BTreeMap<String, Realm>>,
    pub(crate) users: Mutex<Users>,
    /// Callers who prove nothing are asked to, for this domain.
    pub(crate) challenge: Mutex<Option<String>>,
    pub(crate) registered: Mutex<Vec<Registered>>,
    pub(crate) trunks: Mutex<Vec<(TrunkId, TrunkState)>>,
}

/// By domain and name.
type Users = BTreeMap<(String, String), (UserId, Arc<Verifiers>)>;

impl Admission for Door {
    fn may_talk(&self, source: IpAddr) -> bool {
        !self.closed.lock().unwrap().contains(&source)
    }

    fn admit(&self, offered: &Offered) -> Result<LegKey, Refusal> {
        let challenge = self.challenge.lock().unwrap().clone();
        if let (Some(domain), callbox_model::Origin::Anonymous) = (challenge, &offered.origin) {
            return Err(Refusal::Challenge { domain });
        }
        Ok(LegKey::new(0, self.serial.fetch_add(1, Ordering::Relaxed) + 1))
    }

    fn realm(&self, domain: &str) -> Option<Realm> {
        self.realms.lock().unwrap().get(domain).cloned()
    }

    fn verifiers(&self, domain: &str, user: &str) -> Option<(UserId, Arc<Verifiers>)> {
        self.users.lock().unwrap().get(&(domain.to_owned(), user.to_owned())).cloned()
    }

    fn registered(&self, change: Registered) {
        self.registered.lock().unwrap().push(change);
    }

    fn trunk_state(&self, trunk: TrunkId, state: TrunkState) {
        self.trunks.lock().unwrap().push((trunk, state));
    }
}

impl Door {
    pub(crate) fn domain(&self, name: &str, md5: bool) {
        self.realms.lock().unwrap().insert(name.to_owned(), Realm { md5, contacts_per_user: 3 });
    }

    pub(crate) fn user(&self, domain: &str, name: &str, password: &str, id: u128) -> UserId {
        let callbox_sip::digest::Verifiers { md5, sha256, sha512_256 } =
            callbox_sip::digest::verifiers(name, domain, password);
        let user = UserId::from_u128(id);
        let entry = (user, Arc::new(Verifiers { md5, sha256, sha512_256 }));
        self.users.lock().unwrap().insert((domain.to_owned(), name.to_owned()), entry);
        user
    }
}

pub(crate) struct Node {
    service: Option<Service>,
    pub(crate) handle: Handle,
    pub(crate) door: Arc<Door>,
    told: mpsc::Receiver<(LegKey, LegEvent)>,
    next: AtomicU64,
}

/// Whether a node answers by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    AtOnce,
    Never,
}

pub(crate) fn listen(transport: Transport, address: &str) -> Listen {
    Listen { transport, address: address.parse().unwrap() }
}

/// UDP and TCP on the loopback.
pub(crate) fn plain() -> Config {
    Config {
        listen: vec![listen(Transport::Udp, "127.0.0.1:0"), listen(Transport::Tcp, "127.0.0.1:0")],
        ..Config::default()
    }
}

pub(crate) fn node(change: impl FnOnce(&mut Config), answers: Answers) -> Node {
    let mut config = plain();
    change(&mut config);
    Node::start(config, answers, Arc::default(), Vec::new())
}

impl Node {
    pub(crate) fn start(config: Config, answers: Answers, door: Arc<Door>, restored: Vec<Registration>) -> Self {
        let (tell, told) = mpsc::channel();
        let slot: Arc<OnceLock<Handle>> = Arc::default();
        let inner = slot.clone();
        let events = Arc::new(move |leg, event: LegEvent| {
            if answers == Answers::AtOnce && matches!(event, LegEvent::Offered(_)) {
                let answer = LegCommand::Answer { ask: 1, body: b"answer".to_vec(), headers: vec![] };
                inner.wait().send(leg, answer);
            }
            let _ = tell.send((leg, event));
        });
        let (service, handle) = Service::start(config, door.clone(), events, restored).unwrap();
        let _ = slot.set(handle.clone());
        Self { service: Some(service), handle, door, told, next: AtomicU64::new(1) }
    }

    pub(crate) fn at(&self, transport: Transport) -> SocketAddr {
        self.handle.listening().iter().find(|(own, _)| *own == transport).unwrap().1
    }

    pub(crate) fn stop(&mut self) {
        if let Some(service) = self.service.take() {
            service.stop();
        }
    }

    pub(crate) fn wait<T>(&self, mut want: impl FnMut(&LegKey, &LegEvent) -> Option<T>) -> Option<T> {
        self.wait_within(LONG, &mut want)
    }

    pub(crate) fn wait_within<T>(
        &self,
        within: Duration,
        mut want: impl FnMut(&LegKey, &LegEvent) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + within;
        while let Ok((leg, event)) = self.told.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if let Some(found) = want(&leg, &event) {
                return Some(found);
            }
        }
        None
    }

    /// Dials, and gives the leg.
    pub(crate) fn dial(&self, way: Way) -> LegKey {
        let leg = LegKey::new(1, self.next.fetch_add(1, Ordering::Relaxed));
        self.dial_as(leg, way, b"offer".to_vec());
        leg
    }

    pub(crate) fn dial_as(&self, leg: LegKey, way: Way, body: Vec<u8>) {
        let dial = LegCommand::Dial { ask: 7, way: Box::new(way), body, headers: vec![], timeout_ms: 15_000 };
        self.handle.send(leg, dial);
    }

    /// What became of a dialled leg: answered, refused before it began, or ended.
    pub(crate) fn outcome(&self, of: LegKey) -> Outcome {
        self.wait(|leg, event| match event {
            _ if *leg != of => None,
            LegEvent::Answered { body, .. } => Some(Outcome::Answered(body.clone())),
            LegEvent::Reply { ask: 7, result: Err(refused) } => Some(Outcome::Refused(refused.clone())),
            LegEvent::Ended(cause) => Some(Outcome::Ended(cause.clone())),
            _ => None,
        })
        .expect("nothing became of it")
    }

    /// Calls, hears the answer, and hangs up.
    pub(crate) fn must_reach(&self, way: Way) {
        let leg = self.dial(way);
        let outcome = self.outcome(leg);
        assert!(matches!(outcome, Outcome::Answered(Some(_))), "{outcome:?}");
        self.handle.send(leg, LegCommand::Hangup { ask: 9, reason: None });
        let ended = self.wait(|other, event| (*other == leg && matches!(event, LegEvent::Ended(_))).then_some(()));
        assert!(ended.is_some(), "no end");
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Answered(Option<Vec<u8>>),
    Refused(Refused),
    Ended(EndCause),
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The loopback is open, as an operator's test setup would have it.
pub(crate) fn open() -> Egress {
    Egress { open: Arc::new(["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]), ..Egress::default() }
}

pub(crate) fn to(target: impl Into<String>) -> Way {
    Way {
        target: target.into(),
        caller: "<sip:a@127.0.0.1>".to_owned(),
        routes: Vec::new(),
        headers: Vec::new(),
        flow: None,
        credentials: None,
        egress: Arc::new(open()),
        local: [127, 0, 0, 1].into(),
        media_networks: Arc::default(),
        trunk: None,
    }
}

pub(crate) fn credentials(username: &str, password: &str) -> Arc<Credentials> {
    Arc::new(Credentials { realm: None, username: username.to_owned(), password: password.to_owned() })
}

/// Waits for what another thread brings about.
pub(crate) fn eventually<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < end, "it did not come to pass");
        std::thread::sleep(Duration::from_millis(20));
    }
}
