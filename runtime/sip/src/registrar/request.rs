//! What a REGISTER asks for, and whether it may.

use crate::address::Address;
use crate::agent::{Answered, Peer, Transport};
use crate::header::{Name, Params};
use crate::message::Message;
use crate::registrar::binding::Entry;
use crate::registrar::{Account, Rules, answer};
use crate::scan;
use crate::uri::{Scheme, Uri};

pub(super) struct Request {
    pub(super) asked: Asked,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) path: Vec<String>,
    pub(super) user_agent: Option<String>,
    pub(super) echoes_path: bool,
    pub(super) wants_gruu: bool,
    /// Whether RFC 5626 was followed.
    pub(super) is_outbound: bool,
    /// Whether it came from the phone itself, through no proxy.
    pub(super) is_direct: bool,
}

pub(super) enum Asked {
    List,
    /// `Contact: *`.
    Clear,
    Bind(Vec<Wanted>),
}

pub(super) struct Wanted {
    pub(super) uri: Uri,
    pub(super) expires_s: u32,
    pub(super) q_permille: u16,
    pub(super) instance: Option<String>,
    /// Only where the flow is kept in the way of RFC 5626.
    pub(super) reg_id: Option<u32>,
}

const SUPPORTED: [&str; 3] = ["path", "gruu", "outbound"];
/// Each proxy on the way adds one.
const MOST_PATHS: usize = 8;
/// A contact, an instance, a path: real ones stay below 200.
const LONGEST_BYTES: usize = 512;

impl Request {
    pub(super) fn read(request: &Message, rules: &Rules, account: Account<'_>, peer: &Peer) -> Result<Self, Answered> {
        // Step 2.
        let required = request.list(Name::Require);
        let unknown: Vec<_> = required.iter().filter(|tag| !SUPPORTED.contains(&tag.as_str())).cloned().collect();
        if !unknown.is_empty() {
            return Err(answer::unsupported(&unknown.join(", ")));
        }
        let offered = request.list(Name::Supported);
        let speaks = |tag: &str| required.iter().chain(&offered).any(|one| one == tag);
        // Steps 3 to 5: nobody registers for somebody else.
        if !is_own(request, account) {
            return Err(answer::refused(403, "To Is Another User's"));
        }
        let (Some(call_id), Some((cseq, _))) = (request.call_id(), request.cseq()) else {
            return Err(answer::refused(400, "Call-ID or CSeq is unreadable"));
        };
        let path = paths(request)?;
        let is_direct = request.list(Name::Via).len() <= 1 && path.is_empty();
        let flow = match (speaks("outbound"), is_direct) {
            (false, _) => Flow::Unasked,
            // Over UDP a flow is kept alive with STUN, which is not answered here.
            (true, true) if peer.transport == Transport::Udp => Flow::Unkept,
            (true, true) => Flow::Kept,
            // RFC 5626 6: the proxy next to the phone says so in what it put into Path: the last.
            (true, false) if path.last().is_some_and(|last| keeps_flows(last)) => Flow::Kept,
            (true, false) => Flow::Lacking,
        };
        if flow == Flow::Unkept && required.iter().any(|tag| tag == "outbound") {
            return Err(answer::unsupported("outbound"));
        }
        let asked = asked(request, rules, account, flow)?;
        let is_outbound = matches!(&asked, Asked::Bind(all) if all.iter().any(|wanted| wanted.reg_id.is_some()));
        Ok(Self {
            asked,
            call_id,
            cseq,
            path,
            user_agent: request.text(Name::UserAgent).map(|name| name.chars().take(128).collect()),
            echoes_path: speaks("path"),
            wants_gruu: speaks("gruu"),
            is_outbound,
            is_direct,
        })
    }

    /// Step 7: the contact was set by the same client, with a request that is not before this one.
    pub(super) fn is_late_for(&self, entry: &Entry) -> bool {
        entry.binding.call_id == self.call_id && self.cseq <= entry.binding.cseq
    }
}

/// What becomes of `reg-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Unasked,
    Kept,
    Unkept,
    /// A proxy stands between that does not keep flows.
    Lacking,
}

impl Wanted {
    /// Whether it is this contact: the same flow of the same phone (RFC 5626 6), or the same URI
    /// by the rules of URIs.
    pub(super) fn is_same(&self, entry: &Entry) -> bool {
        match (self.reg_id, entry.binding.reg_id) {
            (Some(reg_id), Some(other)) => reg_id == other && self.instance == entry.binding.instance,
            _ => self.uri == entry.uri,
        }
    }
}

