//! RFC 3550 5.1: the header, read in place and written in place.

/// A packet as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: &'a [u8],
}

/// Of a packet without contributing sources and extension.
pub const HEADER_BYTES: usize = 12;

impl<'a> Packet<'a> {
    /// None when it is no RTP packet.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_BYTES>()?;
        let [flags, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *head;
        if flags >> 6 != 2 {
            return None;
        }
        let mut at = HEADER_BYTES + 4 * usize::from(flags & 0x0f);
        if flags & 0x10 != 0 {
            let length = bytes.get(at + 2..at + 4)?;
            at += 4 + 4 * usize::from(u16::from_be_bytes([length[0], length[1]]));
        }
        let mut end = bytes.len();
        if flags & 0x20 != 0 {
            let padding = usize::from(*bytes.last()?);
            if padding == 0 {
                return None;
            }
            end = end.checked_sub(padding)?;
        }
        Some(Self {
            payload_type: kind & 0x7f,
            marker: kind & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload: bytes.get(at..end)?,
        })
    }
}

/// Into the first twelve bytes of `buffer`.
pub fn write_header(buffer: &mut [u8; HEADER_BYTES], packet: &Packet<'_>) {
    buffer[0] = 0x80;
    buffer[1] = packet.payload_type & 0x7f | u8::from(packet.marker) << 7;
    buffer[2..4].copy_from_slice(&packet.sequence.to_be_bytes());
    buffer[4..8].copy_from_slice(&packet.timestamp.to_be_bytes());
    buffer[8..12].copy_from_slice(&packet.ssrc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn extensions_sources_and_padding_are_stepped_over() {
        let mut bytes = vec![0xb1, 0x80, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([9; 4]);
        bytes.extend([0, 0, 0, 1, 8, 8, 8, 8]);
        bytes.extend([1, 2, 3, 0, 0, 3]);
        let packet = Packet::read(&bytes).unwrap();
        assert_eq!((packet.payload, packet.marker, packet.sequence, packet.ssrc), (&[1, 2, 3][..], true, 1, 3));
    }

    #[test]
    fn what_is_no_packet_is_not_read() {
        for bytes in [&[0x80; 11][..], &[0x40; 20], &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99], &[0x9f; 13]] {
            assert_eq!(Packet::read(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(payload_type in 0u8..128, marker: bool, sequence: u16, timestamp: u32, ssrc: u32, payload: Vec<u8>) {
            let packet = Packet { payload_type, marker, sequence, timestamp, ssrc, payload: &payload };
            let mut head = [0; HEADER_BYTES];
            write_header(&mut head, &packet);
            let bytes = [&head[..], &payload].concat();
            prop_assert_eq!(Packet::read(&bytes), Some(packet));
        }

        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>) {
            let _ = Packet::read(&bytes);
        }
    }
}
