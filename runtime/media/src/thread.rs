//! One media thread: its legs, in 20 slots of a frame of 20 ms.
//!
//! It sleeps until the next slot that has legs, takes what has come for all of them, and ticks
//! those of the slot. Packets of legs that are bridged wake it, and go over at once. A thread
//! without legs sleeps until it is told something.

mod bridges;
mod commands;
mod homes;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callbox_model::LegKey;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use crate::files::Files;
use crate::leg::{Came, FRAME_MS, Link, Tick, Watch};
use crate::legs::Legs;
use crate::ports::Ports;
use crate::writer::Writer;
use crate::{Config, Events};

use homes::Away;
pub(crate) use homes::{Errand, Told, home};

/// Tells a thread something, and wakes it.
#[derive(Clone)]
pub(crate) struct Bell {
    told: Sender<Told>,
    bell: Arc<OwnedFd>,
}

/// What a thread has of its own, and what it shares with the others.
pub(crate) struct Start {
    /// Which of `peers` it is.
    pub(crate) number: usize,
    pub(crate) peers: Arc<[Bell]>,
    pub(crate) told: Receiver<Told>,
    /// Open legs of each thread, for others to see.
    pub(crate) open: Arc<[Arc<AtomicUsize>]>,
    pub(crate) events: Events,
    /// All threads count the time from here, so that a leg can move.
    pub(crate) zero: Instant,
    pub(crate) ports: Arc<Mutex<Ports>>,
    pub(crate) files: Files,
    pub(crate) writer: Writer,
    pub(crate) config: Arc<Config>,
}

pub(crate) struct Thread {
    with: Start,
    legs: Legs,
    /// Legs of this hash that are on another thread.
    away: HashMap<LegKey, Away>,
    /// Numbers of legs by slot of the frame, one for each millisecond.
    slots: Vec<Vec<usize>>,
    /// The millisecond that is next.
    next_ms: u64,
    /// Sockets that are read with every slot.
    calm: OwnedFd,
    /// What wakes the thread: its bell, its timer, sockets of bridged legs.
    live: OwnedFd,
    timer: OwnedFd,
    armed: Armed,
    /// Legs of which too much has come.
    hushed: usize,
    buffer: Vec<u8>,
    report: Vec<u8>,
    late: Late,
    open: metrics::Gauge,
}

/// What epoll tells.
struct Ready {
    calm: Vec<epoll::Event>,
    live: Vec<epoll::Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Armed {
    No,
    For(u64),
}

/// Ticks, and those that came late: told once a second.
struct Late {
    ticks: u64,
    late: u64,
    told_ms: u64,
    ticks_total: metrics::Counter,
    late_total: metrics::Counter,
}

impl Bell {
    pub(crate) fn new(told: Sender<Told>) -> std::io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { told, bell: Arc::new(bell) })
    }

    pub(crate) fn ring(&self, told: Told) {
        // A thread that has ended hears nothing; its legs are gone with it.
        if self.told.send(told).is_ok() {
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }
}

impl Thread {
    pub(crate) fn new(with: Start) -> std::io::Result<Self> {
        let live = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        watch(&live, with.peers[with.number].bell.as_fd(), BELL)?;
        watch(&live, timer.as_fd(), TIMER)?;
        Ok(Self {
            with,
            legs: Legs::default(),
            away: HashMap::new(),
            slots: vec![Vec::new(); SLOTS],
            next_ms: 0,
            calm: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            live,
            timer,
            armed: Armed::No,
            hushed: 0,
            buffer: vec![0; 2_048],
            report: Vec::with_capacity(512),
            late: Late {
                ticks: 0,
                late: 0,
                told_ms: 0,
                ticks_total: metrics::counter!("media_ticks_total"),
                late_total: metrics::counter!("media_late_ticks_total"),
            },
            open: metrics::gauge!("media_legs"),
        })
    }

    pub(crate) fn run(mut self) {
        let mut ready = Ready { calm: Vec::with_capacity(READY), live: Vec::with_capacity(MOST_AT_ONCE) };
        while self.hear().is_continue() {
            if self.legs.is_empty() {
                self.wait(None, &mut ready.live);
                self.next_ms = self.now_ms() + 1;
                continue;
            }
            let now_ms = self.now_ms();
            // Late by more than it can catch up: what was left out is silence, not a burst.
            let behind_ms = now_ms.saturating_sub(self.next_ms).saturating_sub(CATCH_UP_MS);
            self.next_ms += behind_ms / FRAME_MS * FRAME_MS;
            while self.slots[slot_of(self.next_ms)].is_empty() {
                self.next_ms += 1;
            }
            self.wait(Some(self.next_ms), &mut ready.live);
            if self.now_ms() >= self.next_ms {
                self.slot(self.next_ms, &mut ready.calm);
                self.next_ms += 1;
            }
        }
    }

    fn hear(&mut self) -> ControlFlow<()> {
        while let Ok(told) = self.with.told.try_recv() {
            self.told(told)?;
        }
        ControlFlow::Continue(())
    }

