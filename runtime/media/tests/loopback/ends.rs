//! The driver with its parts, and far ends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callbox_audio::Tone as Samples;
use callbox_audio::g711::Law;
use callbox_media::{Assets, Config, Handle, Service, Voice};
use callbox_model::*;
use callbox_rtp::{EventPacket, HEADER_BYTES, Packet, Press, write_header};

struct NoAssets;

impl Assets for NoAssets {
    fn find(&self, _: ApplicationId, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn read(&self, _: ApplicationId, name: &str) -> Result<Vec<u8>, String> {
        Err(format!("no {name}"))
    }
}

/// Says 880 Hz for each letter.
struct Hum;

impl Voice for Hum {
    fn speak(&self, speech: &Speech) -> Result<Vec<i16>, MediaFault> {
        Ok(Samples::new(880, None, 100 * speech.text.len() as u32).samples())
    }
}

pub(crate) struct Driver {
    pub(crate) handle: Handle,
    service: Option<Service>,
    events: Receiver<(LegKey, MediaEvent)>,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl Driver {
    /// The ports are below those that the kernel gives to far ends.
    pub(crate) fn start(ports: (u16, u16)) -> Self {
        Self::start_threads(ports, 2)
    }

    pub(crate) fn start_threads(ports: (u16, u16), threads: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            threads,
            ports,
            recordings_dir: folder.path().to_owned(),
            silence: Duration::from_secs(2),
            ..Config::default()
        };
        let (told, events) = channel();
        let told = Mutex::new(told);
        let sink = Arc::new(move |leg, event| {
            let _ = told.lock().unwrap().send((leg, event));
        });
        let (service, handle) = Service::start(config, Arc::new(NoAssets), Arc::new(Hum), sink).unwrap();
        Self { handle, service: Some(service), events, folder }
    }

    pub(crate) fn until(&self, is_it: impl Fn(&MediaEvent) -> bool) -> MediaEvent {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (_, event) =
                self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())).expect("no such event");
            if is_it(&event) {
                return event;
            }
        }
    }

    /// The next event of that kind of one leg.
    pub(crate) fn until_of(&self, leg: u64, is_it: impl Fn(&MediaEvent) -> bool) -> MediaEvent {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (of, event) =
                self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())).expect("no such event");
            if of == LegKey(leg) && is_it(&event) {
                return event;
            }
        }
    }

    /// All that is told in this time.
    pub(crate) fn told_within(&self, length: Duration) -> Vec<(LegKey, MediaEvent)> {
        let end = Instant::now() + length;
        std::iter::from_fn(|| self.events.recv_timeout(end.saturating_duration_since(Instant::now())).ok()).collect()
    }

    pub(crate) fn tell(&self, leg: u64, command: MediaCommand) {
        self.handle.send(LegKey(leg), command);
    }

    pub(crate) fn open(&self, leg: u64, remote: SocketAddr) -> SocketAddr {
        self.open_with(leg, plan(remote))
    }

    pub(crate) fn open_with(&self, leg: u64, plan: MediaPlan) -> SocketAddr {
        self.tell(leg, MediaCommand::Open(plan));
        match self.until(|event| matches!(event, MediaEvent::Opened { .. } | MediaEvent::Failed(_))) {
            MediaEvent::Opened { rtp } => rtp,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(service) = self.service.take() {
            service.stop();
        }
    }
}

pub(crate) fn plan(remote: SocketAddr) -> MediaPlan {
    MediaPlan {
        tenant: TenantId::from_u128(1),
        local: HERE,
        peer: HERE,
        networks: Arc::default(),
        remote: Some(Remote {
            rtp: remote,
            rtcp: SocketAddr::new(remote.ip(), remote.port() + 1),
            codec: Codec::Pcmu,
            payload_type: 0,
            accept: vec![(0, Codec::Pcmu), (8, Codec::Pcma)],
            dtmf_payload_type: Some(101),
            send: true,
            receive: true,
        }),
    }
}

pub(crate) fn tone(hz: u16, length: u32) -> Sound {
    Sound::Tone(Tone { first_hz: hz, second_hz: None, length })
}

/// As `plan`, of a far end that speaks A-law.
pub(crate) fn plan_a(remote: SocketAddr) -> MediaPlan {
    let mut plan = plan(remote);
    if let Some(remote) = &mut plan.remote {
        remote.codec = Codec::Pcma;
        remote.payload_type = 8;
        remote.dtmf_payload_type = Some(96);
    }
    plan
}

pub(crate) fn play(step: StepId, hz: u16, length: u32, repeat: u32) -> MediaCommand {
    MediaCommand::Play { step, sounds: vec![tone(hz, length)], repeat, gain_db: 0 }
}

