//! What a packet costs: legs that are bridged, beside a loop that does nothing but receive and
//! send; and legs that play, beside a loop that does nothing but send. In one process, over
//! loopback, one after the other in each round, so that both meet the same machine.
//!
//! `cargo run --release -p callbox-media --example relay_cost -- [pairs] [seconds] [rounds] [threads]`

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callbox_media::{Assets, Config, Handle, Service, Voice};
use callbox_model::{
    ApplicationId, BridgeDigits, Codec, LegKey, MediaCommand, MediaEvent, MediaFault, MediaPlan, Remote, Sound, Speech,
    TenantId, Tone,
};
use callbox_rtp::{HEADER_BYTES, Packet, write_header};
use rustix::event::{Timespec, epoll};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().expect("a number"));
    let mut next = |default| arguments.next().unwrap_or(default);
    let (pairs, seconds, rounds, threads) = (next(200), next(5), next(3), next(1));
    let length = Duration::from_secs(seconds as u64);
    println!("{pairs} bridged pairs, {seconds} s a measurement, media threads: {threads}");
    println!("CPU is that of the threads measured; the delay is from phone to phone, both ends' wake-ups included");
    for round in 1..=rounds {
        let media = relay_by_media(pairs * 2, threads, length);
        let bare = relay_bare(pairs * 2, length);
        println!("round {round}");
        println!("  relayed by media  {media}");
        println!("  by a bare loop    {bare}   {:.2} times", media.cost_us() / bare.cost_us());
        let media = play_by_media(pairs * 2, threads, length);
        let bare = play_bare(pairs * 2, length);
        println!("  played by media   {media}");
        println!("  by a bare sender  {bare}   {:.2} times", media.cost_us() / bare.cost_us());
    }
}

/// What was measured.
struct Cost {
    packets: usize,
    cpu: Duration,
    /// Sorted.
    delays_us: Vec<u32>,
}

impl Cost {
    fn cost_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.packets.max(1) as f64
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6.2} us of CPU a packet, {:7} packets", self.cost_us(), self.packets)?;
        let at = |share: usize| self.delays_us[(self.delays_us.len() - 1) * share / 1_000];
        if !self.delays_us.is_empty() {
            write!(f, ", delay p50 {:5} us, p99 {:5} us, p99.9 {:5} us", at(500), at(990), at(999))?;
        }
        Ok(())
    }
}

/// Runs the phones meanwhile, and takes the CPU time of the threads whose names begin so.
fn measure(threads: &str, phones: &Phones, is_speaking: bool, length: Duration) -> Cost {
    let before = cpu_of(threads);
    let (packets, mut delays_us) = phones.run(is_speaking, length);
    delays_us.sort_unstable();
    Cost { packets, cpu: cpu_of(threads) - before, delays_us }
}

/// Of the threads of this process.
fn cpu_of(prefix: &str) -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").expect("a Linux machine").flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        if read("comm").starts_with(prefix) {
            nanos += read("schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        }
    }
    Duration::from_nanos(nanos)
}

// Media.

fn relay_by_media(count: usize, threads: usize, length: Duration) -> Cost {
    let media = Media::start(count, threads);
    for leg in (0..count as u64).step_by(2) {
        media.tell(leg, MediaCommand::Bridge { with: LegKey(leg + 1), digits: BridgeDigits::Pass });
        media.until(|event| matches!(event, MediaEvent::Bridged { result: Ok(()) }));
    }
    // The first packet connects each socket; that is not what is measured.
    media.phones.run(true, Duration::from_millis(500));
    let cost = measure("media-", &media.phones, true, length);
    media.stop();
    cost
}

fn play_by_media(count: usize, threads: usize, length: Duration) -> Cost {
    let media = Media::start(count, threads);
    media.phones.run(true, Duration::from_millis(100));
    for leg in 0..count as u64 {
        let sounds = vec![Sound::Tone(Tone { first_hz: 440, second_hz: None, length: 10_000 })];
        media.tell(leg, MediaCommand::Play { step: 1, sounds, repeat: 0, gain_db: 0 });
    }
    media.phones.run(false, Duration::from_millis(500));
    let cost = measure("media-", &media.phones, false, length);
    media.stop();
    cost
}

struct Media {
    service: Service,
    handle: Handle,
    events: Receiver<MediaEvent>,
    phones: Phones,
    _folder: tempfile::TempDir,
}

