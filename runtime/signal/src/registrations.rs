//! Who is registered, and the flows that lead there: the registrar, and the book of contacts that
//! other threads read.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use callbox_model::{Registration, UserId, Wall};
use callbox_sip::registrar::{Account, Binding, Change, Registrar, Rules, Settings, UserKey};
use callbox_sip::{Answered, Message, Peer, Transport};
use metrics::gauge;

use crate::{Admission, Config, Contact, Realm, Registered};

type Time = Duration;

pub(crate) struct Registrations {
    registrar: Registrar,
    rules: Rules,
    datagrams: Datagrams,
    book: Arc<Book>,
}

/// Contacts by user, as other threads see them.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<HashMap<UserId, Vec<Contact>>>);

/// Ways over UDP that a registration came by: they have ids as connections have, so that whoever
/// calls the phone need not know what it speaks.
#[derive(Debug, Default)]
struct Datagrams {
    ids: HashMap<Way, (u64, usize)>,
    ways: HashMap<u64, Way>,
    count: u64,
}

/// Ours, and where the phone is.
type Way = (SocketAddr, SocketAddr);

impl Registrations {
    pub(crate) fn new(config: &Config, key: [u8; 32], book: Arc<Book>) -> Self {
        let settings = Settings { most_bindings: config.registrations, flow_timer: config.flow_timer };
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let rules = Rules {
            min_expires_s: seconds(config.registered_least),
            max_expires_s: seconds(config.registered_most),
            default_expires_s: seconds(config.registered_default),
            ..Rules::default()
        };
        Self { registrar: Registrar::new(settings, key), rules, datagrams: Datagrams::default(), book }
    }

    /// What was kept at the last stop.
    pub(crate) fn restore(&mut self, now: Time, kept: Vec<Registration>, admission: &dyn Admission) {
        let kept: Vec<_> = kept.into_iter().filter_map(binding).collect();
        let mut users: Vec<_> = kept.iter().map(|binding| binding.user).collect();
        users.sort_unstable();
        users.dedup();
        let changes = self.registrar.restore(now, wall(), kept);
        self.tell(changes, admission);
        for user in users {
            self.write(now, user);
        }
    }

    /// A REGISTER whose sender is known.
    pub(crate) fn register(
        &mut self,
        now: Time,
        realm: &Realm,
        account: Account<'_>,
        request: &Message,
        peer: &Peer,
        admission: &dyn Admission,
    ) -> Answered {
        let rules = Rules { contacts_per_user: realm.contacts_per_user, ..self.rules };
        let (answered, changes) = self.registrar.register(now, wall(), &rules, account, request, peer);
        self.tell(changes, admission);
        self.write(now, account.user);
        answered
    }

    pub(crate) fn unbind(&mut self, now: Time, user: UserId, contact: Option<&str>, admission: &dyn Admission) {
        let changes = match contact {
            Some(contact) => self.registrar.unbind_contact(user.as_u128(), contact),
            None => self.registrar.unbind_user(user.as_u128()),
        };
        self.told(now, changes, admission);
        self.write(now, user.as_u128());
    }

    /// A connection is gone, and what only it led to.
    pub(crate) fn disconnected(&mut self, now: Time, connection: u64, admission: &dyn Admission) {
        // Those that stay are to be written without it too.
        let users = self.registrar.users_of_flow(connection);
        let changes = self.registrar.unbind_flow(connection);
        self.tell(changes, admission);
        for user in users {
            self.write(now, user);
        }
    }

    pub(crate) fn expire(&mut self, now: Time, admission: &dyn Admission) {
        let changes = self.registrar.expire(now);
        self.told(now, changes, admission);
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.registrar.next_deadline()
    }

    /// Whether a phone is registered over this connection.
    pub(crate) fn is_used(&self, connection: u64) -> bool {
        self.registrar.has_flow(connection)
    }

    /// Where a flow over UDP leads to.
    pub(crate) fn datagrams(&self, flow: u64) -> Option<Way> {
        self.datagrams.ways.get(&flow).copied()
    }

    fn told(&mut self, now: Time, changes: Vec<Change>, admission: &dyn Admission) {
        let mut users: Vec<_> = changes.iter().map(Change::user).collect();
        users.dedup();
        self.tell(changes, admission);
        for user in users {
            self.write(now, user);
        }
    }

    fn tell(&self, changes: Vec<Change>, admission: &dyn Admission) {
        for change in changes {
            admission.registered(match change {
                Change::Bound(binding) => Registered::Bound(registration(&binding)),
                Change::Unbound { user, contact, why } => {
                    Registered::Unbound { user: UserId::from_u128(user), contact, why }
                }
            });
        }
    }

