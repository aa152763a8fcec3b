//! Whether a connection is looked at before a request, for what came unasked and would become the answer, and for an end.
//!
//! A look is a system call that nearly always finds nothing. It is left out where it would say the least:
//!
//! - right after a response, since no peer writes so fast;
//! - in a row of exchanges that follow each other closely, once the first looks have found nothing, for as long as the
//!   runtime has not heard of anything either, and never for long.

use std::time::{Duration, Instant};

/// So soon after a response nothing can have come behind it.
const RIGHT_AFTER: Duration = Duration::from_micros(5);
/// Requests that follow a response within this time are in a row with it. No server gives a connection up so soon.
const IN_A_ROW: Duration = Duration::from_millis(10);
/// So many looks find nothing before one is left out in a row of exchanges: those of a few always look.
const TRUSTED: u8 = 16;
/// The longest time without a look, however close the exchanges.
const UNSEEN: Duration = Duration::from_millis(100);

/// What is known of the silence of a connection.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    /// When the last exchange came to its end, if it did.
    ended: Option<Instant>,
    looked: Option<Instant>,
    /// How many looks there were, up to [`TRUSTED`].
    looks: u8,
}

impl Quiet {
    /// Whether to look before a request that begins now. `has_heard` asks the runtime, which may not know yet.
    pub(crate) fn is_to_be_checked(&mut self, now: Instant, has_heard: impl FnOnce() -> bool) -> bool {
        let since = |then: Option<Instant>| then.map_or(Duration::MAX, |then| now.saturating_duration_since(then));
        let pause = since(self.ended);
        if pause < RIGHT_AFTER {
            return false;
        }
        if self.looks >= TRUSTED && pause < IN_A_ROW && since(self.looked) < UNSEEN && !has_heard() {
            return false;
        }
        self.looks = self.looks.saturating_add(1);
        self.looked = Some(now);
        true
    }

    /// An exchange has come to its end: nothing is to come from now on.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// An exchange was left before its end, and may still say something.
    pub(crate) fn end(&mut self) {
        self.ended = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of so many requests are looked at, each so long after the response before it.
    fn looks(quiet: &mut Quiet, now: &mut Instant, requests: usize, pause: Duration) -> Vec<usize> {
        let looks = (0..requests).filter(|_| {
            *now += pause;
            let looks = quiet.is_to_be_checked(*now, || false);
            quiet.begin(*now);
            looks
        });
        looks.collect()
    }

    fn trusted() -> (Quiet, Instant) {
        let (mut quiet, mut now) = (Quiet::default(), Instant::now());
        assert_eq!(looks(&mut quiet, &mut now, 20, Duration::from_millis(1)), (0..16).collect::<Vec<_>>());
        (quiet, now)
    }

    #[test]
    fn right_after_a_response_nobody_looks() {
        let (mut quiet, mut now) = (Quiet::default(), Instant::now());
        assert_eq!(looks(&mut quiet, &mut now, 1000, Duration::from_micros(4)), [0]);
        assert_eq!(looks(&mut quiet, &mut now, 3, Duration::from_micros(5)), [0, 1, 2]);
    }

    #[test]
    fn a_row_of_exchanges_is_looked_at_ten_times_a_second() {
        let (mut quiet, mut now) = trusted();
        let looks = looks(&mut quiet, &mut now, 500, Duration::from_millis(2));
        assert!(looks.len() == 10 && looks.windows(2).all(|pair| pair[1] - pair[0] == 50), "{looks:?}");
    }

    #[test]
    fn after_a_pause_there_is_always_a_look() {
        let (mut quiet, mut now) = trusted();
        assert_eq!(looks(&mut quiet, &mut now, 100, Duration::from_millis(10)).len(), 100);
    }

    #[test]
    fn what_the_runtime_has_heard_is_looked_at() {
        let (mut quiet, now) = trusted();
        let soon = now + Duration::from_millis(1);
        assert!(!quiet.is_to_be_checked(soon, || false));
        assert!(quiet.is_to_be_checked(soon, || true));
    }

    #[test]
    fn an_exchange_that_was_left_is_followed_by_a_look() {
        let (mut quiet, now) = trusted();
        quiet.end();
        assert!(quiet.is_to_be_checked(now, || false));
    }
}
