//! What one Run has used, and how long it has been since its last step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use callbox_model::{Limits, RunUsage};

pub(crate) struct Meter {
    cpu_ns: u64,
    step_cpu_ns: u64,
    /// Set while the guest is polled: the thread's CPU time and the time at which that began.
    poll: Option<(u64, Instant)>,
    step: StepClock,
    memory_bytes: u64,
    memory_since: Instant,
    byte_micros: u128,
    peak_memory_bytes: u64,
    host_calls: BTreeMap<&'static str, u64>,
    rate: Rate,
    /// A guest that was refused memory falls with a plain `unreachable`: this tells why.
    pub(crate) refused_memory: bool,
    pub(crate) refused_table: bool,
    /// Whole ticks used since the last step.
    pub(crate) slices: u32,
}

/// The wall time between two steps stands still while the guest waits for the node.
#[derive(Clone, Copy)]
enum StepClock {
    Running { began: Instant },
    Waiting { began: Instant, since: Instant },
}

/// A bucket of host calls.
struct Rate {
    tokens: f64,
    filled: Instant,
    throttled: Option<Instant>,
}

/// What the rate says to a host call.
pub(crate) enum Pace {
    Go,
    Wait(Duration),
    /// Held at the rate for longer than may be.
    Over,
}

impl Meter {
    pub(crate) fn new(now: Instant, limits: &Limits) -> Self {
        Self {
            cpu_ns: 0,
            step_cpu_ns: 0,
            poll: None,
            step: StepClock::Running { began: now },
            memory_bytes: 0,
            memory_since: now,
            byte_micros: 0,
            peak_memory_bytes: 0,
            host_calls: BTreeMap::new(),
            rate: Rate { tokens: f64::from(limits.host_calls_burst), filled: now, throttled: None },
            refused_memory: false,
            refused_table: false,
            slices: 0,
        }
    }

    pub(crate) fn poll_began(&mut self, cpu_ns: u64, now: Instant) {
        self.poll = Some((cpu_ns, now));
    }

    /// What the poll used, less what reading the clock costs.
    pub(crate) fn poll_ended(&mut self, cpu_ns: u64, clock_ns: u64) -> u64 {
        let Some((began, _)) = self.poll.take() else { return 0 };
        let used = cpu_ns.saturating_sub(began).saturating_sub(clock_ns);
        self.cpu_ns += used;
        self.step_cpu_ns += used;
        used
    }

    pub(crate) fn polled_since(&self) -> Option<Instant> {
        self.poll.map(|(_, since)| since)
    }

    /// CPU time since the last step, the poll that runs included.
    pub(crate) fn step_cpu_ns(&self, cpu_ns: u64) -> u64 {
        self.step_cpu_ns + self.poll.map_or(0, |(began, _)| cpu_ns.saturating_sub(began))
    }

    pub(crate) fn waits(&mut self, now: Instant) {
        if let StepClock::Running { began } = self.step {
            self.step = StepClock::Waiting { began, since: now };
        }
    }

    /// A step is over: what comes now is counted anew. `cpu_ns` is the thread's, when the guest is
    /// polled at this moment.
    pub(crate) fn stepped(&mut self, now: Instant) {
        self.step = StepClock::Running { began: now };
        self.step_cpu_ns = 0;
        self.slices = 0;
    }

    /// It waited for something that is no step: that time does not count.
    pub(crate) fn goes_on(&mut self, now: Instant) {
        if let StepClock::Waiting { began, since } = self.step {
            self.step = StepClock::Running { began: began + now.saturating_duration_since(since) };
        }
    }

    /// Since when the guest owes a step. None while the node owes it an answer.
    pub(crate) fn owes_since(&self) -> Option<Instant> {
        match self.step {
            StepClock::Running { began } => Some(began),
            StepClock::Waiting { .. } => None,
        }
    }