/// A phone: two sockets, and numbers of its own.
pub(crate) struct FarEnd {
    socket: UdpSocket,
    /// Where the driver's reports go: held, so that they reach no other far end as sound.
    pub(crate) reports: UdpSocket,
    pub(crate) law: Law,
    events: u8,
    ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
}

/// What was heard: samples in order of arrival, and each packet's header.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) samples: Vec<i16>,
    pub(crate) headers: Vec<(u16, u32, bool)>,
    pub(crate) payloads: Vec<Vec<u8>>,
    /// Timestamp and payload.
    pub(crate) events: Vec<(u32, EventPacket)>,
    pub(crate) sequences: Vec<u16>,
    pub(crate) ssrcs: Vec<u32>,
    pub(crate) at: Vec<Instant>,
}

impl Heard {
    pub(crate) fn is_unbroken(&self) -> bool {
        let is_one = self.ssrcs.windows(2).all(|pair| pair[0] == pair[1]);
        is_one && self.sequences.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1))
    }
}

impl FarEnd {
    pub(crate) fn new() -> Self {
        Self::on(HERE)
    }

    pub(crate) fn speaking_a() -> Self {
        Self { law: Law::A, events: 96, ..Self::new() }
    }

    pub(crate) fn on(address: IpAddr) -> Self {
        let (socket, reports) = std::iter::repeat_with(|| UdpSocket::bind((address, 0)).unwrap())
            .take(1_000)
            .find_map(|socket| {
                let above = socket.local_addr().unwrap().port().checked_add(1)?;
                Some((socket, UdpSocket::bind((address, above)).ok()?))
            })
            .expect("two ports beside each other");
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        reports.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let ssrc = u32::from(socket.local_addr().unwrap().port());
        Self { socket, reports, law: Law::Mu, events: 101, ssrc, sequence: 7, timestamp: 1_000 }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn hear(&self, length: Duration) -> Heard {
        self.hear_up_to(usize::MAX, length)
    }

    /// As many packets of sound, or what has come in `length`.
    pub(crate) fn hear_up_to(&self, packets: usize, length: Duration) -> Heard {
        let mut heard = Heard::default();
        let end = Instant::now() + length;
        let mut buffer = [0; 2_048];
        while Instant::now() < end && heard.headers.len() < packets {
            let Ok((count, _)) = self.socket.recv_from(&mut buffer) else { continue };
            let packet = Packet::read(&buffer[..count]).unwrap();
            heard.sequences.push(packet.sequence);
            heard.ssrcs.push(packet.ssrc);
            if packet.payload_type == self.events {
                heard.events.push((packet.timestamp, EventPacket::read(packet.payload).unwrap()));
                continue;
            }
            assert_eq!((packet.payload.len(), packet.payload_type), (160, self.payload_type()));
            heard.at.push(Instant::now());
            heard.samples.extend(packet.payload.iter().map(|&byte| self.law.decode(byte)));
            heard.payloads.push(packet.payload.to_vec());
            heard.headers.push((packet.sequence, packet.timestamp, packet.marker));
        }
        heard
    }

    /// Whether a report comes.
    pub(crate) fn hears_a_report(&self) -> bool {
        self.reports.recv(&mut [0; 512]).is_ok()
    }

    pub(crate) fn payload_type(&self) -> u8 {
        if self.law == Law::Mu { 0 } else { 8 }
    }

    pub(crate) fn send(&mut self, to: SocketAddr, payload_type: u8, timestamp: u32, marker: bool, payload: &[u8]) {
        let packet = Packet { payload_type, marker, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload: &[] };
        let mut head = [0; HEADER_BYTES];
        write_header(&mut head, &packet);
        self.socket.send_to(&[&head[..], payload].concat(), to).unwrap();
        self.sequence = self.sequence.wrapping_add(1);
    }

    pub(crate) fn speak(&mut self, to: SocketAddr, hz: u16, length_ms: u32) {
        for frame in Samples::new(hz, None, length_ms).samples().chunks(160) {
            self.say(to, &self.law.encode_all(frame));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn say(&mut self, to: SocketAddr, payload: &[u8]) {
        self.send(to, self.payload_type(), self.timestamp, false, payload);
        self.timestamp = self.timestamp.wrapping_add(160);
    }

    pub(crate) fn press(&mut self, to: SocketAddr, digit: char) {
        let mut press = Press::new(digit, 100).unwrap();
        let timestamp = self.timestamp;
        while let Some((event, is_first)) = press.next_packet() {
            self.send(to, self.events, timestamp, is_first, &EventPacket::bytes(event));
            self.timestamp = self.timestamp.wrapping_add(160);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
