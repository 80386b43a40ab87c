//! What legs are asked for.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::PoisonError;

use callbox_model::{Frames, LegKey, MediaCommand, MediaEvent, MediaFault, MediaPlan};

use super::homes::{Errand, Told};
use super::{SLOTS, Thread, home, slot_of, wall_us, watch};
use crate::files::Job;
use crate::leg::{FRAME_MS, Leg, Tick, Watch};
use crate::player::Play;
use crate::ports::chance;

impl Thread {
    pub(super) fn command(&mut self, at: usize, key: LegKey, command: MediaCommand) {
        let now_ms = self.now_ms();
        let events = &self.with.events;
        let Some(leg) = self.legs.get(at) else { return };
        match command {
            MediaCommand::Open(_) => {
                let fault = MediaFault::Node("this leg is open already".to_owned());
                events(key, MediaEvent::Failed(fault));
            }
            MediaCommand::Update(plan) => leg.update(plan, now_ms),
            MediaCommand::Play { step, sounds, repeat, gain_db } => {
                let (law, tenant) = (leg.law(), leg.tenant());
                let play = Play::new(step, law, sounds.len(), repeat);
                let wanted = play.wanted();
                leg.play(play, &**events);
                // Told at home, which knows where the leg is by then.
                let bell = self.with.peers[home(key, self.with.peers.len())].clone();
                let ready = Box::new(move |leg, step, clip| bell.ring(Told::Errand(leg, Errand::Ready(step, clip))));
                let sounds = sounds.into();
                let job = Job { tenant, leg: key, step, sounds, law, gain_db, wanted, ready, prepared_bytes: 0 };
                self.with.files.prepare(job);
            }
            MediaCommand::StopPlay { step } => leg.stop_play(step, &**events),
            MediaCommand::Record { step, plan } => leg.record(step, plan, &self.with.writer, events),
            MediaCommand::StopRecord { step } => leg.stop_record(step, "stopped", &self.with.writer, events),
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
            MediaCommand::SendDigits { digits } => leg.press(&digits, &**events),
            MediaCommand::Bridge { with, digits } => self.bridge(at, key, with, digits),
            MediaCommand::Part => {
                self.part(at);
                (self.with.events)(key, MediaEvent::Parted);
            }
            MediaCommand::Sensitive(is_sensitive) => leg.sensitive(is_sensitive),
            MediaCommand::Count { ask } => {
                let frames = leg.frames();
                events(key, MediaEvent::Counted { ask, frames });
            }
            MediaCommand::Close => self.close(at, key, now_ms),
        }
    }

    /// For a leg that is not here, nor away from here: closed, or never opened. Those that are
    /// always answered are.
    pub(super) fn stray(&mut self, key: LegKey, errand: Errand) {
        let none = || MediaFault::Node("there is no such leg".to_owned());
        let event = match errand {
            Errand::Join { guest, .. } => return self.join_nobody(key, guest),
            Errand::Ready(..) => return,
            Errand::Command(command) => match command {
                MediaCommand::Open(_) if home(key, self.with.peers.len()) != self.with.number => {
                    // It was closed where it visited, and is opened at home.
                    return self.ring_home(key, Told::Errand(key, Errand::Command(command)));
                }
                MediaCommand::Open(plan) => match self.open(key, plan) {
                    Ok(rtp) => MediaEvent::Opened { rtp },
                    Err(fault) => MediaEvent::Failed(fault),
                },
                MediaCommand::Close => MediaEvent::Closed { frames: Frames::default() },
                MediaCommand::Count { ask } => MediaEvent::Counted { ask, frames: Frames::default() },
                MediaCommand::Bridge { .. } => MediaEvent::Bridged { result: Err(none()) },
                MediaCommand::Part => MediaEvent::Parted,
                MediaCommand::SendDigits { .. } => MediaEvent::DigitsSent { result: Err(none()) },
                _ => return metrics::counter!("media_stray_commands_total").increment(1),
            },
        };
        (self.with.events)(key, event);
    }

    fn open(&mut self, key: LegKey, plan: MediaPlan) -> Result<SocketAddr, MediaFault> {
        let ports = &self.with.ports;
        let (port, rtp, rtcp) = ports.lock().unwrap_or_else(PoisonError::into_inner).open(plan.local)?;
        let now_ms = self.now_ms();
        // Few slots with many legs: few wake-ups.
        let slot = (0..SLOTS)
            .find(|&slot| self.slots[slot].len() < LEGS_A_SLOT)
            .or_else(|| (0..SLOTS).min_by_key(|&slot| self.slots[slot].len()))
            .unwrap_or_default();
        let due_ms = (now_ms + 1..=now_ms + FRAME_MS).find(|&at_ms| slot_of(at_ms) == slot).unwrap_or(now_ms + 1);
        let leg = Leg::new(key, port, (rtp, rtcp), plan, now_ms, due_ms, [chance(), chance(), chance()]);
        let local = leg.local();
        let at = self.legs.put(Box::new(leg));
        let watched = match self.legs.get(at) {
            Some(leg) => watch(&self.calm, leg.rtp.as_fd(), at as u64 * 2)
                .and_then(|()| watch(&self.calm, leg.rtcp.as_fd(), at as u64 * 2 + 1))
                .map(|()| leg.watch = Watch::Calm),
            None => Ok(()),
        };
        if let Err(error) = watched {
            drop(self.legs.take(at));
            self.with.ports.lock().unwrap_or_else(PoisonError::into_inner).close(port);
            return Err(MediaFault::Node(format!("cannot watch RTP port {port}: {error}")));
        }
        self.slots[slot].push(at);
        self.next_ms = self.next_ms.min(due_ms);
        self.open.increment(1.0);
        Ok(local)
    }

    fn close(&mut self, at: usize, key: LegKey, now_ms: u64) {
        self.part(at);
        self.watch(at, Watch::Nobody);
        let Some(leg) = self.legs.take(at) else { return };
        self.slots[slot_of(leg.due_ms)].retain(|other| *other != at);
        let port = leg.port;
        // Before anyone hears that it is closed, and opens another under its key.
        self.ring_home(key, Told::Gone(key));
        let events = &self.with.events;
        // The kernel forgets a socket that is closed.
        leg.close(&mut Tick {
            now_ms,
            wall_us: wall_us(),
            silence_ms: u64::MAX,
            writer: &self.with.writer,
            buffer: &mut self.report,
            tell: &**events,
            events,
        });
        self.with.ports.lock().unwrap_or_else(PoisonError::into_inner).close(port);
        self.open.decrement(1.0);
    }
}

/// A slot's work stays below a millisecond.
const LEGS_A_SLOT: usize = 64;
