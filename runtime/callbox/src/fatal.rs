//! A fault of ours on a thread that calls depend on ends the process.
//!
//! Half a node answers nobody and still holds its addresses; one that is gone is started again by
//! whoever watches over it, and closes its lost calls at their last mark. A module's fault is no
//! fault of ours, and never comes here.

use std::panic;
use std::thread;

/// Once in a process.
pub fn install() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        usual(info);
        let thread = thread::current();
        let name = thread.name().unwrap_or_default();
        if is_vital(name) {
            tracing::error!(thread = name, panic = %info, "a fault of callbox's own: the node ends");
            std::process::abort();
        }
    }));
}

/// Signalling, the calls beside it or on threads of their own, sound, and what keeps modules apart.
fn is_vital(thread: &str) -> bool {
    ["signal", "lane", "media", "epoch"].contains(&thread.split('-').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const FALLS: &str = "CALLBOX_TEST_FALLS_ON";

    #[test]
    fn a_fault_on_a_vital_thread_ends_the_process_and_on_others_does_not() {
        if let Ok(name) = std::env::var(FALLS) {
            install();
            let falls = thread::Builder::new().name(name).spawn(|| panic!("on purpose")).unwrap();
            assert!(falls.join().is_err());
            return;
        }
        let this = "fatal::tests::a_fault_on_a_vital_thread_ends_the_process_and_on_others_does_not";
        for (thread, survives) in [
            ("signal", false),
            ("lane-3", false),
            ("media-0", false),
            ("epoch", false),
            ("files-1", true),
            ("guests-0", true),
        ] {
            let mut child = Command::new(std::env::current_exe().unwrap());
            let ended = child.args(["--exact", this]).env(FALLS, thread).output().unwrap();
            assert_eq!(ended.status.success(), survives, "{thread}: {ended:?}");
        }
    }
}
