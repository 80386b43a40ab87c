//! From what was agreed in session descriptions to what media is told.

use callbox_model::{Codec, Remote};
use callbox_sdp::{Agreed, Codec as Described};

pub(crate) fn codec_name(agreed: &Agreed) -> String {
    agreed.codec.name().to_owned()
}

pub(crate) fn remote(agreed: &Agreed) -> Remote {
    Remote {
        rtp: agreed.rtp,
        rtcp: agreed.rtcp,
        codec: codec(agreed.codec),
        payload_type: agreed.payload,
        accept: agreed.accept.iter().map(|&(payload, spoken)| (payload, codec(spoken))).collect(),
        dtmf_payload_type: agreed.events,
        send: agreed.sends,
        receive: agreed.receives,
    }
}

fn codec(described: Described) -> Codec {
    match described {
        Described::Pcmu => Codec::Pcmu,
        Described::Pcma => Codec::Pcma,
    }
}