impl Media {
    /// A leg for each of so many phones.
    fn start(count: usize, threads: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config { threads, recordings_dir: folder.path().to_owned(), ..Config::default() };
        let (told, events) = channel();
        let told = Mutex::new(told);
        let sink = Arc::new(move |_, event| {
            let _ = told.lock().expect("the sender").send(event);
        });
        let (service, handle) = Service::start(config, Arc::new(Nothing), Arc::new(Nothing), sink).expect("media");
        let mut media = Self { service, handle, events, phones: Phones::new(count), _folder: folder };
        for (leg, phone) in media.phones.sockets.iter().enumerate() {
            let remote = phone.local_addr().expect("an address");
            media.tell(leg as u64, MediaCommand::Open(plan(remote)));
            let MediaEvent::Opened { rtp } = media.until(|event| matches!(event, MediaEvent::Opened { .. })) else {
                continue;
            };
            phone.connect(rtp).expect("loopback");
        }
        media.phones.watch();
        media
    }

    fn tell(&self, leg: u64, command: MediaCommand) {
        self.handle.send(LegKey(leg), command);
    }

    fn until(&self, is_it: impl Fn(&MediaEvent) -> bool) -> MediaEvent {
        std::iter::repeat_with(|| self.events.recv_timeout(Duration::from_secs(10)).expect("an event in time"))
            .find(is_it)
            .expect("the event")
    }

    fn stop(self) {
        for leg in 0..self.phones.sockets.len() as u64 {
            self.tell(leg, MediaCommand::Close);
        }
        for _ in 0..self.phones.sockets.len() {
            self.until(|event| matches!(event, MediaEvent::Closed { .. }));
        }
        self.service.stop();
    }
}

fn plan(remote: SocketAddr) -> MediaPlan {
    MediaPlan {
        tenant: TenantId::from_u128(1),
        local: Ipv4Addr::LOCALHOST.into(),
        peer: Ipv4Addr::LOCALHOST.into(),
        networks: Arc::default(),
        remote: Some(Remote {
            rtp: remote,
            // Nobody wants reports here.
            rtcp: SocketAddr::new(remote.ip(), 9),
            codec: Codec::Pcmu,
            payload_type: 0,
            accept: vec![(0, Codec::Pcmu)],
            dtmf_payload_type: Some(101),
            send: true,
            receive: true,
        }),
    }
}

struct Nothing;

impl Assets for Nothing {
    fn find(&self, _: ApplicationId, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn read(&self, _: ApplicationId, name: &str) -> Result<Vec<u8>, String> {
        Err(format!("no {name}"))
    }
}

impl Voice for Nothing {
    fn speak(&self, _: &Speech) -> Result<Vec<i16>, MediaFault> {
        Ok(Vec::new())
    }
}

// What nobody can do without.

/// Receives on the one connected socket of a pair, and sends on the other.
fn relay_bare(count: usize, length: Duration) -> Cost {
    let (phones, sockets) = beside(count);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let relay = || {
            let ready = watched(&sockets);
            let mut told = Vec::with_capacity(64);
            let mut buffer = [0u8; 2_048];
            while !is_over.load(Ordering::Relaxed) {
                told.clear();
                let _ = epoll::wait(&ready, rustix::buffer::spare_capacity(&mut told), Some(&TENTH));
                for event in &told {
                    let at = event.data.u64() as usize;
                    if let Ok(bytes) = sockets[at].recv(&mut buffer) {
                        let _ = sockets[at ^ 1].send(&buffer[..bytes]);
                    }
                }
            }
        };
        std::thread::Builder::new().name("bare".to_owned()).spawn_scoped(scope, relay).expect("a thread");
        phones.run(true, Duration::from_millis(500));
        let cost = measure("bare", &phones, true, length);
        is_over.store(true, Ordering::Relaxed);
        cost
    })
}

/// Sends a frame on each connected socket every 20 ms, in as many portions as media would.
fn play_bare(count: usize, length: Duration) -> Cost {
    let (phones, sockets) = beside(count);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let play = || {
            let clip = vec![0x55u8; 80_000];
            let portions: Vec<_> = sockets.chunks(64).collect();
            let begun = Instant::now();
            for tick in 0u32.. {
                for (at, portion) in portions.iter().enumerate() {
                    let due = begun + Duration::from_millis(u64::from(tick) * 20 + at as u64);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    for socket in *portion {
                        let mut frame = [0u8; HEADER_BYTES + 160];
                        put_header(&mut frame, tick as u16);
                        let from = tick as usize % 500 * 160;
                        frame[HEADER_BYTES..].copy_from_slice(&clip[from..from + 160]);
                        let _ = socket.send(&frame);
                    }
                }
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("bare".to_owned()).spawn_scoped(scope, play).expect("a thread");
        phones.run(false, Duration::from_millis(500));
        let cost = measure("bare", &phones, false, length);
        is_over.store(true, Ordering::Relaxed);
        cost
    })
}