    /// Until then, or until something is told, or until packets came that go over a bridge; those
    /// go. So many at once that the ticks of others stay on time.
    fn wait(&mut self, until_ms: Option<u64>, ready: &mut Vec<epoll::Event>) {
        let timeout = self.arm(until_ms);
        ready.clear();
        // A signal wakes it as well, with nothing.
        let _ = epoll::wait(&self.live, rustix::buffer::spare_capacity(ready), timeout.as_ref());
        let now_ms = self.now_ms();
        for event in ready.iter() {
            match event.data.u64() {
                BELL => {
                    let mut count = [0u8; 8];
                    let _ = rustix::io::read(&self.with.peers[self.with.number].bell, &mut count);
                }
                // Setting it anew quiets it.
                TIMER => {}
                socket => self.packet(now_ms, socket),
            }
        }
    }

    /// Sets the timer, where it is not set already. What is left for the wait itself is no
    /// timeout, or none at all when the time has come.
    fn arm(&mut self, until_ms: Option<u64>) -> Option<Timespec> {
        let wish = until_ms.map_or(Armed::No, Armed::For);
        let rest = match until_ms {
            Some(until_ms) if self.armed != wish => {
                let at = self.with.zero + Duration::from_millis(until_ms);
                let rest = at.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    return Some(AT_ONCE);
                }
                rest
            }
            _ if self.armed == wish => return None,
            _ => Duration::ZERO,
        };
        let value = Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: rest.subsec_nanos().into() };
        let time = Itimerspec { it_interval: AT_ONCE, it_value: value };
        match timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &time) {
            Ok(_) => {
                self.armed = wish;
                None
            }
            Err(_) => until_ms.map(|_| value),
        }
    }

    /// One millisecond's legs.
    fn slot(&mut self, at_ms: u64, ready: &mut Vec<epoll::Event>) {
        let now_ms = self.now_ms();
        self.receive(now_ms, ready);
        let legs = std::mem::take(&mut self.slots[slot_of(at_ms)]);
        let events = &self.with.events;
        let mut tick = Tick {
            now_ms,
            wall_us: wall_us(),
            silence_ms: self.with.config.silence.as_millis() as u64,
            writer: &self.with.writer,
            buffer: &mut self.report,
            tell: &**events,
            events,
        };
        let is_late = now_ms.saturating_sub(at_ms) >= LATE_MS;
        for &at in &legs {
            // One that came from another thread may have had its tick there.
            if let Some(leg) = self.legs.get(at).filter(|leg| leg.due_ms <= at_ms) {
                leg.tick(&mut tick, at_ms);
                self.late.ticks += 1;
                self.late.late += u64::from(is_late);
            }
        }
        if self.hushed > 0 {
            for &at in &legs {
                if self.legs.get(at).is_some_and(|leg| leg.watch == Watch::Hushed) {
                    self.watch(at, Watch::Live);
                }
            }
        }
        self.slots[slot_of(at_ms)] = legs;
        if now_ms >= self.late.told_ms + 1_000 {
            self.late.told_ms = now_ms;
            self.late.ticks_total.increment(std::mem::take(&mut self.late.ticks));
            self.late.late_total.increment(std::mem::take(&mut self.late.late));
        }
    }

    /// Everything that has come, for whichever leg. One packet of each socket at a time, so that
    /// nobody is asked twice who has sent one.
    fn receive(&mut self, now_ms: u64, ready: &mut Vec<epoll::Event>) {
        for _ in 0..MOST_ROUNDS {
            ready.clear();
            let is_told = epoll::wait(&self.calm, rustix::buffer::spare_capacity(ready), Some(&AT_ONCE)).is_ok();
            if !is_told || ready.is_empty() {
                return;
            }
            for event in ready.iter() {
                self.packet(now_ms, event.data.u64());
            }
        }
    }

    /// A packet of this socket, if there is one.
    fn packet(&mut self, now_ms: u64, socket: u64) {
        let at = (socket / 2) as usize;
        let Some(leg) = self.legs.get(at) else { return };
        if socket % 2 == 1 {
            return leg.receive_report(&mut self.buffer);
        }
        let came = leg.receive(now_ms, &mut self.buffer, &*self.with.events);
        let is_flooded = leg.watch == Watch::Live && leg.is_flooded();
        if let (Came::ToPass(passing), Link::Bridged { with, .. }) = (came, leg.link)
            && let Some(other) = self.legs.get(with)
        {
            other.relay(now_ms, passing, &mut self.buffer);
        }
        if is_flooded {
            self.watch(at, Watch::Hushed);
        }
    }

    fn now_ms(&self) -> u64 {
        self.with.zero.elapsed().as_millis() as u64
    }
}

fn watch(epoll: &OwnedFd, socket: BorrowedFd<'_>, name: u64) -> rustix::io::Result<()> {
    epoll::add(epoll, socket, epoll::EventData::new_u64(name), epoll::EventFlags::IN)
}

fn slot_of(at_ms: u64) -> usize {
    (at_ms % FRAME_MS) as usize
}

fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

const SLOTS: usize = FRAME_MS as usize;
/// Two frames may follow each other at once after a stall.
const CATCH_UP_MS: u64 = 40;
const LATE_MS: u64 = 5;
const READY: usize = 256;
/// Of packets that go over bridges: a millisecond's work at most.
const MOST_AT_ONCE: usize = 64;
const MOST_ROUNDS: usize = 16;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// Names in `live` that are no legs'.
const BELL: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