    /// Into the book, as the registrar has it now.
    fn write(&mut self, now: Time, user: UserKey) {
        let contacts: Vec<_> = self
            .registrar
            .contacts(user, now)
            .into_iter()
            .map(|binding| {
                let flow = match (binding.flow, binding.transport) {
                    (Some(flow), _) => Some(flow),
                    (None, Transport::Udp) => Some(self.datagrams.take((binding.local, binding.reach()))),
                    (None, _) => None,
                };
                Contact { registration: registration(binding), flow }
            })
            .collect();
        let before = self.book.put(UserId::from_u128(user), contacts);
        // After the new ones were taken: what stays keeps its id.
        for flow in before.into_iter().filter_map(|contact| contact.flow) {
            self.datagrams.give_back(flow);
        }
        let (users, contacts) = self.registrar.counts();
        gauge!("sip_registered_users").set(users as f64);
        gauge!("sip_registered_contacts").set(contacts as f64);
    }
}

impl Book {
    pub(crate) fn of(&self, user: UserId) -> Vec<Contact> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&user).cloned().unwrap_or_default()
    }

    /// Gives what stood there.
    fn put(&self, user: UserId, contacts: Vec<Contact>) -> Vec<Contact> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if contacts.is_empty() { book.remove(&user) } else { book.insert(user, contacts) };
        before.unwrap_or_default()
    }
}

impl Datagrams {
    fn take(&mut self, way: Way) -> u64 {
        if let Some((id, users)) = self.ids.get_mut(&way) {
            *users += 1;
            return *id;
        }
        self.count += 1;
        let id = OVER_UDP | self.count;
        self.ids.insert(way, (id, 1));
        self.ways.insert(id, way);
        id
    }

    fn give_back(&mut self, id: u64) {
        let Some(way) = self.ways.get(&id).copied() else { return };
        let Some((_, users)) = self.ids.get_mut(&way) else { return };
        *users -= 1;
        if *users == 0 {
            self.ids.remove(&way);
            self.ways.remove(&id);
        }
    }
}

fn registration(binding: &Binding) -> Registration {
    Registration {
        user: UserId::from_u128(binding.user),
        contact: binding.contact.clone(),
        instance: binding.instance.clone(),
        reg_id: binding.reg_id,
        path: binding.path.clone(),
        q_permille: binding.q_permille,
        sip_call_id: binding.call_id.clone(),
        cseq: binding.cseq,
        transport: binding.transport.name().to_owned(),
        remote: binding.remote,
        local: binding.local,
        user_agent: binding.user_agent.clone(),
        expires: Wall::from_micros(i64::try_from(binding.expires.as_micros()).unwrap_or(i64::MAX)),
    }
}

/// None: it came in on something that is not spoken.
fn binding(kept: Registration) -> Option<Binding> {
    let transport = TRANSPORTS.into_iter().find(|transport| transport.name() == kept.transport)?;
    Some(Binding {
        user: kept.user.as_u128(),
        contact: kept.contact,
        instance: kept.instance,
        reg_id: kept.reg_id,
        path: kept.path,
        q_permille: kept.q_permille,
        call_id: kept.sip_call_id,
        cseq: kept.cseq,
        transport,
        remote: kept.remote,
        local: kept.local,
        flow: None,
        user_agent: kept.user_agent,
        expires: Duration::from_micros(u64::try_from(kept.expires.as_micros()).unwrap_or_default()),
    })
}

/// Since 1970.
pub(crate) fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
/// No connection has this bit: they are counted from 1.
const OVER_UDP: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_over_udp_keep_their_ids_while_somebody_uses_them() {
        let way = ("127.0.0.1:5060".parse().unwrap(), "192.0.2.1:5060".parse().unwrap());
        let mut datagrams = Datagrams::default();
        let id = datagrams.take(way);
        assert_eq!(datagrams.take(way), id);
        datagrams.give_back(id);
        assert_eq!(datagrams.ways.get(&id), Some(&way));
        datagrams.give_back(id);
        assert!(datagrams.ways.is_empty() && datagrams.ids.is_empty());
        assert_ne!(datagrams.take(way), id, "an old id leads nowhere else");
    }

    #[test]
    fn a_registration_is_kept_whole() {
        let binding = Binding {
            user: 7,
            contact: "sip:a@192.0.2.1".to_owned(),
            instance: Some("urn:uuid:1".to_owned()),
            reg_id: Some(1),
            path: vec!["<sip:p.example;lr>".to_owned()],
            q_permille: 500,
            call_id: "c".to_owned(),
            cseq: 3,
            transport: Transport::Wss,
            remote: "192.0.2.1:5060".parse().unwrap(),
            local: "192.0.2.2:443".parse().unwrap(),
            flow: None,
            user_agent: Some("phone".to_owned()),
            expires: Duration::from_secs(1_000),
        };
        assert_eq!(super::binding(registration(&binding)), Some(binding));
    }
}