/// Phones, and a socket beside each that is connected to it.
fn beside(count: usize) -> (Phones, Vec<UdpSocket>) {
    let mut phones = Phones::new(count);
    let sockets: Vec<_> = phones
        .sockets
        .iter()
        .map(|phone| {
            let socket = bound();
            socket.connect(phone.local_addr().expect("an address")).expect("loopback");
            phone.connect(socket.local_addr().expect("an address")).expect("loopback");
            socket
        })
        .collect();
    phones.watch();
    (phones, sockets)
}

// Phones.

struct Phones {
    sockets: Vec<UdpSocket>,
    ready: Option<rustix::fd::OwnedFd>,
    zero: Instant,
}

impl Phones {
    fn new(count: usize) -> Self {
        Self { sockets: (0..count).map(|_| bound()).collect(), ready: None, zero: Instant::now() }
    }

    fn watch(&mut self) {
        self.ready = Some(watched(&self.sockets));
    }

    /// How many packets came, and how late, in microseconds, where the phones speak themselves.
    fn run(&self, is_speaking: bool, length: Duration) -> (usize, Vec<u32>) {
        let end = Instant::now() + length;
        std::thread::scope(|scope| {
            let hears = scope.spawn(|| self.hear(is_speaking, end));
            if is_speaking {
                scope.spawn(|| self.speak(end));
            }
            hears.join().expect("the phones")
        })
    }

    /// Fifty packets a second from each, not all at the same moment. The payload says when.
    fn speak(&self, end: Instant) {
        let mut frame = [0u8; HEADER_BYTES + 160];
        // Numbers go on from one run to the next.
        for slice in self.zero.elapsed().as_millis() as u32 + 1.. {
            let due = self.zero + Duration::from_millis(slice.into());
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if Instant::now() >= end {
                return;
            }
            for socket in self.sockets.iter().skip(slice as usize % 20).step_by(20) {
                put_header(&mut frame, (slice / 20) as u16);
                let now = self.zero.elapsed().as_nanos() as u64;
                frame[HEADER_BYTES..HEADER_BYTES + 8].copy_from_slice(&now.to_be_bytes());
                let _ = socket.send(&frame);
            }
        }
    }

    fn hear(&self, is_timed: bool, end: Instant) -> (usize, Vec<u32>) {
        let Some(ready) = &self.ready else { return Default::default() };
        let mut told = Vec::with_capacity(256);
        let mut buffer = [0u8; 2_048];
        let (mut packets, mut delays) = (0, Vec::with_capacity(1 << 20));
        while Instant::now() < end {
            told.clear();
            let _ = epoll::wait(ready, rustix::buffer::spare_capacity(&mut told), Some(&TENTH));
            for event in &told {
                let Ok(count) = self.sockets[event.data.u64() as usize].recv(&mut buffer) else { continue };
                packets += 1;
                if is_timed && let Some(sent) = buffer[..count].get(HEADER_BYTES..).and_then(<[u8]>::first_chunk) {
                    let late = (self.zero.elapsed().as_nanos() as u64).saturating_sub(u64::from_be_bytes(*sent));
                    delays.push((late / 1_000) as u32);
                }
            }
        }
        (packets, delays)
    }
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

fn watched(sockets: &[UdpSocket]) -> rustix::fd::OwnedFd {
    let ready = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    for (at, socket) in sockets.iter().enumerate() {
        let name = epoll::EventData::new_u64(at as u64);
        epoll::add(&ready, socket.as_fd(), name, epoll::EventFlags::IN).expect("epoll");
    }
    ready
}

fn put_header(frame: &mut [u8; HEADER_BYTES + 160], number: u16) {
    let timestamp = u32::from(number) * 160;
    let packet = Packet { payload_type: 0, marker: false, sequence: number, timestamp, ssrc: 7, payload: &[] };
    if let Some(head) = frame.first_chunk_mut() {
        write_header(head, &packet);
    }
}

const TENTH: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
