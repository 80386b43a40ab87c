//! RTP ports: even ones, with the next odd one for RTCP, and a rest between two legs.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use callbox_model::MediaFault;

/// Asked when a leg opens and closes, never for a packet.
#[derive(Debug)]
pub(crate) struct Ports {
    low: u16,
    pairs: u32,
    taken: HashSet<u16>,
    resting: VecDeque<(Instant, u16)>,
    quarantine: Duration,
    next: u32,
}

impl Ports {
    pub(crate) fn new((low, high): (u16, u16), quarantine: Duration) -> Self {
        let low = low.saturating_add(low % 2);
        let pairs = u32::from(high.saturating_sub(low)).div_ceil(2).max(1);
        Self { low, pairs, taken: HashSet::new(), resting: VecDeque::new(), quarantine, next: chance() }
    }

    /// Both sockets, bound.
    pub(crate) fn open(&mut self, local: IpAddr) -> Result<(u16, UdpSocket, UdpSocket), MediaFault> {
        let now = Instant::now();
        while let Some(&(until, port)) = self.resting.front()
            && until <= now
        {
            self.resting.pop_front();
            self.taken.remove(&port);
        }
        // A random walk over the whole range: nobody can tell the next port from this one.
        let step = coprime(chance() % self.pairs, self.pairs);
        for _ in 0..self.pairs.min(MOST_TRIES) {
            self.next = self.next.wrapping_add(step);
            let port = self.low + ((self.next % self.pairs) * 2) as u16;
            if self.taken.contains(&port) {
                continue;
            }
            match (bind(local, port), bind(local, port + 1)) {
                (Ok(rtp), Ok(rtcp)) => {
                    self.taken.insert(port);
                    return Ok((port, rtp, rtcp));
                }
                (Err(error), _) | (_, Err(error)) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                (Err(error), _) | (_, Err(error)) => {
                    return Err(MediaFault::Node(format!("cannot open RTP port {port} on {local}: {error}")));
                }
            }
        }
        Err(MediaFault::NoPort)
    }

    pub(crate) fn close(&mut self, port: u16) {
        self.resting.push_back((Instant::now() + self.quarantine, port));
    }
}

/// The first number from `wish` on that shares no divisor with `count`: steps of it reach everything.
fn coprime(wish: u32, count: u32) -> u32 {
    let shared = |mut one: u32, mut other: u32| {
        while other > 0 {
            (one, other) = (other, one % other);
        }
        one
    };
    (wish.max(1)..).find(|&step| shared(step, count) == 1).unwrap_or(1)
}

fn bind(local: IpAddr, port: u16) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(local, port)).or_else(|error| {
        // Behind NAT the address that is named outside is none of ours.
        let any: IpAddr = if local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        match error.kind() {
            std::io::ErrorKind::AddrNotAvailable => UdpSocket::bind(SocketAddr::new(any, port)),
            _ => Err(error),
        }
    })?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Not for secrets; good enough to start from.
pub(crate) fn chance() -> u32 {
    let mut bytes = [0u8; 4];
    // Without chance a fixed start serves; the range is walked all the same.
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

const MOST_TRIES: u32 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_reaches_every_port() {
        for count in 1..200 {
            for wish in 0..count {
                let step = coprime(wish, count);
                let reached: HashSet<_> = (0..count).map(|at| at * step % count).collect();
                assert_eq!(reached.len(), count as usize, "{count} {step}");
            }
        }
    }

    #[test]
    fn a_port_rests_after_its_leg_and_a_full_range_is_told() {
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let mut ports = Ports::new((42_000, 42_003), Duration::from_millis(50));
        let (one, ..) = ports.open(local).unwrap();
        let (two, ..) = ports.open(local).unwrap();
        assert!(one != two && one % 2 == 0 && two % 2 == 0);
        ports.close(one);
        assert_eq!(ports.open(local).err(), Some(MediaFault::NoPort), "it rests");
        std::thread::sleep(Duration::from_millis(80));
        assert_eq!(ports.open(local).unwrap().0, one);
    }
}
