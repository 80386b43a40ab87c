//! One media thread: its legs, in 20 slots of a frame of 20 ms.
//!
//! It sleeps until the next slot that has legs, takes what has come for all of them, and ticks
//! those of the slot. A thread without legs sleeps until it is told something.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callbox_model::{Frames, LegKey, MediaCommand, MediaEvent, MediaFault, StepId};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::fd::OwnedFd;

use crate::clips::Clip;
use crate::files::{Files, Job};
use crate::leg::{Leg, Tick};
use crate::player::Play;
use crate::ports::{Ports, chance};
use crate::writer::Writer;
use crate::{Config, Events};

pub(crate) enum Told {
    Command(LegKey, MediaCommand),
    Ready(LegKey, StepId, Result<Clip, MediaFault>),
    Stop,
}

/// Tells a thread something, and wakes it.
#[derive(Clone)]
pub(crate) struct Bell {
    pub(crate) told: Sender<Told>,
    pub(crate) bell: Arc<OwnedFd>,
}

pub(crate) struct Thread {
    zero: Instant,
    told: Receiver<Told>,
    own: Bell,
    legs: HashMap<LegKey, Leg>,
    /// Keys by slot of the frame, one for each millisecond.
    slots: Vec<Vec<LegKey>>,
    /// What epoll calls a socket, to its leg.
    sockets: HashMap<u64, LegKey>,
    next_socket: u64,
    epoll: OwnedFd,
    ports: Arc<Mutex<Ports>>,
    files: Files,
    writer: Writer,
    events: Events,
    config: Arc<Config>,
    buffer: Vec<u8>,
    report: Vec<u8>,
    late: Late,
    open: metrics::Gauge,
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
    pub(crate) fn new(
        told: Receiver<Told>,
        own: Bell,
        ports: Arc<Mutex<Ports>>,
        files: Files,
        writer: Writer,
        events: Events,
        config: Arc<Config>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            zero: Instant::now(),
            told,
            own,
            legs: HashMap::new(),
            slots: vec![Vec::new(); SLOTS],
            sockets: HashMap::new(),
            next_socket: 0,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            ports,
            files,
            writer,
            events,
            config,
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
        let mut ready = Vec::with_capacity(READY);
        // The millisecond that is next.
        let mut next_ms = self.now_ms() + 1;
        loop {
            if self.hear().is_break() {
                return;
            }
            if self.legs.is_empty() {
                self.sleep(None);
                next_ms = self.now_ms() + 1;
                continue;
            }
            let now_ms = self.now_ms();
            // Late by more than it can catch up: what was left out is silence, not a burst.
            let skipped = now_ms.saturating_sub(next_ms).saturating_sub(CATCH_UP_MS) / FRAME_MS * FRAME_MS;
            next_ms += skipped;
            while self.slots[(next_ms % FRAME_MS) as usize].is_empty() {
                next_ms += 1;
            }
            if next_ms > now_ms {
                self.sleep(Some(next_ms));
                if self.now_ms() < next_ms {
                    continue;
                }
            }
            self.slot(next_ms, (skipped / FRAME_MS) as u32, &mut ready);
            next_ms += 1;
        }
    }

    fn hear(&mut self) -> std::ops::ControlFlow<()> {
        while let Ok(told) = self.told.try_recv() {
            match told {
                Told::Command(key, command) => self.command(key, command),
                Told::Ready(key, step, clip) => {
                    if let Some(leg) = self.legs.get_mut(&key) {
                        leg.ready(step, clip, &*self.events);
                    }
                }
                Told::Stop => return std::ops::ControlFlow::Break(()),
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    fn sleep(&mut self, until_ms: Option<u64>) {
        let timeout = until_ms.map(|until| {
            let wait = (self.zero + Duration::from_millis(until)).saturating_duration_since(Instant::now());
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) }
        });
        let bell = self.own.bell.clone();
        let mut waits = [PollFd::new(&*bell, PollFlags::IN)];
        if poll(&mut waits, timeout.as_ref()).is_ok_and(|count| count > 0) {
            let mut count = [0u8; 8];
            let _ = rustix::io::read(&*bell, &mut count);
        }
    }

    /// One millisecond's legs.
    fn slot(&mut self, at_ms: u64, behind: u32, ready: &mut Vec<epoll::Event>) {
        let now_ms = self.now_ms();
        self.receive(now_ms, ready);
        let events = self.events.clone();
        let mut tick = Tick {
            now_ms,
            wall_us: wall_us(),
            silence_ms: self.config.silence.as_millis() as u64,
            writer: &self.writer,
            buffer: &mut self.report,
            tell: &*events,
            events: &events,
        };
        for key in &self.slots[(at_ms % FRAME_MS) as usize] {
            if let Some(leg) = self.legs.get_mut(key) {
                leg.tick(&mut tick, behind);
                self.late.ticks += 1;
                self.late.late += u64::from(now_ms.saturating_sub(at_ms) >= LATE_MS);
            }
        }
        if now_ms >= self.late.told_ms + 1_000 {
            self.late.told_ms = now_ms;
            self.late.ticks_total.increment(std::mem::take(&mut self.late.ticks));
            self.late.late_total.increment(std::mem::take(&mut self.late.late));
        }
    }

    /// Everything that has come, for whichever leg.
    fn receive(&mut self, now_ms: u64, ready: &mut Vec<epoll::Event>) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        for _ in 0..MOST_ROUNDS {
            ready.clear();
            if epoll::wait(&self.epoll, rustix::buffer::spare_capacity(ready), Some(&now)).is_err() {
                return;
            }
            for event in ready.iter() {
                let socket = event.data.u64();
                let Some(leg) = self.sockets.get(&(socket / 2)).and_then(|key| self.legs.get_mut(key)) else {
                    continue;
                };
                if socket % 2 == 0 {
                    leg.receive(now_ms, &mut self.buffer, &*self.events);
                } else {
                    leg.receive_reports(&mut self.buffer);
                }
            }
            if ready.len() < READY {
                return;
            }
        }
    }

