//! From a way to the places that are called: an open flow wins; else names are looked up, and every
//! address that comes out is held against the rules of egress.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callbox_model::{Egress, EndCause, Header, LegCommand, LegEvent, LegKey, Refused, Way};
use callbox_sip::locate::Target;
use callbox_sip::{Peer, Transport, Uri};

use crate::connections::Destination;
use crate::core::Core;
use crate::locals::anywhere_but;
use crate::locating::{self, Begun, Found};
use crate::translate;

/// Legs whose names are being looked up, by the number of their `Dial`. The agent does not know
/// them yet.
#[derive(Debug, Default)]
pub(crate) struct Dialling {
    locating: BTreeMap<LegKey, u32>,
}

/// A call that has only to find its way.
pub(crate) struct Wish {
    pub(crate) leg: LegKey,
    pub(crate) ask: u32,
    pub(crate) way: Way,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<Header>,
    /// When nobody has answered.
    pub(crate) until: Duration,
}

impl Dialling {
    pub(crate) fn len(&self) -> usize {
        self.locating.len()
    }

    pub(crate) fn is_locating(&self, leg: LegKey) -> bool {
        self.locating.contains_key(&leg)
    }
}

impl Core {
    pub(crate) fn dial(&mut self, wish: Wish) {
        if self.dialling.is_locating(wish.leg) {
            return self.refuse(wish.leg, wish.ask, Refused::State("dialled already"));
        }
        match self.flow(&wish.way) {
            Some(Ok(peer)) => return self.call(wish, vec![peer]),
            Some(Err(why)) => return self.refuse(wish.leg, wish.ask, Refused::Denied(why)),
            // The connection is gone: what the contact names is left.
            None => {}
        }
        let hop = wish.way.routes.first().map_or(wish.way.target.as_str(), |route| bare(route));
        let uri = match Uri::read(hop.as_bytes()) {
            Ok(uri) => uri,
            Err(error) => return self.refuse(wish.leg, wish.ask, Refused::Invalid(error.to_string())),
        };
        match self.locate(&uri) {
            Begun::Done(found) => self.located(wish, &uri, found),
            Begun::Asking(search) => {
                if self.agent.counts().0 + self.dialling.len() >= self.config.legs {
                    let why = "there are as many legs as may be".to_owned();
                    return self.refuse(wish.leg, wish.ask, Refused::Unavailable(why));
                }
                self.dialling.locating.insert(wish.leg, wish.ask);
                let names = self.names.clone();
                self.spawn(|core| async move {
                    let found = locating::run(search, &names).await;
                    let mut core = core.borrow_mut();
                    // It may have been hung up meanwhile.
                    if core.dialling.locating.remove(&wish.leg).is_some() {
                        core.located(wish, &uri, found);
                    }
                });
            }
        }
        self.meters.locating.set(self.dialling.len() as f64);
    }

    /// The connection, or the way over UDP, that a registration came by. None when it is gone.
    fn flow(&mut self, way: &Way) -> Option<Result<Peer, String>> {
        let flow = way.flow?;
        if let Some((local, remote)) = self.registrations.datagrams(flow) {
            let now = self.now();
            let local = self.locals.standing(now, Transport::Udp, local, remote)?;
            // The phone has shown where it is, and may name a port there: any but ours.
            let rules = anywhere_but(way.egress.own.clone());
            let peer = Peer { transport: Transport::Udp, local, remote, connection: 0 };
            return Some(rules.admits(remote).map(|()| peer).map_err(|error| error.to_string()));
        }
        let (transport, remote) = self.connections.flow(flow)?;
        let local = self.local_towards(transport, remote);
        Some(Ok(Peer { transport, local, remote, connection: flow }))
    }

    fn located(&mut self, wish: Wish, uri: &Uri, found: Found) {
        let peers = match found {
            Ok(targets) => self.admitted(&wish.way.egress, uri, targets),
            Err(failure) => Err(locating::refused(&failure)),
        };
        match peers {
            Ok(peers) if self.now() < wish.until => self.call(wish, peers),
            Ok(_) => self.refuse(wish.leg, wish.ask, Refused::Unavailable(format!("{uri} was not found in time"))),
            Err(refused) => self.refuse(wish.leg, wish.ask, refused),
        }
    }

    /// Those of the places that the rules let packets go to, in their order; those that failed lately
    /// last.
    pub(crate) fn admitted(
        &mut self,
        egress: &Egress,
        uri: &Uri,
        mut targets: Vec<Target>,
    ) -> Result<Vec<Peer>, Refused> {
        let now = self.now();
        self.failing.order(now, &mut targets);
        let host: Arc<str> = locating::host(uri).into();
        let mut peers = Vec::new();
        let mut denied = None;
        for Target { transport, address } in targets {
            match egress.admits(address) {
                Ok(()) => peers.extend(self.peer_to(transport, address, &host)),
                Err(error) => {
                    self.meters.dropped.egress.increment(1);
                    denied = denied.or(Some(error));
                }
            }
        }
        match (peers.is_empty(), denied) {
            (false, _) => Ok(peers),
            (true, Some(error)) => Err(Refused::Denied(format!("`{host}` may not be called: {error}"))),
            (true, None) => Err(Refused::Unavailable(format!("no socket of ours reaches `{host}`"))),
        }
    }

    fn peer_to(&mut self, transport: Transport, remote: SocketAddr, host: &Arc<str>) -> Option<Peer> {
        let now = self.now();
        let local = self.locals.towards(now, transport, remote)?;
        let connection = match transport {
            Transport::Udp => 0,
            // Nobody proves or is told a name there: one stream for all of them.
            Transport::Tcp => self.connections.towards(Destination { transport, remote, host: "".into() }),
            _ => self.connections.towards(Destination { transport, remote, host: host.clone() }),
        };
        Some(Peer { transport, local, remote, connection })
    }

    fn call(&mut self, wish: Wish, peers: Vec<Peer>) {
        let Wish { leg, ask, way, body, headers, until } = wish;
        let timeout = until.saturating_sub(self.now());
        self.tell_agent(leg, ask, translate::dial(way, peers, body, headers, timeout));
    }

    /// What a leg is told that the agent does not know yet.
    pub(crate) fn while_locating(&mut self, leg: LegKey, command: &LegCommand) {
        let LegCommand::Hangup { ask, reason } = command else {
            return self.refuse(leg, command.ask(), Refused::State("being dialled"));
        };
        let Some(dialled) = self.dialling.locating.remove(&leg) else { return };
        for ask in [dialled, *ask] {
            (self.events)(leg, LegEvent::Reply { ask, result: Ok(()) });
        }
        // As after a CANCEL.
        let reason = reason.clone().unwrap_or_default();
        (self.events)(leg, LegEvent::Ended(EndCause { status: 487, reason, remote: false }));
    }

    pub(crate) fn stop_locating(&mut self) {
        for (leg, ask) in std::mem::take(&mut self.dialling.locating) {
            self.refuse(leg, ask, Refused::Unavailable("signalling stops".to_owned()));
        }
    }

    fn refuse(&self, leg: LegKey, ask: u32, why: Refused) {
        (self.events)(leg, LegEvent::Reply { ask, result: Err(why) });
    }
}

/// The URI of a route, without its brackets.
fn bare(route: &str) -> &str {
    let inside = route.split_once('<').map_or(route, |(_, inside)| inside);
    inside.split('>').next().unwrap_or(inside).trim()
}
