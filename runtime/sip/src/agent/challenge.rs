//! Challenges (RFC 3261 22, RFC 8760): answered where we were given something to answer with, and
//! for its realm alone. We challenge nobody here: that is the door's.

use super::Agent;
use super::asking::Purpose;
use super::border::{Credentials, Effect, LegId};
use super::chance::Branch;
use super::dial::Cancel;
use super::leg::{Leg, Stage};
use super::rewrite::{Change, again};
use crate::digest::answer;
use crate::header::{Name, Params};
use crate::message::Message;
use crate::transaction::Time;
use crate::write::Writer;

impl Agent {
    /// True when the request went out once more, with an answer to the challenge.
    pub(super) fn challenged(
        &mut self,
        now: Time,
        branch: Branch,
        purpose: Purpose,
        status: u16,
        message: &Message,
        out: &mut Vec<Effect>,
    ) -> bool {
        let (asks, answers) = match status {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return false,
        };
        let credentials = match purpose {
            Purpose::Own(request) => self.own.get(&request).and_then(|own| own.credentials.clone()),
            _ => purpose.leg().and_then(|id| self.legs.get(&id)).and_then(|leg| leg.credentials.as_deref().cloned()),
        };
        let Some(credentials) = credentials else { return false };
        let Some(request) = self.asked(branch) else { return false };
        let challenges = challenges(message, asks, &credentials, request.count(answers) > 0);
        let Some(method) = request.method().filter(|_| !challenges.is_empty()) else { return false };
        let uri = String::from_utf8_lossy(request.request_uri()).into_owned();
        let cnonce = self.chance.token();
        let answer =
            answer(&challenges, &credentials, method.as_str(), &uri, request.body(), &cnonce, FIRST_USE_OF_A_NONCE);
        let Some(answer) = answer else { return false };
        self.ask_again(now, branch, purpose, &request, &[(answers, answer)], out)
    }

    /// The same request with these headers, as its own next one.
    fn ask_again(
        &mut self,
        now: Time,
        branch: Branch,
        purpose: Purpose,
        request: &Message,
        set: &[(Name, String)],
        out: &mut Vec<Effect>,
    ) -> bool {
        let next = self.chance.branch();
        let number = match purpose {
            Purpose::Invite(id) => {
                return self.is_dialling(id, branch)
                    && self.is_wanted(id)
                    && self.dial_again(now, id, request, set, out);
            }
            Purpose::Reoffer(id) => self.legs.get_mut(&id).and_then(|leg| {
                leg.dialog.local_cseq += 1;
                let number = leg.dialog.local_cseq;
                leg.ours.as_mut().is_some_and(|ours| ours.moved(branch, next, number)).then_some(number)
            }),
            Purpose::Own(id) => self.own.get_mut(&id).and_then(|own| own.moved(branch, next)),
            // Not in the dialog of the leg.
            Purpose::Lost(_) => request.cseq().map(|(number, _)| number + 1),
            _ => purpose.leg().and_then(|id| self.legs.get_mut(&id)).map(|leg| {
                leg.dialog.local_cseq += 1;
                leg.dialog.local_cseq
            }),
        };
        let (Some(cseq), Some(asking)) = (number, self.clients.get(&branch)) else { return false };
        let (peer, method) = (asking.peer, asking.method.clone());
        let Ok(bytes) = again(request, &Change { peer: &peer, branch: next, cseq, set }, &self.settings) else {
            return false;
        };
        self.ask_bytes(now, peer, next, method, purpose, bytes, out);
        true
    }

    fn is_wanted(&self, id: LegId) -> bool {
        let stage = self.legs.get(&id).map(|leg| &leg.stage);
        matches!(stage, Some(Stage::Dialling(dialling)) if dialling.cancel == Cancel::No)
    }

    /// 22.3: the ACK of an INVITE carries what its INVITE was accepted with.
    pub(super) fn copy_credentials(&self, of: Branch, writer: &mut Writer) {
        let leg = self.clients.get(&of).and_then(|asking| asking.purpose.leg()).and_then(|id| self.legs.get(&id));
        if let Some(Leg { credentials: Some(_), .. }) = leg
            && let Some(request) = self.asked(of)
        {
            writer.copy_all(Name::Authorization, &request).copy_all(Name::ProxyAuthorization, &request);
        }
    }
}

/// Those that may be answered: of our realm, where it is known; and, when the same was answered
/// before, those that say that our nonce was merely old.
fn challenges(message: &Message, asks: Name, credentials: &Credentials, was_answered: bool) -> Vec<String> {
    let is_ours = |challenge: &String| {
        let Some((scheme, params)) = challenge.trim().split_once(' ') else { return false };
        // The parameters of a challenge stand between commas; of ours, between semicolons.
        let param = |name: &str| {
            crate::scan::list(params.as_bytes()).find_map(|param| Params::read(param).and_then(|param| param.get(name)))
        };
        let is_realm = credentials.realm.as_ref().is_none_or(|realm| param("realm").as_ref() == Some(realm));
        let is_news = !was_answered || param("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        scheme.eq_ignore_ascii_case("Digest") && is_realm && is_news
    };
    let values = message.values(asks).map(|value| crate::scan::text(&value));
    values.filter(is_ours).take(MOST_CHALLENGES).collect()
}

/// One for each algorithm, and some to spare.
const MOST_CHALLENGES: usize = 8;
/// Each challenge is answered with a nonce of its own count.
const FIRST_USE_OF_A_NONCE: u32 = 1;
