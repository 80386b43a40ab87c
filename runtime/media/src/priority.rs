//! What a media thread may do before others. Real time where it is permitted, else niced up.

#![expect(unsafe_code, reason = "no crate of ours wraps sched_setscheduler for one thread")]

use rustix::process::{Pid, setpriority_process};
use rustix::thread::gettid;

/// Raises the calling thread, and says what it got.
pub(crate) fn raise() -> &'static str {
    let wish = libc::sched_param { sched_priority: REAL_TIME };
    // SAFETY: the pointer is to a local that outlives the call; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const wish) } == 0 {
        return "real time";
    }
    let this: Pid = gettid();
    match setpriority_process(Some(this), NICE) {
        Ok(()) => "niced up",
        Err(_) => "normal",
    }
}

/// The lowest real-time level is above everything that is not.
const REAL_TIME: i32 = 5;
const NICE: i32 = -10;
