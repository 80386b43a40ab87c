//! A Run's log: lines cut at their limit, and no more of them in a second than may be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::run::{Run, What};

pub(crate) struct LogLines {
    run: Arc<Run>,
    window: Instant,
    lines: u32,
    left_out: u64,
}

impl LogLines {
    pub(crate) fn new(run: Arc<Run>) -> Self {
        Self { run, window: Instant::now(), lines: 0, left_out: 0 }
    }

    pub(crate) fn line(&mut self, level: &'static str, message: &str) {
        let now = Instant::now();
        if now.saturating_duration_since(self.window) >= Duration::from_secs(1) {
            self.window = now;
            self.lines = 0;
        }
        if self.lines >= self.run.limits.log_lines_per_s {
            self.left_out += 1;
            return;
        }
        self.lines += 1;
        self.confess();
        self.run.tell(What::Log { level, message: cut(message, self.run.limits.log_line_bytes as usize) });
    }

    /// Says how many lines are missing.
    pub(crate) fn confess(&mut self) {
        let missing = std::mem::take(&mut self.left_out);
        if missing > 0 {
            self.run.tell(What::Log { level: "warn", message: format!("[{missing} lines left out]") });
        }
    }
}

fn cut(message: &str, limit: usize) -> String {
    if message.len() <= limit {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(limit);
    format!("{} [cut: {} bytes more]", &message[..end], message.len() - end)
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_long_line_is_cut_between_characters_and_marked() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("aéb", 2), "a [cut: 3 bytes more]");
    }
}
