//! The registrar (RFC 3261 10.3): which contacts a user can be reached at, and until when.
//!
//! It is asked about a REGISTER whose sender was authenticated ([`Registrar::register`]), and says
//! what to answer and what changed, so that the change can be kept. Outbound flows (RFC 5626),
//! Path (RFC 3327) and GRUU (RFC 5627) are spoken. Who is a user, and of which domain, is not its
//! business.

mod answer;
mod binding;
mod date;
mod gruu;
mod request;

pub use binding::Binding;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::agent::{Answered, Peer, Transport};
use crate::message::Message;
use crate::transaction::Time;
use crate::uri::{Host, Uri};
use binding::Entry;
use gruu::Gruus;
use request::{Asked, Request, Wanted};

#[derive(Debug)]
pub struct Registrar {
    settings: Settings,
    users: BTreeMap<UserKey, Vec<Entry>>,
    total: usize,
    due: BTreeSet<(Time, UserKey)>,
    flows: BTreeMap<u64, BTreeSet<UserKey>>,
    gruus: Gruus,
}

/// Names a user. Chosen by whoever knows users.
pub type UserKey = u128;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Of all users. 1 KB or so each; more phones than one node serves calls for.
    pub most_bindings: usize,
    /// How often a phone that is connected to us shows that its flow stands (RFC 5626 4.4.1). NATs
    /// keep a TCP connection for minutes; 124 min is asked of them, 2 min is what they do.
    pub flow_timer: Duration,
}

/// What a domain grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Less is refused with 423: a phone that comes every few seconds is a flood.
    pub min_expires_s: u32,
    /// More is cut: a phone that vanished is called in vain for no longer.
    pub max_expires_s: u32,
    /// When the phone does not say.
    pub default_expires_s: u32,
    pub contacts_per_user: u32,
}

/// The user whose digest was right.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    pub user: UserKey,
    /// Before the `@`, escapes undone.
    pub name: &'a str,
    /// In lower case. An address goes with or without brackets.
    pub domain: &'a str,
}

/// What is to be kept for the next start, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// New, or in place of what was kept for this user and this contact.
    Bound(Box<Binding>),
    Unbound {
        user: UserKey,
        contact: String,
        why: &'static str,
    },
}

impl Registrar {
    /// `key` is chance of the operating system's; temporary GRUUs are sealed with it.
    pub fn new(settings: Settings, key: [u8; 32]) -> Self {
        Self {
            settings,
            users: BTreeMap::new(),
            total: 0,
            due: BTreeSet::new(),
            flows: BTreeMap::new(),
            gruus: Gruus::new(key),
        }
    }

    /// What was kept, at the start. Connections are gone: contacts that only a connection led to
    /// are unbound, and the phones come by themselves.
    pub fn restore(&mut self, now: Time, wall: Duration, kept: Vec<Binding>) -> Vec<Change> {
        let mut changes = Vec::new();
        for mut binding in kept {
            binding.flow = None;
            let remaining = binding.expires.saturating_sub(wall);
            let why = if remaining.is_zero() {
                Some("expired")
            } else if binding.needs_flow() {
                Some(FLOW_LOST)
            } else if self.total >= self.settings.most_bindings {
                Some("no room")
            } else {
                None
            };
            if let Some(why) = why {
                changes.push(Change::Unbound { user: binding.user, contact: binding.contact, why });
                continue;
            }
            // Unreadable is what an older version let in, and nobody could call it.
            let Some(entry) = Entry::new(binding, now + remaining) else { continue };
            let user = entry.binding.user;
            let mut entries = self.users.get(&user).cloned().unwrap_or_default();
            entries.retain(|other| other.binding.contact != entry.binding.contact);
            entries.push(entry);
            self.put(user, entries);
        }
        changes
    }

    /// `wall` is the time since 1970. The sender of the request is known to be `account`.
    pub fn register(
        &mut self,
        now: Time,
        wall: Duration,
        rules: &Rules,
        account: Account<'_>,
        request: &Message,
        peer: &Peer,
    ) -> (Answered, Vec<Change>) {
        let mut changes = self.expire_user(now, account.user);
        let read = match Request::read(request, rules, account, peer) {
            Ok(read) => read,
            Err(refusal) => return (refusal, changes),
        };
        let before = self.users.get(&account.user).cloned().unwrap_or_default();
        let after = match staged(&before, &read, &Fresh { now, wall, account, peer }) {
            Ok(after) => after,
            Err(refusal) => return (refusal, changes),
        };
        if after.len() > before.len() {
            // Of this user alone, so nothing that would hold elsewhere: 403, not 503.
            if after.len() > rules.contacts_per_user as usize {
                return (answer::refused(403, "Too Many Contacts"), changes);
            }
            if self.total - before.len() + after.len() > self.settings.most_bindings {
                return (answer::busy(), changes);
            }
        }
        changes.extend(differences(account.user, &before, &after));
        self.put(account.user, after.clone());
        let flow_timer = (read.is_outbound && read.is_direct).then_some(self.settings.flow_timer);
        let gruus = read.wants_gruu.then_some(&mut self.gruus);
        (answer::granted(now, wall, account, &read, &after, flow_timer, gruus), changes)
    }

