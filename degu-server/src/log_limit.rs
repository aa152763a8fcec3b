//! A limit on the log lines that peers can cause.

use std::time::{Duration, Instant};

/// The number of lines that may be written at once.
const BURST: u32 = 10;
/// The time after which one more line may be written.
const PAUSE: Duration = Duration::from_secs(1);

/// A limit that allows ten lines at once, and one line each second after that.
#[derive(Debug)]
pub(crate) struct LogLimit {
    left: u32,
    /// The time at which `left` last grew. While `left` is at its maximum, `since` is the time of the last call of
    /// `pass`.
    since: Instant,
    suppressed_lines: u64,
}

impl LogLimit {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { left: BURST, since: now, suppressed_lines: 0 }
    }

    /// Returns `None` if the line must not be written. Otherwise returns `Some` of the number of lines that were
    /// suppressed since the last allowed line. The number is `None` if no line was suppressed.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<Option<u64>> {
        while self.left < BURST && now.duration_since(self.since) >= PAUSE {
            self.left += 1;
            self.since += PAUSE;
        }
        if self.left == BURST {
            self.since = now;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.suppressed_lines += 1;
            return None;
        };
        self.left = left;
        let suppressed_lines = std::mem::take(&mut self.suppressed_lines);
        Some((suppressed_lines > 0).then_some(suppressed_lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_ten_passes_and_one_line_each_second_after_it() {
        let start = Instant::now();
        let mut limit = LogLimit::new(start);
        let mut passed = |milliseconds, lines: usize| {
            let now = start + Duration::from_millis(milliseconds);
            (0..lines).filter_map(|_| limit.pass(now)).collect::<Vec<_>>()
        };
        assert_eq!(passed(5_000, 100), [None; 10]);
        assert_eq!(passed(5_900, 5), []);
        assert_eq!(passed(6_000, 5), [Some(95)]);
        assert_eq!(passed(8_500, 5), [Some(4), None]);
        assert_eq!(passed(9_000, 1), [Some(3)]);
        assert_eq!(passed(100_000, 11), [None; 10]);
    }
}
