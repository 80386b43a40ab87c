//! Between the call brain and media: the sound of one leg, addressed by its [`crate::LegKey`].
//!
//! Media has no idea that calls exist, and never reads a session description: `call` hands it a
//! plain [`MediaPlan`]. `Open` is answered by `Opened` or `Failed`; `Close` by `Closed`, which is
//! the last event of a leg. Every `Play` ends in exactly one `Played`, every `Record` in exactly
//! one `Recorded`, closing included.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::{ApplicationId, LegKey, Millis, RecordingId, Speech, StepId, TenantId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Pcmu,
    Pcma,
}

/// How a leg's sound flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPlan {
    /// Whose call it is: tenants take turns where sounds are prepared.
    pub tenant: TenantId,
    /// The local address to bind; never a wildcard.
    pub local: IpAddr,
    /// The signalling peer's address: the only place from where a stream may be learnt.
    pub peer: IpAddr,
    /// Besides `peer`, where sound may be sent before anything came from there. To an address
    /// that is in neither, nothing is sent until it has sent first.
    pub networks: Arc<[IpNet]>,
    /// None until the far end's description is known (late offer).
    pub remote: Option<Remote>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub rtp: SocketAddr,
    pub rtcp: SocketAddr,
    /// What we send, and its payload type. Any of `accept` is received.
    pub codec: Codec,
    pub payload_type: u8,
    pub accept: Vec<(u8, Codec)>,
    /// telephone-event, RFC 4733.
    pub dtmf_payload_type: Option<u8>,
    /// False while they have put us on hold (`sendonly` or `inactive` of theirs).
    pub send: bool,
    pub receive: bool,
}

/// A piece of sound, with nothing left to look up but the asset's bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Sound {
    Asset { application: ApplicationId, name: String },
    Speech(Speech),
    Tone(Tone),
    Silence(Millis),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tone {
    pub first_hz: u16,
    pub second_hz: Option<u16>,
    pub length: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracks {
    Mixed,
    Separate,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecordPlan {
    pub recording: RecordingId,
    pub tenant: TenantId,
    pub tracks: Tracks,
    pub max: Option<Millis>,
    pub silence: Option<Millis>,
    pub beep: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MediaCommand {
    Open(MediaPlan),
    /// After a re-INVITE or the ACK of a late offer. Sequence and timestamps go on unbroken.
    Update(MediaPlan),
    /// Replaces what plays on the leg; that one ends `Replaced`. `repeat` 0 is for ever.
    Play {
        step: StepId,
        sounds: Vec<Sound>,
        repeat: u32,
        gain_db: i8,
    },
    StopPlay {
        step: StepId,
    },
    Record {
        step: StepId,
        plan: RecordPlan,
    },
    StopRecord {
        step: StepId,
    },
    PauseRecord {
        step: StepId,
        silence: bool,
    },
    ResumeRecord {
        step: StepId,
    },
    /// Presses digits (RFC 4733), one after the other; `w` waits half a second. Answered by
    /// `DigitsSent`.
    SendDigits {
        digits: String,
    },
    /// Each hears the other from now on, until `Part` or until one closes. What plays on a leg is
    /// heard there in place of the other until it ends. Answered by `Bridged`, on this leg alone.
    /// A leg that is bridged already is parted first.
    Bridge {
        with: LegKey,
        digits: BridgeDigits,
    },
    /// Ends the bridge of this leg, if there is one. Answered by `Parted`.
    Part,
    /// While on, the digits of this leg are kept out of recordings and logs.
    Sensitive(bool),
    /// Asks for `Counted` with the same `ask`.
    Count {
        ask: u32,
    },
    Close,
}

/// Whether digits go over a bridge. They are told to the brain either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeDigits {
    Pass,
    Keep,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MediaEvent {
    /// The local address to name in the session description.
    Opened {
        rtp: SocketAddr,
    },
    Failed(MediaFault),
    Played {
        step: StepId,
        played: Millis,
        end: PlayEnd,
    },
    Recorded {
        step: StepId,
        end: RecordEnd,
    },
    DigitBegan {
        digit: char,
    },
    DigitEnded {
        digit: char,
        length: Millis,
    },
    /// All of `SendDigits`, or why not.
    DigitsSent {
        result: Result<(), MediaFault>,
    },
    /// The answer to `Bridge`.
    Bridged {
        result: Result<(), MediaFault>,
    },
    Parted,
    /// The first packet that was accepted.
    FirstPacket {
        from: SocketAddr,
    },
    /// No packet for the time set in the driver's configuration while `receive` was wanted.
    Silent {
        for_ms: Millis,
    },
    Counted {
        ask: u32,
        frames: Frames,
    },
    Closed {
        frames: Frames,
    },
}

/// 20 ms frames of the leg so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    pub sent: u64,
    pub received: u64,
    /// Received ones that came too late, twice, or from elsewhere.
    pub dropped: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayEnd {
    Finished,
    /// By `StopPlay`, or with the leg.
    Stopped,
    /// By a later `Play`.
    Replaced,
    /// Nothing, or not all, was heard, and why: a missing asset, no voice engine.
    Failed(MediaFault),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordEnd {
    Finished { length: Millis, bytes: u64, by: &'static str },
    Failed(MediaFault),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaFault {
    /// The name that is not there.
    NoAsset(String),
    /// The file cannot be played, and why.
    BadAsset(String),
    /// No voice engine; names the package that would bring one.
    NoVoice(String),
    NoPort,
    /// The disk, the kernel, or a queue that is full.
    Node(String),
}
