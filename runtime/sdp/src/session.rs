//! Our side: what we write, and what was agreed.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::description::Stream;
use crate::{Audio, Codec, Description, Direction, Error};

/// One end's session. Counts its versions (RFC 3264 8: one more with each change).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    id: u64,
    version: u64,
    last: Option<String>,
    /// The streams that stand, so that later descriptions keep their places. Empty: ours alone.
    streams: Vec<Stream>,
    /// Place of the audio stream among them.
    index: usize,
    /// Their payload type of telephone-event, once they have named one.
    events: Option<u8>,
}

/// What flows from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub rtp: SocketAddr,
    pub rtcp: SocketAddr,
    /// What we send.
    pub codec: Codec,
    pub payload: u8,
    /// What we must be ready to receive.
    pub accept: Vec<(u8, Codec)>,
    pub events: Option<u8>,
    pub sends: bool,
    pub receives: bool,
}

/// The bytes to send, and what they agree to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub body: Vec<u8>,
    pub agreed: Agreed,
}

impl Session {
    /// `id` names the session for its life; any number that is not used twice will do.
    pub fn new(id: u64) -> Self {
        // RFC 8866 5.2 leaves 64 bits; some far ends read 63.
        Self { id: id >> 1, version: 0, last: None, streams: Vec::new(), index: 0, events: None }
    }

    /// All that we speak: for late offers, for legs we dial, and for changes of a session that
    /// stands (hold and resume).
    pub fn offer(&mut self, local: SocketAddr, direction: Direction) -> Vec<u8> {
        let codecs = [(0, Codec::Pcmu), (8, Codec::Pcma)];
        // RFC 3264 8.3.2: a payload type keeps its meaning for the life of the session.
        let audio = audio_lines(local.port(), &codecs, Some(self.events.unwrap_or(OUR_EVENTS)), direction);
        let media = if self.streams.is_empty() { audio } else { in_places(&self.streams, self.index, &audio) };
        self.write(local.ip(), &media)
    }

    /// Answers an offer. `direction` is what we want of what they offer.
    pub fn answer(&mut self, offer: &Description, local: SocketAddr, wanted: Direction) -> Result<Written, Error> {
        let audio = &offer.audio;
        let direction = meet(audio.direction.mirrored(), wanted);
        let agreed = agree(audio, direction)?;
        let ours = audio_lines(local.port(), &audio.codecs, audio.events, direction);
        let media = if offer.streams.len() == 1 {
            self.streams.clear();
            ours
        } else {
            self.streams.clone_from(&offer.streams);
            in_places(&offer.streams, offer.index, &ours)
        };
        self.index = offer.index;
        self.events = audio.events.or(self.events);
        Ok(Written { body: self.write(local.ip(), &media), agreed })
    }

    /// Reads the answer to our offer.
    pub fn accept(&self, answer: &Description, offered: Direction) -> Result<Agreed, Error> {
        let offered_streams = self.streams.len().max(1);
        if answer.streams.len() != offered_streams {
            return Err(Error::StreamCount { offered: offered_streams, found: answer.streams.len() });
        }
        agree(&answer.audio, meet(answer.audio.direction.mirrored(), offered))
    }

    fn write(&mut self, address: IpAddr, media: &str) -> Vec<u8> {
        let family = if address.is_ipv4() { "IP4" } else { "IP6" };
        let body = format!("s=-\r\nc=IN {family} {address}\r\nt=0 0\r\n{media}");
        if self.last.as_ref() != Some(&body) {
            self.version += 1;
            self.last = Some(body.clone());
        }
        let (id, version) = (self.id, self.version);
        format!("v=0\r\no=- {id} {version} IN {family} {address}\r\n{body}").into_bytes()
    }
}

/// RFC 3264 6 and 8: a stream that is not ours is declined with port 0, in its place.
fn in_places(streams: &[Stream], index: usize, audio: &str) -> String {
    let mut media = String::new();
    for (place, (kind, proto, formats)) in streams.iter().enumerate() {
        if place == index {
            media.push_str(audio);
        } else {
            let _ = write!(media, "m={kind} 0 {proto} {formats}\r\n");
        }
    }
    media
}

/// What both want.
fn meet(one: Direction, other: Direction) -> Direction {
    match (one.sends() && other.sends(), one.receives() && other.receives()) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

fn agree(audio: &Audio, ours: Direction) -> Result<Agreed, Error> {
    let &(payload, codec) = audio.codecs.first().ok_or_else(|| Error::NoCodec { offered: "none".to_owned() })?;
    Ok(Agreed {
        rtp: audio.rtp,
        rtcp: audio.rtcp,
        codec,
        payload,
        accept: audio.codecs.clone(),
        events: audio.events,
        sends: ours.sends(),
        receives: ours.receives(),
    })
}

fn audio_lines(port: u16, codecs: &[(u8, Codec)], events: Option<u8>, direction: Direction) -> String {
    let mut numbers = String::new();
    for payload in codecs.iter().map(|(payload, _)| payload).chain(&events) {
        let _ = write!(numbers, " {payload}");
    }
    let mut lines = format!("m=audio {port} RTP/AVP{numbers}\r\n");
    for (payload, codec) in codecs {
        let _ = write!(lines, "a=rtpmap:{payload} {}/8000\r\n", codec.name());
    }
    if let Some(payload) = events {
        let _ = write!(lines, "a=rtpmap:{payload} telephone-event/8000\r\na=fmtp:{payload} 0-15\r\n");
    }
    let _ = write!(lines, "a=ptime:20\r\na={}\r\n", direction.name());
    lines
}

/// Our payload type of telephone-event in offers: what nearly everybody uses.
const OUR_EVENTS: u8 = 101;

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
