//! RTCP: what was received, and the reports on it (RFC 3550 6.4, A.1, A.3, A.8).

use rtcp_types::{
    Bye, CompoundBuilder, ReceiverReport, ReportBlock, RtcpPacketWriter, RtcpPacketWriterExt, Sdes, SdesChunk,
    SdesItem, SenderReport,
};

/// Statistics of one received stream.
#[derive(Debug, Default)]
pub struct Received {
    ssrc: u32,
    base: u32,
    highest: u32,
    count: u64,
    expected_before: u64,
    count_before: u64,
    transit: i64,
    /// In sixteenths of a sample.
    jitter: i64,
}

impl Received {
    pub fn hear(&mut self, now_ms: u64, ssrc: u32, sequence: u16, timestamp: u32) {
        if self.count == 0 || self.ssrc != ssrc {
            *self = Self { ssrc, base: sequence.into(), highest: sequence.into(), ..Self::default() };
            self.transit = transit(now_ms, timestamp);
        }
        self.count += 1;
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < 0x8000 {
            self.highest = self.highest.wrapping_add(ahead.into());
        }
        let now = transit(now_ms, timestamp);
        let change = (now - self.transit).abs();
        self.transit = now;
        self.jitter += change - ((self.jitter + 8) >> 4);
    }

    fn block(&mut self) -> Option<(u32, u8, u32, u32, u32)> {
        if self.count == 0 {
            return None;
        }
        let expected = u64::from(self.highest.wrapping_sub(self.base)) + 1;
        let lost = expected.saturating_sub(self.count).min(0x7f_ffff) as u32;
        let expected_now = expected.saturating_sub(self.expected_before);
        let lost_now = expected_now.saturating_sub(self.count - self.count_before);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8;
        self.expected_before = expected;
        self.count_before = self.count;
        Some((self.ssrc, fraction, lost, self.highest, (self.jitter >> 4).clamp(0, u32::MAX.into()) as u32))
    }

    /// Of the far end's sound, in milliseconds.
    pub fn jitter_ms(&self) -> u32 {
        (self.jitter >> 4).max(0) as u32 / 8
    }
}

/// Writes the reports of one of our streams.
#[derive(Debug)]
pub struct Reporter {
    ssrc: u32,
    name: String,
    packets: u32,
    octets: u32,
}

impl Reporter {
    /// `name` is the CNAME: the same for a session's life, and no address.
    pub fn new(ssrc: u32, name: String) -> Self {
        Self { ssrc, name, packets: 0, octets: 0 }
    }

    pub fn sent(&mut self, octets: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
    }

    /// A compound packet: SR (or RR, when nothing was sent), SDES, and BYE with `is_last`.
    /// `wall_us` is Unix time; `timestamp` is our stream's at this moment.
    pub fn report(&self, wall_us: i64, timestamp: u32, received: &mut Received, is_last: bool, buffer: &mut Vec<u8>) {
        let block = received.block().map(|(ssrc, fraction, lost, highest, jitter)| {
            ReportBlock::builder(ssrc)
                .fraction_lost(fraction)
                .cumulative_lost(lost)
                .extended_sequence_number(highest)
                .interarrival_jitter(jitter)
        });
        let item = SdesItem::builder(SdesItem::CNAME, &self.name);
        let sdes = Sdes::builder().add_chunk(SdesChunk::builder(self.ssrc).add_item(item));
        let compound = CompoundBuilder::default();
        let compound = if self.packets > 0 {
            let mut report = SenderReport::builder(self.ssrc)
                .ntp_timestamp(ntp(wall_us))
                .rtp_timestamp(timestamp)
                .packet_count(self.packets)
                .octet_count(self.octets);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            compound.add_packet(report)
        } else {
            let mut report = ReceiverReport::builder(self.ssrc);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            compound.add_packet(report)
        };
        let mut compound = compound.add_packet(sdes);
        if is_last {
            compound = compound.add_packet(Bye::builder().add_source(self.ssrc));
        }
        buffer.clear();
        if let Ok(size) = compound.calculate_size() {
            buffer.resize(size, 0);
            if compound.write_into(buffer).is_err() {
                buffer.clear();
            }
        }
    }
}

/// RFC 5761 4: on the RTP port too, types 64 to 95 are RTCP.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [flags, kind, ..] if flags >> 6 == 2 && (192..=223).contains(kind))
}

fn transit(now_ms: u64, timestamp: u32) -> i64 {
    // Both clocks in samples; only differences count, so the turn of the timestamp is one jump.
    (now_ms as i64 * 8) - i64::from(timestamp)
}

/// Seconds since 1900, and their fraction.
fn ntp(wall_us: i64) -> u64 {
    let seconds = (wall_us.div_euclid(1_000_000) as u64).wrapping_add(2_208_988_800) & 0xffff_ffff;
    let fraction = ((wall_us.rem_euclid(1_000_000) as u64) << 32) / 1_000_000;
    seconds << 32 | fraction
}

#[cfg(test)]
mod tests {
    use rtcp_types::{Compound, Packet};

    use super::*;

    #[test]
    fn reports_say_what_was_sent_lost_and_late() {
        let mut received = Received::default();
        for number in 0..100u16 {
            if number % 10 != 3 {
                received.hear(
                    u64::from(number) * 20 + u64::from(number % 2) * 8,
                    7,
                    number.wrapping_add(65_500),
                    u32::from(number) * 160,
                );
            }
        }
        let mut reporter = Reporter::new(9, "a@b".to_owned());
        let mut bytes = Vec::new();
        reporter.report(0, 0, &mut received, false, &mut bytes);
        assert!(is_rtcp(&bytes));
        let packets: Vec<_> = Compound::parse(&bytes).unwrap().map(Result::unwrap).collect();
        let Packet::Rr(report) = &packets[0] else { panic!("{packets:?}") };
        let block = report.report_blocks().next().unwrap();
        assert_eq!((block.ssrc(), block.cumulative_lost()), (7, 10));
        assert!((20..=30).contains(&block.fraction_lost()), "{}", block.fraction_lost());
        assert!((20..=80).contains(&block.interarrival_jitter()), "{}", block.interarrival_jitter());
        reporter.sent(160);
        reporter.report(1_700_000_000_500_000, 1_234, &mut received, true, &mut bytes);
        let packets: Vec<_> = Compound::parse(&bytes).unwrap().map(Result::unwrap).collect();
        let Packet::Sr(report) = &packets[0] else { panic!() };
        assert_eq!((report.packet_count(), report.octet_count(), report.rtp_timestamp()), (1, 160, 1_234));
        assert_eq!(report.ntp_timestamp() & 0xffff_ffff, 1 << 31);
        assert!(matches!(packets[2], Packet::Bye(_)));
    }
}
