//! telephone-event (RFC 4733): digits heard, and digits pressed.

/// The four bytes of an event's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    pub event: u8,
    pub is_end: bool,
    /// In samples, since the event's timestamp.
    pub duration: u16,
}

impl EventPacket {
    pub fn read(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk::<4>()?;
        Some(Self { event, is_end: flags & 0x80 != 0, duration: u16::from_be_bytes([high, low]) })
    }

    pub fn bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, u8::from(self.is_end) << 7 | VOLUME, high, low]
    }
}

pub fn digit_of(event: u8) -> Option<char> {
    DIGITS.get(usize::from(event)).map(|&digit| char::from(digit))
}

pub fn code_of(digit: char) -> Option<u8> {
    let at = DIGITS.iter().position(|&one| char::from(one) == digit.to_ascii_uppercase())?;
    u8::try_from(at).ok()
}

/// Digits out of a stream. Told of every event packet, and of the time.
#[derive(Debug, Default)]
pub struct Digits {
    /// Of the stream that is heard. Another has timestamps of its own.
    ssrc: Option<u32>,
    open: Option<Open>,
    /// Timestamp of the last event that ended: its end is sent three times.
    ended: Option<u32>,
}

#[derive(Debug)]
struct Open {
    digit: char,
    timestamp: u32,
    duration: u16,
    last_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Began(char),
    Ended { digit: char, length_ms: u32 },
}

impl Digits {
    /// An event packet. Up to two things happen: an open digit ends, another begins.
    pub fn hear(&mut self, now_ms: u64, ssrc: u32, timestamp: u32, packet: EventPacket, heard: &mut Vec<Heard>) {
        if self.ssrc != Some(ssrc) {
            self.close(heard);
            *self = Self { ssrc: Some(ssrc), ..Self::default() };
        }
        if self.ended == Some(timestamp) {
            return;
        }
        // Older than what is open or over: late, or twice.
        let reference = self.open.as_ref().map(|open| open.timestamp).or(self.ended);
        if reference.is_some_and(|other| (timestamp.wrapping_sub(other) as i32) < 0) {
            return;
        }
        let Some(digit) = digit_of(packet.event) else { return };
        if self.open.as_ref().is_some_and(|open| open.timestamp != timestamp) {
            // Its end was lost.
            self.close(heard);
        }
        let open = self.open.get_or_insert_with(|| {
            heard.push(Heard::Began(digit));
            Open { digit, timestamp, duration: 0, last_ms: now_ms }
        });
        open.duration = open.duration.max(packet.duration);
        open.last_ms = now_ms;
        if packet.is_end {
            self.close(heard);
        }
    }

    /// A digit whose packets have stopped is over.
    pub fn tick(&mut self, now_ms: u64, heard: &mut Vec<Heard>) {
        if self.open.as_ref().is_some_and(|open| now_ms.saturating_sub(open.last_ms) >= LOST_MS) {
            self.close(heard);
        }
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn close(&mut self, heard: &mut Vec<Heard>) {
        if let Some(open) = self.open.take() {
            self.ended = Some(open.timestamp);
            heard.push(Heard::Ended { digit: open.digit, length_ms: u32::from(open.duration) / 8 });
        }
    }
}

/// One digit on its way out: a packet every 20 ms, and three with the end.
#[derive(Debug)]
pub struct Press {
    event: u8,
    duration: u16,
    length: u16,
    ends: u8,
}

impl Press {
    pub fn new(digit: char, length_ms: u32) -> Option<Self> {
        let length = u16::try_from(length_ms.saturating_mul(8)).unwrap_or(u16::MAX).max(320);
        Some(Self { event: code_of(digit)?, duration: 0, length, ends: 0 })
    }

