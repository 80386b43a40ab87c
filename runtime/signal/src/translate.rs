//! Between the model's words and those of the user agent.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use callbox_model::{EndCause, Header, LegCommand, LegEvent, Offered, Refused};
use callbox_sip::{Command, Event, Host, Invite, No, Peer, Scheme, Uri};

pub(crate) fn offered(invite: &Invite, advertised: Option<IpAddr>) -> Offered {
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
    }
}

/// The command for the agent; for a dialled leg with the place it goes to, which `route` finds.
pub(crate) fn command(
    command: LegCommand,
    route: impl FnOnce(SocketAddr, Option<String>) -> Result<Peer, Refused>,
) -> Result<Command, Refused> {
    let pairs = |headers: Vec<Header>| headers.into_iter().map(|header| (header.name, header.value)).collect();
    Ok(match command {
        LegCommand::Ring { status, body, .. } => Command::Ring { status, body },
        LegCommand::Answer { body, headers, .. } => Command::Answer { body, headers: pairs(headers) },
        LegCommand::Reject { status, reason, headers, .. } => {
            Command::Reject { status, reason, headers: pairs(headers) }
        }
        LegCommand::Hangup { reason, .. } => Command::Hangup { reason },
        LegCommand::AnswerReoffer { body, .. } => Command::AnswerReoffer { body },
        LegCommand::RefuseReoffer { status, .. } => Command::RefuseReoffer { status },
        LegCommand::Dial { target, caller, body, headers, timeout_ms, .. } => {
            let (address, transport) = address(&target)?;
            Command::Dial {
                to: route(address, transport)?,
                target,
                caller,
                body,
                headers: pairs(headers),
                timeout: Duration::from_millis(timeout_ms.into()),
            }
        }
    })
}

pub(crate) fn event(event: Event) -> LegEvent {
    match event {
        Event::Confirmed { body } => LegEvent::Confirmed { body },
        Event::Reoffered { body } => LegEvent::Reoffered { body },
        Event::Reconfirmed { body } => LegEvent::Reconfirmed { body },
        Event::Ringing { status, body } => LegEvent::Ringing { status, body },
        Event::Answered { body } => LegEvent::Answered { body },
        Event::Digit { digit, length_ms } => LegEvent::Digit { digit, length_ms },
        Event::Reply { ask, result } => LegEvent::Reply { ask, result: result.map_err(refused) },
        Event::Ended { status, reason, remote } => LegEvent::Ended(EndCause { status, reason, remote }),
    }
}

fn refused(no: No) -> Refused {
    match no {
        No::State(state) => Refused::State(state),
        No::Gone => Refused::Gone,
        No::Invalid(why) => Refused::Invalid(why),
    }
}

/// Where a target is. Names are not resolved, but for the one that needs no asking.
fn address(target: &str) -> Result<(SocketAddr, Option<String>), Refused> {
    let uri = Uri::read(target.as_bytes()).map_err(|error| Refused::Invalid(error.to_string()))?;
    if uri.scheme != Scheme::Sip {
        return Err(Refused::Invalid(format!("`{target}` is no sip: URI")));
    }
    let ip = match &uri.host {
        Some(Host::Address(ip)) => *ip,
        Some(Host::Name(name)) if name == "localhost" => IpAddr::from([127, 0, 0, 1]),
        _ => return Err(Refused::Invalid(format!("the host of `{target}` is no IP address"))),
    };
    Ok((SocketAddr::new(ip, uri.port.unwrap_or(5_060)), uri.transport()))
}

/// Of one INVITE, for the module. The message itself has a limit of its own.
const MOST_HEADERS: usize = 64;
