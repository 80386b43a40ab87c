//! The client's side: which challenge is answered, and how.

use crate::agent::Credentials;
use crate::digest::fields::{Fields, escape};
use crate::digest::{Algorithm, Hash, Proof, Qop, verifiers};

/// A challenge that can be answered.
struct Challenge {
    fields: Fields,
    algorithm: Algorithm,
    /// None asks in RFC 2069's way.
    qop: Option<Qop>,
}

/// The value of Authorization or Proxy-Authorization, for the values of WWW-Authenticate or
/// Proxy-Authenticate. None when no challenge can be answered with these credentials.
///
/// `nc` counts the uses of the nonce, from 1. While a nonce is used, `cnonce` stays the same: the
/// session forms depend on the first one.
pub fn answer(
    challenges: &[String],
    credentials: &Credentials,
    method: &str,
    uri: &str,
    body: &[u8],
    cnonce: &str,
    nc: u32,
) -> Option<String> {
    let challenge = best(challenges, credentials)?;
    let (realm, nonce) = (challenge.fields.plain("realm")?, challenge.fields.raw("nonce")?);
    let cnonce = escape(cnonce)?;
    let count = format!("{nc:08x}");
    let proof = Proof {
        algorithm: challenge.algorithm,
        nonce,
        cnonce: &cnonce,
        qop: challenge.qop.map(|qop| (qop, count.as_str())),
        method,
        uri,
        body,
    };
    let response = proof.response(&verifiers(&credentials.username, &realm, &credentials.password));
    let mut fields = Fields::default();
    fields
        .quoted("username", &escape(&credentials.username)?)
        .quoted("realm", challenge.fields.raw("realm")?)
        .quoted("nonce", nonce)
        .quoted("uri", &escape(uri)?)
        .quoted("response", &response);
    // RFC 3261 22.4: algorithm, qop and nc stand without quotes. What was not said is not answered.
    if challenge.fields.raw("algorithm").is_some() {
        fields.bare("algorithm", challenge.algorithm.name());
    }
    if let Some(qop) = challenge.qop {
        fields.bare("qop", qop.name()).bare("nc", &count);
    }
    if challenge.qop.is_some() || challenge.algorithm.is_session() {
        fields.quoted("cnonce", &cnonce);
    }
    if let Some(opaque) = challenge.fields.raw("opaque") {
        fields.quoted("opaque", opaque);
    }
    Some(fields.to_string())
}

/// Whether an answer was refused for the age of its nonce alone: the same password may be tried
/// with the new one (RFC 7616 3.3).
pub fn is_stale(challenges: &[String]) -> bool {
    challenges
        .iter()
        .filter_map(|challenge| Fields::read(challenge.as_bytes()))
        .any(|fields| fields.raw("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")))
}

/// RFC 8760 2.4: the topmost that is understood. By a policy of our own MD5 is answered only where
/// nothing better is offered.
fn best(challenges: &[String], credentials: &Credentials) -> Option<Challenge> {
    let mut offered = challenges
        .iter()
        .take(MOST_CHALLENGES)
        .filter_map(|challenge| Challenge::read(Fields::read(challenge.as_bytes())?))
        .filter(|challenge| credentials.realm.is_none() || credentials.realm == challenge.fields.plain("realm"))
        .collect::<Vec<_>>();
    let strong = offered.iter().position(|challenge| challenge.algorithm.hash() != Hash::Md5);
    (!offered.is_empty()).then(|| offered.swap_remove(strong.unwrap_or(0)))
}

impl Challenge {
    fn read(fields: Fields) -> Option<Self> {
        let algorithm = Algorithm::read(fields.raw("algorithm"))?;
        fields.raw("realm")?;
        fields.raw("nonce")?;
        let qop = match fields.raw("qop") {
            Some(offered) => {
                let offered: Vec<_> = offered.split(',').filter_map(|qop| Qop::read(qop.trim())).collect();
                // Asked for in words that are not understood: nothing to answer.
                Some(offered.iter().copied().find(|qop| *qop == Qop::Auth).or(offered.first().copied())?)
            }
            None => None,
        };
        Some(Self { fields, algorithm, qop })
    }
}

pub(super) fn is_readable(fields: &Fields) -> bool {
    Challenge::read(fields.clone()).is_some()
}

/// Nobody has more algorithms than there are, twice over.
const MOST_CHALLENGES: usize = 16;