    /// Where a user can be reached, what they like best first, what is freshest first among
    /// equals. Of a phone with several flows the freshest alone (RFC 5626 7): the others are no
    /// other phone.
    pub fn contacts(&self, user: UserKey, now: Time) -> Vec<&Binding> {
        let mut seen = BTreeSet::new();
        let mut contacts = self.flows_of(user, now);
        contacts.retain(|binding| {
            let flow_of = binding.reg_id.and(binding.instance.as_deref());
            flow_of.is_none_or(|instance| seen.insert(instance))
        });
        contacts
    }

    /// With every flow of every phone, in the same order: when one fails, the next of the same
    /// instance is left.
    pub fn flows_of(&self, user: UserKey, now: Time) -> Vec<&Binding> {
        let entries = self.users.get(&user).map(Vec::as_slice).unwrap_or_default();
        let mut standing: Vec<_> = entries.iter().filter(|entry| entry.expires_at > now).collect();
        standing.sort_by_key(|entry| (std::cmp::Reverse(entry.binding.q_permille), std::cmp::Reverse(entry.updated)));
        standing.into_iter().map(|entry| &entry.binding).collect()
    }

    /// The one phone that a GRUU names (RFC 5627 5.1). `user` is whose address of record the URI
    /// is, for a public one; a temporary one says itself. None when it is no GRUU.
    pub fn by_gruu(&self, user: Option<UserKey>, uri: &Uri, now: Time) -> Option<Vec<&Binding>> {
        if !uri.params.has("gr") {
            return None;
        }
        let Some(instance) = uri.params.get("gr") else {
            let (user, tag) = self.gruus.open(uri)?;
            let mut bindings = self.flows_of(user, now);
            bindings.retain(|binding| gruu::tag(binding) == Some(tag));
            return Some(bindings);
        };
        let mut bindings = user.map(|user| self.flows_of(user, now)).unwrap_or_default();
        bindings.retain(|binding| binding.instance.as_deref().is_some_and(|one| gruu::escape(one) == instance));
        Some(bindings)
    }

    /// A connection is gone, and with it what can be reached by no other way (RFC 5626 5.3).
    pub fn unbind_flow(&mut self, connection: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for user in self.users_of_flow(connection) {
            let before = self.users.get(&user).cloned().unwrap_or_default();
            let mut after = before.clone();
            after.retain_mut(|entry| {
                if entry.binding.flow != Some(connection) {
                    return true;
                }
                entry.binding.flow = None;
                !entry.binding.needs_flow()
            });
            changes.extend(gone(user, &before, &after, FLOW_LOST));
            self.put(user, after);
        }
        changes
    }

    /// An operator takes one contact away, with every flow that has it.
    pub fn unbind_contact(&mut self, user: UserKey, contact: &str) -> Vec<Change> {
        let before = self.users.get(&user).cloned().unwrap_or_default();
        let mut after = before.clone();
        after.retain(|entry| entry.binding.contact != contact);
        self.put(user, after.clone());
        gone(user, &before, &after, "removed").collect()
    }

    /// A user exists no longer, or is to come again.
    pub fn unbind_user(&mut self, user: UserKey) -> Vec<Change> {
        let before = self.users.get(&user).cloned().unwrap_or_default();
        self.put(user, Vec::new());
        gone(user, &before, &[], "removed").collect()
    }

    /// The earliest time at which [`Self::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn expire(&mut self, now: Time) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some((at, user)) = self.due.first().copied()
            && at <= now
        {
            changes.extend(self.expire_user(now, user));
        }
        changes
    }

    /// Whether a contact is reached over this connection.
    pub fn has_flow(&self, connection: u64) -> bool {
        self.flows.contains_key(&connection)
    }

    /// Whose contacts are reached over it. More than one, behind a proxy.
    pub fn users_of_flow(&self, connection: u64) -> Vec<UserKey> {
        self.flows.get(&connection).into_iter().flatten().copied().collect()
    }

    /// Users with contacts, and contacts.
    pub fn counts(&self) -> (usize, usize) {
        (self.users.len(), self.total)
    }

    fn expire_user(&mut self, now: Time, user: UserKey) -> Vec<Change> {
        let Some(before) = self.users.get(&user) else { return Vec::new() };
        if before.iter().all(|entry| entry.expires_at > now) {
            return Vec::new();
        }
        let before = before.clone();
        let after: Vec<_> = before.iter().filter(|entry| entry.expires_at > now).cloned().collect();
        let changes = gone(user, &before, &after, "expired").collect();
        self.put(user, after);
        changes
    }

    /// All of a user's contacts at once: what leads to them is never half right.
    fn put(&mut self, user: UserKey, entries: Vec<Entry>) {
        if let Some(before) = self.users.remove(&user) {
            self.total -= before.len();
            for entry in &before {
                self.due.remove(&(entry.expires_at, user));
                if let Some(flow) = entry.binding.flow
                    && let Some(users) = self.flows.get_mut(&flow)
                {
                    users.remove(&user);
                    if users.is_empty() {
                        self.flows.remove(&flow);
                    }
                }
            }
        }
        if entries.is_empty() {
            return;
        }
        self.total += entries.len();
        for entry in &entries {
            self.due.insert((entry.expires_at, user));
            if let Some(flow) = entry.binding.flow {
                self.flows.entry(flow).or_default().insert(user);
            }
        }
        self.users.insert(user, entries);
    }
}

