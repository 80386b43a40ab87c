//! How evenly packets come: a receiver, and the barest sender there is beside it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Listens to many streams on one socket, told apart by their SSRC.
pub struct Receiver {
    pub address: (Ipv4Addr, u16),
    over: Arc<AtomicBool>,
    thread: JoinHandle<Heard>,
}

/// What came.
#[derive(Default)]
pub struct Heard {
    streams: HashMap<u32, Instant>,
    /// Distance of each gap from 20 ms.
    off: Vec<Duration>,
}

impl Receiver {
    pub fn start(address: Ipv4Addr) -> Result<Self> {
        let socket = UdpSocket::bind((address, 0)).context("cannot open the receiver's socket")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let port = socket.local_addr()?.port();
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            let mut heard = Heard::default();
            let mut buffer = [0u8; 2_048];
            while !ends.load(Ordering::Relaxed) {
                let Ok(count) = socket.recv(&mut buffer) else { continue };
                heard.packet(Instant::now(), &buffer[..count]);
            }
            heard
        });
        Ok(Self { address: (address, port), over, thread })
    }

    pub fn end(self) -> Heard {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

impl Heard {
    fn packet(&mut self, at: Instant, bytes: &[u8]) {
        // RTP version 2, and no RTCP (RFC 5761, 4).
        let Some(&[first, second, ..]) = bytes.get(..12).filter(|head| head[0] >> 6 == 2) else { return };
        if first >> 6 != 2 || (192..224).contains(&second) {
            return;
        }
        let ssrc = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if let Some(before) = self.streams.insert(ssrc, at) {
            self.off.push((at - before).abs_diff(FRAME));
        }
    }

    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The distance that so many in a thousand stay below, in milliseconds.
    pub fn off_ms(&mut self, permille: usize) -> f64 {
        self.off.sort();
        let place = (self.off.len() * permille / 1_000).min(self.off.len().saturating_sub(1));
        self.off.get(place).map_or(f64::INFINITY, |off| off.as_secs_f64() * 1_000.0)
    }
}

/// One thread, absolute deadlines, `sendto`, and nothing else.
pub struct Sender {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sender {
    pub fn start(streams: u32, to: (Ipv4Addr, u16)) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let to = SocketAddr::from(to);
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            let mut packet = [0u8; 172];
            packet[0] = 0x80;
            let mut due = Instant::now();
            while !ends.load(Ordering::Relaxed) {
                for stream in 0..streams {
                    packet[8..12].copy_from_slice(&stream.to_be_bytes());
                    let _ = socket.send_to(&packet, to);
                }
                due += FRAME;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Ok(Self { over, thread })
    }

    pub fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

const FRAME: Duration = Duration::from_millis(20);