    fn command(&mut self, key: LegKey, command: MediaCommand) {
        let now_ms = self.now_ms();
        if let MediaCommand::Open(plan) = command {
            let event = match self.open(key, plan, now_ms) {
                Ok(rtp) => MediaEvent::Opened { rtp },
                Err(fault) => MediaEvent::Failed(fault),
            };
            (self.events)(key, event);
            return;
        }
        let Some(leg) = self.legs.get_mut(&key) else {
            // Closed, or never opened. The two that are always answered are.
            match command {
                MediaCommand::Close => (self.events)(key, MediaEvent::Closed { frames: Frames::default() }),
                MediaCommand::Count { ask } => {
                    (self.events)(key, MediaEvent::Counted { ask, frames: Frames::default() });
                }
                _ => metrics::counter!("media_stray_commands_total").increment(1),
            }
            return;
        };
        match command {
            MediaCommand::Open(_) => {}
            MediaCommand::Update(plan) => leg.update(plan, now_ms),
            MediaCommand::Play { step, sounds, repeat, gain_db } => {
                let law = leg.law();
                let (tenant, play) = (leg.tenant(), Play::new(step, law, sounds.len(), repeat));
                let wanted = play.wanted();
                leg.play(play, &*self.events);
                let own = self.own.clone();
                let ready = Box::new(move |leg, step, clip| own.ring(Told::Ready(leg, step, clip)));
                let sounds = sounds.into();
                self.files.prepare(Job {
                    tenant,
                    leg: key,
                    step,
                    sounds,
                    law,
                    gain_db,
                    wanted,
                    ready,
                    prepared_bytes: 0,
                });
            }
            MediaCommand::StopPlay { step } => leg.stop_play(step, &*self.events),
            MediaCommand::Record { step, plan } => leg.record(step, plan, &self.writer),
            MediaCommand::StopRecord { step } => leg.stop_record(step, "stopped", &self.writer, &self.events),
            MediaCommand::PauseRecord { step, silence } => {
                if let Some(recorder) = leg.recorder(step) {
                    recorder.pause(silence);
                }
            }
            MediaCommand::ResumeRecord { step } => {
                if let Some(recorder) = leg.recorder(step) {
                    recorder.resume();
                }
            }
            MediaCommand::SendDigits { digits } => leg.press(&digits),
            MediaCommand::Sensitive(is_sensitive) => leg.sensitive(is_sensitive),
            MediaCommand::Count { ask } => {
                let frames = leg.frames();
                (self.events)(key, MediaEvent::Counted { ask, frames });
            }
            MediaCommand::Close => self.close(key, now_ms),
        }
    }

    fn open(
        &mut self,
        key: LegKey,
        plan: callbox_model::MediaPlan,
        now_ms: u64,
    ) -> Result<std::net::SocketAddr, MediaFault> {
        if self.legs.contains_key(&key) {
            return Err(MediaFault::Node("this leg is open already".to_owned()));
        }
        let (port, rtp, rtcp) = self.ports.lock().unwrap_or_else(PoisonError::into_inner).open(plan.local)?;
        self.next_socket += 1;
        let socket = self.next_socket;
        let watch = |fd: std::os::fd::BorrowedFd<'_>, name: u64| {
            epoll::add(&self.epoll, fd, epoll::EventData::new_u64(name), epoll::EventFlags::IN)
        };
        if let Err(error) = watch(rtp.as_fd(), socket * 2).and_then(|()| watch(rtcp.as_fd(), socket * 2 + 1)) {
            self.ports.lock().unwrap_or_else(PoisonError::into_inner).close(port);
            return Err(MediaFault::Node(format!("cannot watch RTP port {port}: {error}")));
        }
        let leg = Leg::new(key, port, (rtp, rtcp), plan, now_ms, [chance(), chance(), chance()]);
        let local = leg.local();
        self.sockets.insert(socket, key);
        // Few slots with many legs: few wake-ups.
        let slot =
            (0..SLOTS).find(|&slot| self.slots[slot].len() < LEGS_A_SLOT).unwrap_or((socket % FRAME_MS) as usize);
        self.slots[slot].push(key);
        self.legs.insert(key, leg);
        self.open.set(self.legs.len() as f64);
        Ok(local)
    }

    fn close(&mut self, key: LegKey, now_ms: u64) {
        let Some(leg) = self.legs.remove(&key) else { return };
        for slot in &mut self.slots {
            slot.retain(|other| *other != key);
        }
        // The kernel forgets a socket that is closed; so do we.
        self.sockets.retain(|_, owner| *owner != key);
        let port = leg.port;
        let events = self.events.clone();
        leg.close(&mut Tick {
            now_ms,
            wall_us: wall_us(),
            silence_ms: u64::MAX,
            writer: &self.writer,
            buffer: &mut self.report,
            tell: &*events,
            events: &events,
        });
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).close(port);
        self.open.set(self.legs.len() as f64);
    }

    fn now_ms(&self) -> u64 {
        self.zero.elapsed().as_millis() as u64
    }
}

fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

const FRAME_MS: u64 = 20;
const SLOTS: usize = FRAME_MS as usize;
/// A slot's work stays below a millisecond.
const LEGS_A_SLOT: usize = 64;
/// Two frames may follow each other at once after a stall.
const CATCH_UP_MS: u64 = 40;
const LATE_MS: u64 = 5;
const READY: usize = 256;
const MOST_ROUNDS: usize = 16;