impl Account<'_> {
    fn is_at(&self, host: &Host) -> bool {
        match host {
            Host::Name(name) => name.trim_end_matches('.').eq_ignore_ascii_case(self.domain),
            Host::Address(address) => self.address() == Some(*address),
        }
    }

    /// As it stands in a URI.
    fn host(&self) -> Host {
        self.address().map_or_else(|| Host::Name(self.domain.to_owned()), Host::Address)
    }

    fn address(&self) -> Option<IpAddr> {
        self.domain.trim_matches(['[', ']']).parse().ok()
    }
}

impl Change {
    pub fn user(&self) -> UserKey {
        match self {
            Self::Bound(binding) => binding.user,
            Self::Unbound { user, .. } => *user,
        }
    }
}

/// Who registers, when, and from where.
struct Fresh<'a> {
    now: Time,
    wall: Duration,
    account: Account<'a>,
    peer: &'a Peer,
}

/// What the contacts become. All of it, or a refusal and nothing (RFC 3261 10.3, step 8).
fn staged(before: &[Entry], read: &Request, fresh: &Fresh<'_>) -> Result<Vec<Entry>, Answered> {
    let wanted = match &read.asked {
        Asked::List => return Ok(before.to_vec()),
        Asked::Clear => {
            if before.iter().any(|entry| read.is_late_for(entry)) {
                return Err(late());
            }
            return Ok(Vec::new());
        }
        Asked::Bind(wanted) => wanted,
    };
    let mut after = before.to_vec();
    for wanted in wanted {
        if before.iter().any(|entry| wanted.is_same(entry) && read.is_late_for(entry)) {
            return Err(late());
        }
        after.retain(|entry| !wanted.is_same(entry));
        if wanted.expires_s > 0 {
            after.push(bound(wanted, read, fresh));
        }
    }
    Ok(after)
}

/// Step 7: the same Call-ID with a count that is not higher is an old request that was overtaken.
fn late() -> Answered {
    answer::refused(500, "CSeq Is Not Higher Than Before")
}

fn bound(wanted: &Wanted, read: &Request, fresh: &Fresh<'_>) -> Entry {
    let expires = Duration::from_secs(wanted.expires_s.into());
    let Fresh { now, wall, account, peer } = fresh;
    let flow = (peer.transport != Transport::Udp && peer.connection != 0).then_some(peer.connection);
    let binding = Binding {
        user: account.user,
        contact: wanted.uri.as_str().to_owned(),
        instance: wanted.instance.clone(),
        reg_id: wanted.reg_id,
        path: read.path.clone(),
        q_permille: wanted.q_permille,
        call_id: read.call_id.clone(),
        cseq: read.cseq,
        transport: peer.transport,
        remote: peer.remote,
        local: peer.local,
        flow,
        user_agent: read.user_agent.clone(),
        expires: *wall + expires,
    };
    Entry { uri: wanted.uri.clone(), updated: *now, expires_at: *now + expires, binding }
}

/// First what goes, then what comes or was refreshed.
fn differences(user: UserKey, before: &[Entry], after: &[Entry]) -> Vec<Change> {
    let mut changes: Vec<_> = gone(user, before, after, "removed").collect();
    let is_new = |entry: &&Entry| !before.contains(entry);
    changes.extend(after.iter().filter(is_new).map(|entry| Change::Bound(Box::new(entry.binding.clone()))));
    changes
}

/// Contacts that stand no longer. What was kept is found by the contact's text: as long as another
/// flow has the same, it stays.
fn gone(user: UserKey, before: &[Entry], after: &[Entry], why: &'static str) -> impl Iterator<Item = Change> {
    let stays = |contact: &str| after.iter().any(|entry| entry.binding.contact == contact);
    let contacts: BTreeSet<_> =
        before.iter().map(|entry| entry.binding.contact.clone()).filter(|contact| !stays(contact)).collect();
    contacts.into_iter().map(move |contact| Change::Unbound { user, contact, why })
}

const FLOW_LOST: &str = "its connection is gone";

impl Default for Settings {
    fn default() -> Self {
        Self { most_bindings: 100_000, flow_timer: Duration::from_secs(120) }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { min_expires_s: 60, max_expires_s: 3_600, default_expires_s: 600, contacts_per_user: 10 }
    }
}

#[cfg(test)]
mod tests;
