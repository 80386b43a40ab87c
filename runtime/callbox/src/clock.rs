//! The node's clock: the one place where time enters the lanes.

use std::time::{Instant as StdInstant, SystemTime, UNIX_EPOCH};

use callbox_model::{Instant, Now, Wall};

/// Counts from the node's start. Cheap to copy; all copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: StdInstant,
}

impl Clock {
    pub fn start() -> Self {
        Self { zero: StdInstant::now() }
    }

    pub fn now(self) -> Now {
        Now { at: self.at(), wall: wall() }
    }

    pub fn at(self) -> Instant {
        Instant::from_micros(u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

pub fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
