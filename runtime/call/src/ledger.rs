//! Who held the call, for how long, and what it used. Exact by construction: at every moment one
//! row holds, and a switch closes one and opens the next at the same instant.

use std::time::Duration;

use callbox_model::{Frames, Instant, Now, Run, RunEnd, RunId, RunUsage};

use crate::Output;
use crate::frames::plus;

#[derive(Debug)]
pub(crate) struct Ledger {
    /// Rows that are not closed yet, oldest first.
    rows: Vec<Row>,
    answered: Option<Instant>,
    /// Frame counts at the boundaries between rows.
    boundaries: Vec<Boundary>,
    next_mark: Instant,
}

#[derive(Debug)]
struct Boundary {
    frames: Frames,
    /// Legs whose count is under way.
    waiting: u32,
}

#[derive(Debug)]
struct Row {
    run: Run,
    time: Time,
    counted_to: Instant,
    from: usize,
    to: Option<usize>,
    closing: Option<Closing>,
    is_module: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Holding,
    Parked,
    Over,
}

#[derive(Debug)]
struct Closing {
    end: RunEnd,
    /// The module's own figures are here.
    has_usage: bool,
    deadline: Instant,
}

impl Ledger {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            rows: Vec::new(),
            answered: None,
            boundaries: vec![Boundary { frames: Frames::default(), waiting: 0 }],
            next_mark: now.at + MARK_EVERY,
        }
    }

    /// A new row holds from now on; the one that held is parked from now on.
    ///
    /// `boundary` is where the frames between the two are counted: see [`Self::boundary`].
    pub(crate) fn hold(&mut self, now: Now, run: Run, boundary: usize, is_module: bool, out: &mut Vec<Output>) {
        self.release(now, boundary);
        let row =
            Row { run, time: Time::Holding, counted_to: now.at, from: boundary, to: None, closing: None, is_module };
        out.push(Output::Mark(Box::new(row.run.clone())));
        self.rows.push(row);
    }

    /// Nobody holds any more: the call is over, or the next holder follows at once.
    pub(crate) fn release(&mut self, now: Now, boundary: usize) {
        self.count_to(now.at);
        for row in &mut self.rows {
            if row.time == Time::Holding {
                row.time = if row.closing.is_some() { Time::Over } else { Time::Parked };
                row.to = Some(boundary);
            }
        }
    }

    /// Marked at once: should the node die before the next mark, a call must not end before its answer.
    pub(crate) fn answered(&mut self, now: Now, out: &mut Vec<Output>) {
        self.count_to(now.at);
        if self.answered.is_some() {
            return;
        }
        self.answered = Some(now.at);
        for row in self.rows.iter_mut().filter(|row| row.time == Time::Holding && row.closing.is_none()) {
            row.run.marked = now.wall;
            out.push(Output::Mark(Box::new(row.run.clone())));
        }
    }

    /// The place of the next boundary.
    pub(crate) fn next_boundary(&self) -> usize {
        self.boundaries.len()
    }

    /// A boundary now: what is known of its frames, and of how many legs the count is to come.
    pub(crate) fn boundary(&mut self, frames: Frames, waiting: u32) {
        self.boundaries.push(Boundary { frames, waiting });
    }

    /// The count of one leg.
    pub(crate) fn counted(&mut self, boundary: usize, frames: Frames) {
        if let Some(slot) = self.boundaries.get_mut(boundary).filter(|slot| slot.waiting > 0) {
            slot.frames = plus(slot.frames, frames);
            slot.waiting -= 1;
        }
    }

    /// What a module says it used. `out` gets the row.
    pub(crate) fn sampled(
        &mut self,
        now: Now,
        id: RunId,
        usage: RunUsage,
        latest: Option<Frames>,
        out: &mut Vec<Output>,
    ) {
        self.count_to(now.at);
        let boundaries = &self.boundaries;
        if let Some(row) = self.rows.iter_mut().find(|row| row.run.id == id) {
            row.take(usage);
            row.count_frames(boundaries, latest);
            row.run.marked = now.wall;
            out.push(Output::Mark(Box::new(row.run.clone())));
        }
    }

    /// The row's end is known. It is closed when its figures are there, or at a deadline.
    pub(crate) fn close(&mut self, now: Now, id: RunId, end: RunEnd, usage: Option<RunUsage>) {
        self.count_to(now.at);
        if let Some(row) = self.rows.iter_mut().find(|row| row.run.id == id) {
            let has_usage = usage.is_some() || !row.is_module;
            if let Some(usage) = usage {
                row.take(usage);
            }
            row.time = match row.time {
                // Whoever takes over does so at this very instant.
                Time::Holding => Time::Holding,
                Time::Parked | Time::Over => Time::Over,
            };
            row.closing = Some(Closing { end, has_usage, deadline: now.at + CLOSE_WITHIN });
        }
    }

    /// The figures of a row that was closed before the module had given them.
    pub(crate) fn late_usage(&mut self, id: RunId, usage: RunUsage) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.run.id == id) {
            row.take(usage);
            if let Some(closing) = &mut row.closing {
                closing.has_usage = true;
            }
        }
    }

    /// Writes the rows whose figures are all there, and those that have waited too long.
    pub(crate) fn settle(&mut self, now: Now, out: &mut Vec<Output>) {
        let boundaries = &self.boundaries;
        self.rows.retain_mut(|row| {
            let Some(closing) = &row.closing else { return true };
            if row.time == Time::Holding {
                return true;
            }
            let has_frames = row.to.is_none_or(|to| boundaries.get(to).is_none_or(|slot| slot.waiting == 0));
            if !(closing.has_usage && has_frames) && closing.deadline > now.at {
                return true;
            }
            row.run.end = Some(closing.end.clone());
            row.run.marked = now.wall;
            row.count_frames(boundaries, None);
            out.push(Output::Mark(Box::new(row.run.clone())));
            false
        });
    }

    /// Every ten seconds: modules are asked, callbox's own rows are written as they are.
    pub(crate) fn mark(&mut self, now: Now, latest: Option<Frames>, out: &mut Vec<Output>) {
        if now.at < self.next_mark {
            return;
        }
        self.next_mark = now.at + MARK_EVERY;
        self.count_to(now.at);
        let boundaries = &self.boundaries;
        for row in self.rows.iter_mut().filter(|row| row.closing.is_none()) {
            if row.is_module {
                out.push(Output::Sample { run: row.run.id });
            } else {
                row.count_frames(boundaries, latest);
                row.run.marked = now.wall;
                out.push(Output::Mark(Box::new(row.run.clone())));
            }
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered.is_some()
    }

    pub(crate) fn next_mark(&self) -> Instant {
        self.next_mark
    }

    pub(crate) fn next_close(&self) -> Option<Instant> {
        self.rows.iter().filter_map(|row| Some(row.closing.as_ref()?.deadline)).min()
    }

    pub(crate) fn connected_us(&self, now: Now) -> u64 {
        self.answered.map_or(0, |answered| micros(now.at.since(answered)))
    }

    fn count_to(&mut self, at: Instant) {
        for row in &mut self.rows {
            let stretch = micros(at.since(row.counted_to));
            match row.time {
                Time::Holding => {
                    row.run.usage.holding_us += stretch;
                    if let Some(answered) = self.answered {
                        row.run.usage.connected_us += micros(at.since(answered.max(row.counted_to)));
                    }
                }
                Time::Parked => row.run.usage.parked_us += stretch,
                Time::Over => {}
            }
            row.counted_to = at.max(row.counted_to);
        }
    }
}

impl Row {
    /// The figures that only the sandbox knows.
    fn take(&mut self, usage: RunUsage) {
        let own = &mut self.run.usage;
        own.cpu_ns = usage.cpu_ns;
        own.peak_memory_bytes = usage.peak_memory_bytes;
        own.memory_byte_seconds = usage.memory_byte_seconds;
        own.host_calls = usage.host_calls;
    }

    fn count_frames(&mut self, boundaries: &[Boundary], latest: Option<Frames>) {
        let known = |at: usize| boundaries.get(at).filter(|slot| slot.waiting == 0).map(|slot| slot.frames);
        let from = known(self.from).unwrap_or_default();
        if let Some(to) = self.to.and_then(known).or(latest) {
            self.run.usage.frames_sent = to.sent.saturating_sub(from.sent);
            self.run.usage.frames_received = to.received.saturating_sub(from.received);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How often a running row is written: what a killed node loses at most.
const MARK_EVERY: Duration = Duration::from_secs(10);
/// How long a row waits for its last figures.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