fn asked(request: &Message, rules: &Rules, account: Account<'_>, flow: Flow) -> Result<Asked, Answered> {
    let values: Vec<Vec<u8>> = request
        .values(Name::Contact)
        .flat_map(|value| scan::list(&value).map(<[u8]>::to_vec).collect::<Vec<_>>())
        .collect();
    let header = request.first(Name::Expires).map(|value| scan::number::<u32>(&value));
    if values.is_empty() {
        return Ok(Asked::List);
    }
    // Step 6.
    if values.iter().any(|value| value == b"*") {
        return match (values.len(), header) {
            (1, Some(Some(0))) => Ok(Asked::Clear),
            _ => Err(answer::refused(400, "A contact of * stands alone, with Expires: 0")),
        };
    }
    let mut wanted = Vec::with_capacity(values.len());
    for value in &values {
        let address = Address::read(value).ok_or_else(|| answer::refused(400, "Contact is unreadable"))?;
        wanted.push(one(address, header.flatten(), rules, account, flow)?);
    }
    // RFC 5626 4.2.1: one flow, one request.
    if wanted.iter().filter(|wanted| wanted.reg_id.is_some() && wanted.expires_s > 0).count() > 1 {
        return Err(answer::refused(400, "More than one contact has a reg-id"));
    }
    Ok(Asked::Bind(wanted))
}

fn one(
    address: Address,
    header: Option<u32>,
    rules: &Rules,
    account: Account<'_>,
    flow: Flow,
) -> Result<Wanted, Answered> {
    let Address { uri, params, .. } = address;
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) || uri.headers.is_some() || uri.as_str().len() > LONGEST_BYTES
    {
        return Err(answer::refused(400, "Contact is none that could be called"));
    }
    // What is bound to itself would be called for ever.
    let is_itself = uri.host.as_ref().is_some_and(|host| account.is_at(host))
        && uri.port.is_none()
        && uri.plain_user().as_deref() == Some(account.name);
    if is_itself {
        return Err(answer::refused(400, "Contact is the user's own address of record"));
    }
    // Step 7: the contact's own, or the header's, or ours. What is no number is as if not there.
    let asked = params.get("expires").map_or(header, |value| scan::number(value.as_bytes()));
    let expires_s = match asked {
        None => rules.default_expires_s,
        Some(0) => 0,
        Some(short) if short < rules.min_expires_s => return Err(answer::too_brief(rules.min_expires_s)),
        Some(long) => long.min(rules.max_expires_s),
    };
    let instance = params.get("+sip.instance").and_then(|value| instance(&value));
    let reg_id = params
        .get("reg-id")
        .and_then(|value| scan::number::<u32>(value.as_bytes()))
        .filter(|&reg_id| reg_id > 0 && reg_id < 1 << 31 && instance.is_some());
    let reg_id = match (reg_id, flow) {
        (Some(_), Flow::Lacking) => return Err(answer::refused(439, "First Hop Lacks Outbound Support")),
        (reg_id, Flow::Kept) => reg_id,
        _ => None,
    };
    Ok(Wanted { q_permille: quality(&params), uri, expires_s, instance, reg_id })
}

/// The address of record is the account's, in whichever of SIP and SIPS.
fn is_own(request: &Message, account: Account<'_>) -> bool {
    let Some(to) = request.to() else { return false };
    matches!(to.uri.scheme, Scheme::Sip | Scheme::Sips)
        && to.uri.plain_user().as_deref() == Some(account.name)
        && to.uri.host.as_ref().is_some_and(|host| account.is_at(host))
}

/// RFC 3327 5.3. Kept whether or not the phone speaks it: it is the proxy's, and what is sent past
/// the proxy does not arrive.
fn paths(request: &Message) -> Result<Vec<String>, Answered> {
    let mut paths = Vec::new();
    for (_, label, value) in request.headers() {
        if !label.eq_ignore_ascii_case("Path") {
            continue;
        }
        for one in scan::list(&value) {
            let is_good = one.len() <= LONGEST_BYTES && Address::read(one).is_some() && paths.len() < MOST_PATHS;
            if !is_good {
                return Err(answer::refused(400, "Path is unreadable or too long"));
            }
            paths.push(scan::text(one));
        }
    }
    Ok(paths)
}

fn keeps_flows(path: &str) -> bool {
    Address::read(path.as_bytes()).is_some_and(|address| address.uri.params.has("ob"))
}

/// `0`, `1`, `0.5`, `.5`, three digits at most. Anything else is none given.
fn quality(params: &Params) -> u16 {
    let read = |text: &str| {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_good = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        let thousandths: u16 = format!("{part:0<3}").parse().ok().filter(|_| is_good)?;
        match whole {
            "" | "0" => Some(thousandths),
            "1" if thousandths == 0 => Some(1_000),
            _ => None,
        }
    };
    params.get("q").as_deref().and_then(read).unwrap_or(1_000)
}

/// `<urn:..>`, with nothing in it that could not stand there again.
fn instance(value: &str) -> Option<String> {
    let urn = value.strip_prefix('<')?.strip_suffix('>')?;
    let is_good = !urn.is_empty()
        && urn.len() <= LONGEST_BYTES
        && urn.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\".contains(&byte));
    is_good.then(|| urn.to_owned())
}
