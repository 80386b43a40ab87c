//! What is decided while a request is being read: who it is, whether it may come in, and what
//! becomes of it.

use std::net::IpAddr;

use callbox_model::{LegKey, Offered, Origin, UserId};
use callbox_sip::digest::{Authenticator, Protection, Verdict, Verifiers};
use callbox_sip::registrar::Account;
use callbox_sip::{Address, Answered, Decision, Door, Host, Invite, Message, Name, Peer, Uri};
use metrics::counter;

use crate::rate::Level;
use crate::registrations::Registrations;
use crate::{Admission, Realm, Refusal, translate};

type Time = std::time::Duration;

/// Stands at the door for one message.
pub(crate) struct Porter<'a> {
    pub(crate) advertised: Option<IpAddr>,
    pub(crate) level: Level,
    pub(crate) admission: &'a dyn Admission,
    pub(crate) authenticator: &'a mut Authenticator,
    pub(crate) registrations: &'a mut Registrations,
    /// The leg that was let in.
    pub(crate) begun: Option<(LegKey, Offered)>,
}

/// Whose digest a request carries.
enum Proved {
    User {
        user: UserId,
        name: String,
    },
    /// The answer to it, where there is none or it is not right.
    No(Verdict<UserId>),
}

impl Porter<'_> {
    fn prove(&mut self, now: Time, source: IpAddr, domain: &str, realm: &Realm, request: &Message) -> Proved {
        let header =
            if request.first(Name::Authorization).is_some() { Name::Authorization } else { Name::ProxyAuthorization };
        let admission = self.admission;
        let find = |name: &str| {
            let (user, verifiers) = admission.verifiers(domain, name)?;
            let callbox_model::Verifiers { md5, sha256, sha512_256 } = *verifiers;
            Some((user, Verifiers { md5, sha256, sha512_256 }))
        };
        let verdict = self.authenticator.verify(now, source, protection(domain, realm), request, header, find);
        let label = match &verdict {
            Verdict::Passed { .. } => "passed",
            Verdict::Absent => "absent",
            Verdict::Stale => "stale",
            Verdict::Wrong => "wrong",
            Verdict::Held { .. } => "held",
            Verdict::Malformed(_) => "malformed",
        };
        counter!("sip_digests_total", "verdict" => label).increment(1);
        match verdict {
            Verdict::Passed { user, name } => Proved::User { user, name },
            other => Proved::No(other),
        }
    }

    fn refused(
        &mut self,
        now: Time,
        source: IpAddr,
        domain: &str,
        realm: &Realm,
        verdict: &Verdict<UserId>,
    ) -> Answered {
        let answered = self.authenticator.refusal(now, source, protection(domain, realm), verdict);
        answered.unwrap_or_else(|| plain(403, ""))
    }

    /// Who an INVITE proves to come from. Whoever names no domain of ours, or shows no answer to a
    /// challenge of ours, is nobody; who shows a wrong one is told.
    fn origin(&mut self, now: Time, invite: &Invite) -> Result<Origin, Answered> {
        let message = &invite.message;
        let has_answer =
            [Name::Authorization, Name::ProxyAuthorization].into_iter().any(|header| message.first(header).is_some());
        if !has_answer {
            return Ok(Origin::Anonymous);
        }
        let source = invite.peer.remote.ip();
        // The user's own domain, or the one that the call is for.
        let named = [message.from().as_ref().and_then(domain_of), Uri::read(message.request_uri()).ok().and_then(host)];
        for domain in named.into_iter().flatten() {
            let Some(realm) = self.admission.realm(&domain) else { continue };
            match self.prove(now, source, &domain, &realm, message) {
                Proved::User { user, .. } => return Ok(Origin::User(user)),
                Proved::No(Verdict::Absent) => {}
                Proved::No(verdict) => return Err(self.refused(now, source, &domain, &realm, &verdict)),
            }
        }
        Ok(Origin::Anonymous)
    }

    /// 401, or 403 where the domain is none of ours.
    fn challenge(&mut self, now: Time, source: IpAddr, domain: &str) -> Answered {
        match self.admission.realm(domain) {
            Some(realm) => self.refused(now, source, domain, &realm, &Verdict::Absent),
            None => plain(403, ""),
        }
    }
}

impl Door for Porter<'_> {
    fn invite(&mut self, now: Time, invite: &Invite) -> Decision {
        if self.level == Level::Over {
            return Err(callbox_sip::Refusal {
                status: 503,
                reason: "Too many requests from this address".to_owned(),
                retry_after_s: Some(2),
                headers: Vec::new(),
            });
        }
        let origin = self.origin(now, invite).map_err(refusal)?;
        let offered = translate::offered(invite, self.advertised, origin);
        match self.admission.admit(&offered) {
            Ok(leg) => {
                self.begun = Some((leg, offered));
                Ok(leg.0)
            }
            Err(Refusal::Status { status, reason, retry_after_s }) => {
                Err(callbox_sip::Refusal { status, reason, retry_after_s, headers: Vec::new() })
            }
            Err(Refusal::Challenge { domain }) => {
                Err(refusal(self.challenge(now, invite.peer.remote.ip(), &domain.to_ascii_lowercase())))
            }
        }
    }

    /// RFC 3261 10.3. The domain is that of the address of record: several stand behind one
    /// address.
    fn register(&mut self, now: Time, peer: &Peer, request: &Message) -> Answered {
        let Some(domain) = request.to().as_ref().and_then(domain_of) else {
            return plain(400, "To has no domain");
        };
        let Some(realm) = self.admission.realm(&domain) else {
            return plain(404, "No Such Domain");
        };
        match self.prove(now, peer.remote.ip(), &domain, &realm, request) {
            Proved::User { user, name } => {
                let account = Account { user: user.as_u128(), name: &name, domain: &domain };
                self.registrations.register(now, &realm, account, request, peer, self.admission)
            }
            Proved::No(verdict) => self.refused(now, peer.remote.ip(), &domain, &realm, &verdict),
        }
    }
}

fn protection<'a>(domain: &'a str, realm: &Realm) -> Protection<'a> {
    Protection { realm: domain, md5: realm.md5 }
}

fn domain_of(address: &Address) -> Option<String> {
    host(address.uri.clone())
}

fn host(uri: Uri) -> Option<String> {
    match uri.host? {
        Host::Name(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        Host::Address(address) => Some(address.to_string()),
    }
}

fn refusal(answered: Answered) -> callbox_sip::Refusal {
    let Answered { status, reason, headers } = answered;
    callbox_sip::Refusal { status, reason, retry_after_s: None, headers }
}

fn plain(status: u16, reason: &str) -> Answered {
    Answered { status, reason: reason.to_owned(), headers: Vec::new() }
}
