//! Where a URI leads (RFC 3263): the search of `callbox-sip`, driven.

use std::rc::Rc;

use callbox_model::Refused;
use callbox_sip::locate::{Failure, Family, Search, Speaks, Step, Target};
use callbox_sip::{Host, Transport, Uri};
use futures_util::future::join_all;

use crate::core::Core;
use crate::names::Names;

pub(crate) type Found = Result<Vec<Target>, Failure>;

/// How a search stands when it has begun.
pub(crate) enum Begun {
    /// An address, or nothing that could be searched.
    Done(Found),
    Asking(Box<Search>),
}

impl Core {
    pub(crate) fn locate(&mut self, uri: &Uri) -> Begun {
        let mut transports = vec![Transport::Udp, Transport::Tcp, Transport::Tls];
        // Nobody is searched there who does not ask for it: two questions less for each call.
        if matches!(uri.transport().as_deref(), Some("ws" | "wss")) {
            transports.extend([Transport::Ws, Transport::Wss]);
        }
        let speaks = Speaks { transports, families: self.locals.families() };
        self.seed = self.seed.wrapping_add(1);
        let search = Search::new(uri, &speaks, self.seed);
        match outcome(&search) {
            Some(found) => Begun::Done(found),
            None => Begun::Asking(Box::new(search)),
        }
    }
}

/// To its end. Each question has one in time, and a name takes three rounds at most.
pub(crate) async fn run(mut search: Box<Search>, names: &Rc<Names>) -> Found {
    loop {
        match search.step() {
            Step::Found(targets) => return Ok(targets),
            Step::Failed(failure) => return Err(failure),
            Step::Ask(questions) => {
                let answers = join_all(questions.iter().map(|question| names.ask(question))).await;
                for (question, answer) in questions.iter().zip(answers) {
                    search.answer(question, answer);
                }
            }
        }
    }
}

fn outcome(search: &Search) -> Option<Found> {
    match search.step() {
        Step::Found(targets) => Some(Ok(targets)),
        Step::Failed(failure) => Some(Err(failure)),
        Step::Ask(_) => None,
    }
}

/// Whom a far end must prove to be: what the URI names, and not what DNS made of it.
pub(crate) fn host(uri: &Uri) -> String {
    match &uri.host {
        Some(Host::Name(name)) => name.trim_end_matches('.').to_ascii_lowercase(),
        Some(Host::Address(address)) => address.to_string(),
        None => String::new(),
    }
}

/// A name that leads nowhere now may lead somewhere later; a URI without a host never does.
pub(crate) fn refused(failure: &Failure) -> Refused {
    match failure {
        Failure::NoHost(_) | Failure::Transport(_) => Refused::Invalid(failure.to_string()),
        Failure::NotOffered(_) | Failure::NoAddress(_) | Failure::Unanswered(_) => {
            Refused::Unavailable(failure.to_string())
        }
    }
}

/// IPv4 first, as long as nobody says which of the two leads further.
pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
