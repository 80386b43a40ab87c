//! Where a lane is told things. Sending never waits.
//!
//! A wake costs more than most messages do. So a lane takes all that is there in one go, and what
//! changes nothing that anybody waits for does not wake it: it comes along with the next that does,
//! or with the next deadline.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callbox_model::{LegEvent, MediaEvent};
use tokio::sync::Notify;

use super::Message;

/// The queue is not bounded by its own length, but by what may be in it: every call has a bounded
/// number of commands and answers under way, and new calls are refused while it is half full.
#[derive(Clone)]
pub struct Inbox(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    bell: Bell,
    /// Of `state`, readable without its lock; what is being worked on is in it.
    count: AtomicUsize,
    capacity: usize,
}

/// How the lane is woken.
enum Bell {
    /// It has a thread of its own.
    Thread(Condvar),
    /// It is a task among others.
    Task(Notify),
}

#[derive(Default)]
struct State {
    waiting: Vec<Message>,
    lane: LaneState,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum LaneState {
    #[default]
    Awake,
    Asleep,
    /// Asleep, and somebody has woken it already.
    Woken,
}

impl Inbox {
    /// Of a lane that has a thread of its own.
    pub fn of_thread(capacity: usize) -> Self {
        Self::new(capacity, Bell::Thread(Condvar::new()))
    }

    /// Of a lane that runs beside others on a thread.
    pub fn of_task(capacity: usize) -> Self {
        Self::new(capacity, Bell::Task(Notify::new()))
    }

    fn new(capacity: usize, bell: Bell) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), bell, count: AtomicUsize::new(0), capacity }))
    }

    pub fn send(&self, message: Message) {
        let is_patient = message.is_patient();
        self.0.count.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.waiting.push(message);
        let must_ring = state.lane == LaneState::Asleep && !is_patient;
        if must_ring {
            state.lane = LaneState::Woken;
        }
        drop(state);
        match &self.0.bell {
            _ if !must_ring => {}
            Bell::Thread(bell) => bell.notify_one(),
            Bell::Task(bell) => bell.notify_one(),
        }
    }

    pub fn is_half_full(&self) -> bool {
        self.0.count.load(Ordering::Relaxed) * 2 >= self.0.capacity
    }

    /// Everything that has come, into an empty `batch`. Waits for it, but no longer than `wait`.
    pub(super) fn take(&self, wait: Option<Duration>, batch: &mut Vec<Message>) {
        let mut state = self.state();
        if state.is_quiet()
            && let Bell::Thread(bell) = &self.0.bell
        {
            state.lane = LaneState::Asleep;
            let asleep = |state: &mut State| state.lane == LaneState::Asleep;
            state = match wait {
                None => bell.wait_while(state, asleep).unwrap_or_else(PoisonError::into_inner),
                Some(wait) => bell.wait_timeout_while(state, wait, asleep).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state.lane = LaneState::Awake;
        std::mem::swap(&mut state.waiting, batch);
    }

    /// As [`Self::take`], for a task.
    pub(super) async fn taken(&self, wait: Option<Duration>, batch: &mut Vec<Message>) {
        if let Bell::Task(bell) = &self.0.bell {
            let is_quiet = {
                let mut state = self.state();
                let is_quiet = state.is_quiet();
                if is_quiet {
                    state.lane = LaneState::Asleep;
                }
                is_quiet
            };
            match wait {
                _ if !is_quiet => {}
                None => bell.notified().await,
                // What rings between the look and the wait is kept by the bell.
                Some(wait) => drop(tokio::time::timeout(wait, bell.notified()).await),
            }
        }
        let mut state = self.state();
        state.lane = LaneState::Awake;
        std::mem::swap(&mut state.waiting, batch);
    }

    /// So many of what was taken are done with.
    pub(super) fn done(&self, count: usize) {
        self.0.count.fetch_sub(count, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Nothing is here that does not want to wait.
    fn is_quiet(&self) -> bool {
        self.waiting.iter().all(Message::is_patient)
    }
}

impl Message {
    /// Whether it may come with the next that may not.
    fn is_patient(&self) -> bool {
        match self {
            // Without a body it only says that the 200 arrived, which its repetitions tell too.
            Self::Leg(_, LegEvent::Confirmed { body: None }) => true,
            Self::Media(_, MediaEvent::FirstPacket { .. }) => true,
            Self::Sandbox(event) => matches!(event.what, callbox_sandbox::What::Log { .. }),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use callbox_model::LegKey;

    use super::*;

    const PATIENT: Message = Message::Leg(LegKey(1), LegEvent::Confirmed { body: None });

    #[test]
    fn what_is_patient_comes_along_with_what_is_not() {
        let inbox = Inbox::of_thread(4);
        let mut batch = Vec::new();
        inbox.send(PATIENT);
        inbox.take(Some(Duration::from_millis(1)), &mut batch);
        assert_eq!(batch.len(), 1, "a deadline takes it along");
        inbox.done(batch.drain(..).count());
        inbox.send(PATIENT);
        let sends = inbox.clone();
        let thread = std::thread::spawn(move || sends.send(Message::Stop));
        inbox.take(None, &mut batch);
        assert!(matches!(batch[..], [Message::Leg(..), Message::Stop]));
        thread.join().unwrap();
        assert!(inbox.is_half_full());
        inbox.done(2);
        assert!(!inbox.is_half_full());
    }

    #[tokio::test]
    async fn a_task_is_woken_too() {
        let inbox = Inbox::of_task(4);
        let mut batch = Vec::new();
        inbox.send(PATIENT);
        inbox.taken(Some(Duration::from_millis(1)), &mut batch).await;
        inbox.done(batch.drain(..).count());
        let sends = inbox.clone();
        let thread = std::thread::spawn(move || {
            for _ in 0..1_000 {
                sends.send(Message::Stop);
            }
        });
        let mut count = 0;
        while count < 1_000 {
            inbox.taken(None, &mut batch).await;
            count += batch.len();
            inbox.done(batch.drain(..).count());
        }
        thread.join().unwrap();
        assert_eq!(inbox.0.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nothing_is_lost_between_many_senders() {
        let inbox = Inbox::of_thread(1_000);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let inbox = inbox.clone();
                std::thread::spawn(move || (0..1_000).for_each(|_| inbox.send(Message::All(|| unreachable!()))))
            })
            .collect();
        let (mut batch, mut count) = (Vec::new(), 0);
        while count < 4_000 {
            inbox.take(None, &mut batch);
            count += batch.len();
            inbox.done(batch.drain(..).count());
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(inbox.0.count.load(Ordering::Relaxed), 0);
    }
}
