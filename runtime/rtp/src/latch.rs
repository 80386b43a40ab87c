//! Where a stream may come from. A packet from elsewhere moves nothing: who could send one could
//! otherwise listen in, or speak (the "RTP bleed").
//!
//! The signalled address is taken at its word. Another source is learnt only if it is the host that
//! signals, only in a short time after the session began or changed, and only by several packets in
//! sequence of one stream. Then it is locked. Before it is known who signals, nothing passes.

use std::net::{IpAddr, SocketAddr};

#[derive(Debug)]
pub struct Latch {
    signalled: Option<SocketAddr>,
    peer: IpAddr,
    state: State,
    open_until_ms: u64,
}

#[derive(Debug)]
enum State {
    /// Packets of the signalled address pass; another may be on probation.
    Open {
        probation: Option<Probation>,
    },
    Locked(SocketAddr),
}

#[derive(Debug)]
struct Probation {
    source: SocketAddr,
    ssrc: u32,
    next: u16,
    count: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// Passes, and from now on we send there.
    Locked,
    Drop,
}

impl Latch {
    pub fn new(now_ms: u64, signalled: Option<SocketAddr>, peer: IpAddr) -> Self {
        Self { signalled, peer, state: State::Open { probation: None }, open_until_ms: now_ms + OPEN_MS }
    }

    /// The session was described anew. Where nothing has changed it stays locked; another place,
    /// or another host that signals, is learnt from the beginning. Says whether it is.
    pub fn update(&mut self, now_ms: u64, signalled: Option<SocketAddr>, peer: IpAddr) -> bool {
        let is_new = self.signalled != signalled || self.peer != peer;
        if is_new {
            *self = Self::new(now_ms, signalled, peer);
        }
        is_new
    }

    pub fn hear(&mut self, now_ms: u64, source: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
        match &mut self.state {
            State::Locked(locked) if *locked == source => Verdict::Pass,
            State::Locked(_) => Verdict::Drop,
            State::Open { .. } if self.peer.is_unspecified() => Verdict::Drop,
            State::Open { .. } if Some(source) == self.signalled => {
                self.state = State::Locked(source);
                Verdict::Locked
            }
            State::Open { probation } => {
                // The time begins with the far end's first packet: until then nobody was heard.
                let is_late = probation.is_some() && now_ms > self.open_until_ms;
                if source.ip() != self.peer || is_late {
                    return Verdict::Drop;
                }
                if probation.is_none() {
                    self.open_until_ms = now_ms + OPEN_MS;
                }
                match probation {
                    Some(one) if one.source == source && one.ssrc == ssrc && one.next == sequence => {
                        one.next = sequence.wrapping_add(1);
                        one.count += 1;
                        if one.count >= IN_SEQUENCE {
                            self.state = State::Locked(source);
                            return Verdict::Locked;
                        }
                    }
                    _ => *probation = Some(Probation { source, ssrc, next: sequence.wrapping_add(1), count: 1 }),
                }
                Verdict::Drop
            }
        }
    }
}

const OPEN_MS: u64 = 500;
const IN_SEQUENCE: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn latch() -> Latch {
        Latch::new(0, Some(address("10.0.0.9:4000")), "192.0.2.9".parse().unwrap())
    }

    #[test]
    fn the_signalled_address_is_taken_at_its_word_and_locked() {
        let mut latch = latch();
        assert_eq!(latch.hear(9_000, address("10.0.0.9:4000"), 1, 1), Verdict::Locked);
        assert_eq!(latch.hear(9_020, address("10.0.0.9:4000"), 2, 9), Verdict::Pass);
        assert_eq!(latch.hear(9_020, address("192.0.2.9:4000"), 1, 2), Verdict::Drop);
    }

    #[test]
    fn a_phone_behind_nat_is_learnt_from_the_host_that_signals() {
        let mut latch = latch();
        for sequence in 10..13 {
            assert_eq!(latch.hear(0, address("192.0.2.9:7000"), 1, sequence), Verdict::Drop);
        }
        assert_eq!(latch.hear(60, address("192.0.2.9:7000"), 1, 13), Verdict::Locked);
        assert_eq!(latch.hear(80, address("10.0.0.9:4000"), 1, 14), Verdict::Drop);
    }

    #[test]
    fn a_stranger_is_never_learnt() {
        let mut latch = latch();
        for sequence in 0..1_000 {
            assert_eq!(latch.hear(0, address("198.51.100.1:7000"), 1, sequence), Verdict::Drop);
        }
        for sequence in 0..1_000 {
            assert_eq!(latch.hear(0, address("192.0.2.9:7000"), 1, sequence * 2), Verdict::Drop, "not in sequence");
        }
        for sequence in 0..1_000 {
            assert_eq!(latch.hear(501, address("192.0.2.9:7000"), 1, sequence), Verdict::Drop, "too late");
        }
        latch.update(10_000, Some(address("10.0.0.9:5000")), "192.0.2.9".parse().unwrap());
        assert_eq!(latch.hear(10_001, address("10.0.0.9:5000"), 1, 1), Verdict::Locked);
    }

    #[test]
    fn another_far_end_is_learnt_anew_and_the_same_one_stays() {
        let mut latch = latch();
        let (signalled, peer) = (Some(address("10.0.0.9:4000")), "192.0.2.9".parse().unwrap());
        assert_eq!(latch.hear(0, address("10.0.0.9:4000"), 1, 1), Verdict::Locked);
        assert!(!latch.update(20, signalled, peer));
        assert_eq!(latch.hear(20, address("10.0.0.9:4000"), 1, 2), Verdict::Pass);
        assert!(latch.update(40, signalled, "192.0.2.10".parse().unwrap()), "another host signals");
        assert_eq!(latch.hear(40, address("10.0.0.9:4000"), 1, 3), Verdict::Locked);
        assert!(latch.update(60, Some(address("192.0.2.10:4")), "192.0.2.10".parse().unwrap()));
        assert_eq!(latch.hear(60, address("10.0.0.9:4000"), 1, 4), Verdict::Drop);
        assert_eq!(latch.hear(60, address("192.0.2.10:4"), 1, 4), Verdict::Locked);
    }

    #[test]
    fn before_it_is_known_who_signals_nothing_is_learnt() {
        let mut latch = Latch::new(0, Some(address("10.0.0.9:4000")), "0.0.0.0".parse().unwrap());
        for sequence in 0..20 {
            assert_eq!(latch.hear(0, address("10.0.0.9:4000"), 1, sequence), Verdict::Drop);
            assert_eq!(latch.hear(0, address("0.0.0.0:4000"), 1, sequence), Verdict::Drop);
        }
    }
}
