//! What a far end sent, as far as a telephone call needs it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sdp_types::{Attribute, Connection, Media};

use crate::{Error, MOST_ATTRIBUTES, MOST_BYTES, MOST_STREAMS};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub audio: Audio,
    /// Place of the audio stream among all.
    pub(crate) index: usize,
    pub(crate) streams: Vec<Stream>,
}

/// `media proto fmt` of one stream, to decline it by.
pub(crate) type Stream = (String, String, String);

/// The first audio stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    pub rtp: SocketAddr,
    pub rtcp: SocketAddr,
    /// Payload types of codecs we speak, in their order of preference.
    pub codecs: Vec<(u8, Codec)>,
    /// telephone-event at 8 kHz, RFC 4733.
    pub events: Option<u8>,
    pub direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Pcmu,
    Pcma,
}

/// As seen from the one who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Description {
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MOST_BYTES {
            return Err(Error::TooLong { found: bytes.len() });
        }
        let session = sdp_types::Session::parse(bytes).map_err(|error| Error::Syntax(error.to_string()))?;
        if session.medias.len() > MOST_STREAMS {
            return Err(Error::TooManyStreams { found: session.medias.len() });
        }
        if let Some(media) = session.medias.iter().find(|media| media.attributes.len() > MOST_ATTRIBUTES) {
            return Err(Error::TooManyAttributes { found: media.attributes.len() });
        }
        // A second audio stream, or one that was switched off, does not count.
        let (index, media) = session
            .medias
            .iter()
            .enumerate()
            .find(|(_, media)| media.media.eq_ignore_ascii_case("audio") && media.port != 0)
            .ok_or_else(|| {
                let declined = session.medias.iter().any(|media| media.media.eq_ignore_ascii_case("audio"));
                if declined { Error::Declined } else { Error::NoAudio }
            })?;
        let audio = Audio::read(media, session.connection.as_ref(), &session.attributes)?;
        let streams =
            session.medias.iter().map(|media| (media.media.clone(), media.proto.clone(), media.fmt.clone())).collect();
        Ok(Self { audio, index, streams })
    }
}

impl Audio {
    fn read(media: &Media, session: Option<&Connection>, session_attributes: &[Attribute]) -> Result<Self, Error> {
        if !media.proto.eq_ignore_ascii_case("RTP/AVP") && !media.proto.eq_ignore_ascii_case("RTP/AVPF") {
            return Err(Error::Transport(media.proto.clone()));
        }
        let connection =
            media.connections.first().or(session).ok_or_else(|| Error::Address("no c= line for it".to_owned()))?;
        let address = address(connection)?;
        let rtp = SocketAddr::new(address, media.port);
        // Seven bits (RFC 3550 5.1), and each once: an answer has lines for each of them.
        let mut payloads = Vec::new();
        for payload in media.fmt.split_ascii_whitespace().filter_map(|number| number.parse::<u8>().ok()) {
            if payload < 128 && !payloads.contains(&payload) {
                payloads.push(payload);
            }
        }
        let mut codecs = Vec::new();
        let mut events = None;
        for &payload in &payloads {
            match encoding(payload, &media.attributes) {
                Some(Encoding::Codec(codec)) => codecs.push((payload, codec)),
                Some(Encoding::Events) => events = events.or(Some(payload)),
                None => {}
            }
        }
        let direction = media
            .attributes
            .iter()
            .chain(session_attributes)
            .find_map(|attribute| Direction::from_name(&attribute.attribute))
            .unwrap_or(Direction::SendRecv);
        // RFC 3264 8.4: the older way to put somebody on hold is the address 0.0.0.0.
        let direction = if address.is_unspecified() { direction.without_receiving() } else { direction };
        if codecs.is_empty() {
            return Err(Error::NoCodec { offered: media.fmt.clone() });
        }
        Ok(Self { rtp, rtcp: rtcp(media, rtp), codecs, events, direction })
    }
}

impl Direction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// RFC 3264 6.1: what an answer says when it wants all it may have.
    pub const fn mirrored(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    const fn without_receiving(self) -> Self {
        match self {
            Self::SendRecv | Self::SendOnly => Self::SendOnly,
            Self::RecvOnly | Self::Inactive => Self::Inactive,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.name().eq_ignore_ascii_case(name))
    }
}

impl Codec {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }
}

enum Encoding {
    Codec(Codec),
    Events,
}

/// By `a=rtpmap`, and for the static numbers of RFC 3551 without one.
fn encoding(payload: u8, attributes: &[Attribute]) -> Option<Encoding> {
    let mapped = attributes.iter().filter(|attribute| attribute.attribute.eq_ignore_ascii_case("rtpmap")).find_map(
        |attribute| {
            let (number, encoding) = attribute.value.as_deref()?.trim().split_once(char::is_whitespace)?;
            (number.parse() == Ok(payload)).then(|| encoding.trim().to_ascii_lowercase())
        },
    );
    match (mapped.as_deref(), payload) {
        (Some("pcmu/8000" | "pcmu/8000/1"), _) | (None, 0) => Some(Encoding::Codec(Codec::Pcmu)),
        (Some("pcma/8000" | "pcma/8000/1"), _) | (None, 8) => Some(Encoding::Codec(Codec::Pcma)),
        (Some("telephone-event/8000" | "telephone-event/8000/1"), _) => Some(Encoding::Events),
        _ => None,
    }
}

fn address(connection: &Connection) -> Result<IpAddr, Error> {
    // "192.0.2.1/127" is a multicast address with its time to live: no call goes there.
    let text = connection.connection_address.trim();
    let address: IpAddr = text.parse().map_err(|_| Error::Address(format!("`{text}` is no IP address")))?;
    if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(Error::Address(format!("{address} is not one host")));
    }
    Ok(address)
}

/// RFC 3605: `a=rtcp:53020 IN IP4 126.16.64.4`. Otherwise the next higher port.
fn rtcp(media: &Media, rtp: SocketAddr) -> SocketAddr {
    let named = media.attributes.iter().find(|attribute| attribute.attribute.eq_ignore_ascii_case("rtcp"));
    let mut words = named.and_then(|attribute| attribute.value.as_deref()).unwrap_or_default().split_ascii_whitespace();
    let Some(port) = words.next().and_then(|port| port.parse().ok()) else {
        return SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1));
    };
    let elsewhere = words.nth(2).and_then(|address| address.parse().ok());
    // Control packets to a third address would be a way to aim us at strangers.
    let address = elsewhere.filter(|address| *address == rtp.ip()).unwrap_or(rtp.ip());
    SocketAddr::new(address, port)
}
