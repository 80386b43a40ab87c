//! Between the model's words and those of the user agent.

use std::net::IpAddr;
use std::time::Duration;

use callbox_model as model;
use callbox_model::{EndCause, Header, LegCommand, LegEvent, LegKey, Offered, Origin, Refused, Way};
use callbox_sip::{Command, Credentials, Dial, Event, Invite, No, Peer, ReferTo};

pub(crate) fn offered(invite: &Invite, advertised: Option<IpAddr>, origin: Origin) -> Offered {
    let message = &invite.message;
    let from = message.from();
    let headers = message
        .headers()
        .filter(|(name, _, _)| !name.is_plumbing())
        .take(MOST_HEADERS)
        .map(|(_, label, value)| Header { name: label.to_owned(), value: String::from_utf8_lossy(&value).into_owned() })
        .collect();
    Offered {
        caller: from.as_ref().map(|from| from.uri.to_string()).unwrap_or_default(),
        called: message.to().map(|to| to.uri.to_string()).unwrap_or_default(),
        target: String::from_utf8_lossy(message.request_uri()).into_owned(),
        caller_name: from.and_then(|from| from.display),
        headers,
        offer: invite.offer.clone(),
        peer: invite.peer.remote.ip(),
        local: advertised.unwrap_or_else(|| invite.peer.local.ip()),
        sip_call_id: message.call_id().unwrap_or_default(),
        replaces: invite.replaces.map(LegKey),
        origin,
        media_networks: std::sync::Arc::default(),
    }
}

/// All but [`LegCommand::Dial`], which has a way to be found first: None.
pub(crate) fn command(command: LegCommand) -> Option<Command> {
    Some(match command {
        LegCommand::Ring { status, body, .. } => Command::Ring { status, body },
        LegCommand::Answer { body, headers, .. } => Command::Answer { body, headers: pairs(headers) },
        LegCommand::Reject { status, reason, headers, .. } => {
            Command::Reject { status, reason, headers: pairs(headers) }
        }
        LegCommand::Hangup { reason, .. } => Command::Hangup { reason },
        LegCommand::AnswerReoffer { body, .. } => Command::AnswerReoffer { body },
        LegCommand::RefuseReoffer { status, .. } => Command::RefuseReoffer { status },
        LegCommand::Reoffer { body, .. } => Command::Reoffer { body },
        LegCommand::Refer { to, timeout_ms, .. } => {
            Command::Refer { to: refer_to(to), timeout: Duration::from_millis(timeout_ms.into()) }
        }
        LegCommand::AnswerRefer { status, .. } => Command::AnswerRefer { status },
        LegCommand::NotifyRefer { status, .. } => Command::NotifyRefer { status },
        LegCommand::Info { digit, length_ms, .. } => Command::Info { digit, length_ms },
        LegCommand::Dial { .. } => return None,
    })
}

/// The rules' own headers stand before those of a module.
pub(crate) fn dial(way: Way, to: Vec<Peer>, body: Vec<u8>, headers: Vec<Header>, timeout: Duration) -> Command {
    let Way { target, caller, routes, headers: of_rules, credentials, .. } = way;
    let headers = of_rules.into_iter().chain(headers).collect();
    let credentials = credentials.map(|given| self::credentials(&given));
    let headers = pairs(headers);
    Command::Dial(Box::new(Dial { to, target, caller, routes, credentials, body, headers, timeout }))
}

pub(crate) fn credentials(given: &model::Credentials) -> Credentials {
    let model::Credentials { realm, username, password } = given.clone();
    Credentials { realm, username, password }
}

pub(crate) fn event(event: Event) -> LegEvent {
    match event {
        Event::Confirmed { body } => LegEvent::Confirmed { body },
        Event::Reoffered { body } => LegEvent::Reoffered { body },
        Event::Reconfirmed { body } => LegEvent::Reconfirmed { body },
        Event::Ringing { status, body, headers, peer } => {
            LegEvent::Ringing { status, body, headers: told(headers), peer }
        }
        Event::Answered { body, headers, peer } => LegEvent::Answered { body, headers: told(headers), peer },
        Event::Reanswered { body } => LegEvent::Reanswered { body },
        Event::Referred { to, by, replaces } => LegEvent::Referred { to, by, replaces: replaces.map(LegKey) },
        Event::ReferProgress { status, is_final } => LegEvent::ReferProgress { status, is_final },
        Event::Digit { digit, length_ms } => LegEvent::Digit { digit, length_ms },
        Event::Reply { ask, result } => LegEvent::Reply { ask, result: result.map_err(refused) },
        Event::Ended { status, reason, remote } => LegEvent::Ended(EndCause { status, reason, remote }),
    }
}

fn refer_to(to: model::ReferTo) -> ReferTo {
    match to {
        model::ReferTo::Address(uri) => ReferTo::Address(uri),
        model::ReferTo::Leg(LegKey(leg)) => ReferTo::Leg(leg),
    }
}

fn refused(no: No) -> Refused {
    match no {
        No::State(state) => Refused::State(state),
        No::Gone => Refused::Gone,
        No::Invalid(why) => Refused::Invalid(why),
        No::Answered { status, reason } => Refused::Answered { status, reason },
    }
}

fn pairs(headers: Vec<Header>) -> Vec<(String, String)> {
    headers.into_iter().map(|header| (header.name, header.value)).collect()
}

fn told(headers: Vec<(String, String)>) -> Vec<Header> {
    headers.into_iter().take(MOST_HEADERS).map(|(name, value)| Header { name, value }).collect()
}

/// Of one message, for the module. The message itself has a limit of its own.
const MOST_HEADERS: usize = 64;