    /// The next packet, and whether it is the first. All carry the first one's timestamp.
    pub fn next_packet(&mut self) -> Option<(EventPacket, bool)> {
        if self.ends >= 3 {
            return None;
        }
        let is_first = self.duration == 0;
        if self.ends == 0 {
            self.duration = self.duration.saturating_add(160).min(self.length);
        }
        let is_end = self.duration >= self.length;
        self.ends += u8::from(is_end);
        Some((EventPacket { event: self.event, is_end, duration: self.duration }, is_first))
    }
}

const DIGITS: &[u8; 16] = b"0123456789*#ABCD";
/// -10 dBm0.
const VOLUME: u8 = 10;
/// Phones send one every 20 to 50 ms.
const LOST_MS: u64 = 300;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn press(digits: &mut Digits, at: u32, digit: char, heard: &mut Vec<Heard>, is_lost: impl Fn(usize) -> bool) {
        let mut press = Press::new(digit, 100).unwrap();
        let mut number = 0;
        while let Some((packet, _)) = press.next_packet() {
            let packet = EventPacket::read(&packet.bytes()).unwrap();
            if !is_lost(number) {
                digits.hear(u64::from(at / 8) + 20 * number as u64, 7, at, packet, heard);
            }
            number += 1;
        }
        assert_eq!(number, 7, "five of 20 ms, the last of which is the end, and two more ends");
    }

    #[test]
    fn a_digit_is_heard_once() {
        let (mut digits, mut heard) = (Digits::default(), Vec::new());
        press(&mut digits, 1_000, '5', &mut heard, |_| false);
        press(&mut digits, 5_000, '5', &mut heard, |_| false);
        let once = [Heard::Began('5'), Heard::Ended { digit: '5', length_ms: 100 }];
        assert_eq!(heard, [once, once].concat());
    }

    #[test]
    fn lost_packets_lose_no_digit() {
        let (mut digits, mut heard) = (Digits::default(), Vec::new());
        press(&mut digits, 1_000, '1', &mut heard, |number| number > 1);
        press(&mut digits, 5_000, '2', &mut heard, |number| number < 6);
        assert_eq!(
            heard,
            [
                Heard::Began('1'),
                Heard::Ended { digit: '1', length_ms: 40 },
                Heard::Began('2'),
                Heard::Ended { digit: '2', length_ms: 100 }
            ]
        );
        press(&mut digits, 9_000, '#', &mut heard, |number| number > 2);
        heard.clear();
        digits.tick(2_000, &mut heard);
        assert_eq!(heard, [Heard::Ended { digit: '#', length_ms: 60 }]);
    }

    #[test]
    fn a_stream_that_begins_anew_has_timestamps_of_its_own() {
        let (mut digits, mut heard) = (Digits::default(), Vec::new());
        let mut press = |ssrc, timestamp, event| {
            digits.hear(0, ssrc, timestamp, EventPacket { event, is_end: false, duration: 80 }, &mut heard);
            digits.hear(0, ssrc, timestamp, EventPacket { event, is_end: true, duration: 800 }, &mut heard);
        };
        press(1, 3_000_000_000, 1);
        press(2, 2_000_000_000, 2);
        press(3, 3_000_000_000, 3);
        let began: Vec<_> = heard.iter().filter(|heard| matches!(heard, Heard::Began(_))).collect();
        assert_eq!(began, [&Heard::Began('1'), &Heard::Began('2'), &Heard::Began('3')]);
    }

    proptest! {
        #[test]
        fn whatever_comes_begins_and_ends_in_turn(packets in proptest::collection::vec((any::<u32>(), any::<[u8; 4]>()), 0..60)) {
            let (mut digits, mut heard) = (Digits::default(), Vec::new());
            for (at, (timestamp, payload)) in packets.into_iter().enumerate() {
                digits.hear(at as u64 * 20, at as u32 / 30, timestamp, EventPacket::read(&payload).unwrap(), &mut heard);
            }
            digits.tick(u64::MAX, &mut heard);
            prop_assert_eq!(heard.len() % 2, 0);
            for pair in heard.chunks(2) {
                let is_turn = matches!(pair, [Heard::Began(one), Heard::Ended { digit, .. }] if one == digit);
                prop_assert!(is_turn, "{:?}", pair);
            }
        }
    }
}