    pub(crate) fn host_call(&mut self, name: &'static str, now: Instant, limits: &Limits) -> Pace {
        *self.host_calls.entry(name).or_default() += 1;
        let (per_s, burst) = (f64::from(limits.host_calls_per_s), f64::from(limits.host_calls_burst));
        let rate = &mut self.rate;
        rate.tokens = burst.min(rate.tokens + now.saturating_duration_since(rate.filled).as_secs_f64() * per_s);
        rate.filled = now;
        rate.tokens -= 1.0;
        if rate.tokens >= 0.0 {
            // Sleeping a little longer than asked is no rest: a second's worth must have come back.
            if rate.tokens >= per_s.min(burst / 2.0) {
                rate.throttled = None;
            }
            return Pace::Go;
        }
        let since = *rate.throttled.get_or_insert(now);
        if now.saturating_duration_since(since) >= Duration::from_secs(limits.host_calls_throttled_s.into()) {
            return Pace::Over;
        }
        Pace::Wait(Duration::try_from_secs_f64(-rate.tokens / per_s.max(0.001)).unwrap_or(Duration::from_secs(1)))
    }

    pub(crate) fn memory(&mut self, bytes: u64, now: Instant) {
        self.byte_micros +=
            u128::from(self.memory_bytes) * now.saturating_duration_since(self.memory_since).as_micros();
        self.memory_since = now;
        self.memory_bytes = bytes;
        self.peak_memory_bytes = self.peak_memory_bytes.max(bytes);
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Times and frames are the call's to know; they are zero here.
    pub(crate) fn usage(&mut self, now: Instant) -> RunUsage {
        self.memory(self.memory_bytes, now);
        RunUsage {
            cpu_ns: self.cpu_ns,
            peak_memory_bytes: self.peak_memory_bytes,
            memory_byte_seconds: u64::try_from(self.byte_micros / 1_000_000).unwrap_or(u64::MAX),
            host_calls: self.host_calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            ..RunUsage::default()
        }
    }
}

/// Of the calling thread. A system call of some 200 ns.
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// What two readings of the clock are apart at least.
pub(crate) fn calibrate_ns() -> u64 {
    (0..1_000)
        .map(|_| {
            let before = thread_cpu_ns();
            thread_cpu_ns().saturating_sub(before)
        })
        .min()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_integrated_over_time() {
        let start = Instant::now();
        let mut meter = Meter::new(start, &Limits::default());
        meter.memory(1_000, start);
        meter.memory(3_000, start + Duration::from_secs(10));
        let usage = meter.usage(start + Duration::from_secs(12));
        assert_eq!((usage.memory_byte_seconds, usage.peak_memory_bytes), (16_000, 3_000));
    }

    #[test]
    fn host_calls_are_slowed_then_refused_and_a_rest_forgives() {
        let limits = Limits { host_calls_burst: 10, host_calls_per_s: 10, ..Limits::default() };
        let start = Instant::now();
        let mut meter = Meter::new(start, &limits);
        for _ in 0..10 {
            assert!(matches!(meter.host_call("call.info", start, &limits), Pace::Go));
        }
        assert!(matches!(meter.host_call("call.info", start, &limits), Pace::Wait(_)));
        let mut now = start;
        let over = loop {
            now += Duration::from_millis(99);
            match meter.host_call("call.info", now, &limits) {
                Pace::Over => break now - start,
                Pace::Go | Pace::Wait(_) => assert!(now - start < Duration::from_secs(20)),
            }
        };
        assert!(over >= Duration::from_secs(10));
        now += Duration::from_secs(5);
        assert!(matches!(meter.host_call("call.info", now, &limits), Pace::Go));
    }

    #[test]
    fn waiting_for_the_node_is_not_counted_against_the_guest() {
        let start = Instant::now();
        let mut meter = Meter::new(start, &Limits::default());
        meter.waits(start + Duration::from_secs(1));
        assert!(meter.owes_since().is_none());
        meter.goes_on(start + Duration::from_secs(8));
        assert_eq!(meter.owes_since(), Some(start + Duration::from_secs(7)));
        meter.stepped(start + Duration::from_secs(9));
        assert_eq!(meter.owes_since(), Some(start + Duration::from_secs(9)));
    }
}
