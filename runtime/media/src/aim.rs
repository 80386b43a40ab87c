//! Where packets of a leg go, and from where they may come.
//!
//! A far end names in its description whatever address it likes. Sound goes there at once only if
//! it is the host that signals, or in a network that was named for it; any other address must have
//! sent first.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use callbox_model::MediaPlan;
use callbox_rtp::{Latch, Packet, Verdict};

#[derive(Debug)]
pub(crate) struct Aim {
    latch: Latch,
    state: State,
    /// Reports go there, when anything does.
    reports: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing may be sent: nothing is known of the far end, or it must send first.
    Nowhere,
    At(SocketAddr),
    /// The socket is connected: the kernel drops what comes from elsewhere.
    Connected(SocketAddr),
}

impl Aim {
    pub(crate) fn new(now_ms: u64, plan: &MediaPlan) -> Self {
        let mut aim = Self {
            latch: Latch::new(now_ms, signalled(plan), plan.peer.to_canonical()),
            state: State::Nowhere,
            reports: None,
        };
        aim.take(plan);
        aim
    }

    /// The session was described anew. Another far end is learnt from the beginning.
    /// Says whether it is.
    pub(crate) fn update(&mut self, now_ms: u64, plan: &MediaPlan, rtp: &UdpSocket) -> bool {
        let is_new = self.latch.update(now_ms, signalled(plan), plan.peer.to_canonical());
        match self.state {
            // What is locked stays, whatever networks are named now: it has sent first.
            State::Connected(_) if !is_new => {}
            State::Connected(_) => {
                // Without it the kernel would go on dropping the new place's packets.
                let _ = rustix::net::connect_unspec(rtp);
                self.state = State::Nowhere;
            }
            State::At(_) | State::Nowhere => {}
        }
        self.take(plan);
        is_new
    }

    fn take(&mut self, plan: &MediaPlan) {
        if !matches!(self.state, State::Connected(_)) {
            self.state = match signalled(plan) {
                Some(rtp) if is_open(plan, rtp.ip()) => State::At(rtp),
                _ => State::Nowhere,
            };
        }
        self.reports = self.reports_of(plan);
    }

    /// RTCP by the same rule, and never before sound may be sent.
    fn reports_of(&self, plan: &MediaPlan) -> Option<SocketAddr> {
        let signalled = signalled(plan)?;
        let rtcp = plan.remote.as_ref().map(|remote| plain(remote.rtcp))?;
        let to = match self.state {
            State::Nowhere => return None,
            // Learnt from behind NAT: the description's port means nothing there.
            State::Connected(rtp) if rtp != signalled => SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?),
            State::Connected(rtp) if rtp.ip() == rtcp.ip() => rtcp,
            _ if is_open(plan, rtcp.ip()) => rtcp,
            _ => return None,
        };
        is_place(to).then_some(to)
    }

    pub(crate) fn is_nowhere(&self) -> bool {
        self.state == State::Nowhere
    }

    pub(crate) fn reports(&self) -> Option<SocketAddr> {
        self.reports
    }

    /// The source is asked for even when the socket is connected: what others sent before waits in
    /// it still.
    pub(crate) fn receive(&self, rtp: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
        rtp.recv_from(buffer).map(|(count, from)| (count, plain(from)))
    }

    pub(crate) fn hear(
        &mut self,
        now_ms: u64,
        plan: &MediaPlan,
        rtp: &UdpSocket,
        from: SocketAddr,
        packet: &Packet<'_>,
    ) -> Verdict {
        let verdict = self.latch.hear(now_ms, from, packet.ssrc, packet.sequence);
        if verdict == Verdict::Locked {
            self.state = match rustix::net::connect(rtp, &from) {
                Ok(()) => State::Connected(from),
                Err(_) => State::At(from),
            };
            self.reports = self.reports_of(plan);
        }
        verdict
    }

    pub(crate) fn send(&self, rtp: &UdpSocket, bytes: &[u8]) {
        // What the kernel does not take is lost, as on any network.
        let _ = match self.state {
            State::Nowhere => return,
            State::At(to) => rtp.send_to(bytes, to),
            State::Connected(_) => rtp.send(bytes),
        };
    }
}

/// The place that the far end's description names, if it is one.
fn signalled(plan: &MediaPlan) -> Option<SocketAddr> {
    plan.remote.as_ref().map(|remote| plain(remote.rtp)).filter(|rtp| is_place(*rtp))
}

fn is_place(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified()
}

/// Whether sound may go there before it came from there.
fn is_open(plan: &MediaPlan, ip: IpAddr) -> bool {
    let peer = plan.peer.to_canonical();
    if peer.is_unspecified() {
        return false;
    }
    peer == ip || plan.networks.iter().any(|network| network.contains(&ip))
}

fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
