//! Whether a connection is looked at before a request, for what came unasked and would become the answer, and for an end.
//!
//! A look is a system call that nearly always finds nothing. It is left out
//!
//! - right after the read that ended a response, if there was nothing behind it, since no peer writes so fast;
//! - where a runtime listens and has heard of nothing, in a row of exchanges that follow each other closely, once the first
//!   looks have found nothing. What comes while the task does not go back to its runtime may be taken for an answer there,
//!   until a look shows that one too many has come.
//!
//! Where that would be worse than elsewhere it is never left out: behind a response that has no body, since servers are
//! known to send one there; behind one that filled its read, or came in records of TLS, since more of what was sent with it
//! may be there; and for a proxy, whose answers are for others.

use std::time::{Duration, Instant};

/// So soon after a read that took all there was nothing can have come behind it.
const RIGHT_AFTER: Duration = Duration::from_micros(5);
/// Requests that follow a response within this time are in a row with it.
const IN_A_ROW: Duration = Duration::from_millis(10);
/// So many looks have found nothing before one is left out in a row of exchanges.
const TRUSTED: u8 = 16;
/// The longest time without a look, however close the exchanges.
const UNSEEN: Duration = Duration::from_millis(100);

/// What is known of the silence of a connection.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    /// When the end of the last exchange was read, if it was.
    ended: Option<Instant>,
    looked: Option<Instant>,
    /// How many looks have found nothing, at least.
    clean: u8,
    suspected: bool,
    doubted: bool,
}

impl Quiet {
    /// Whether to look before a request that begins now. `has_heard` asks the runtime.
    pub(crate) fn wants_look(&mut self, now: Instant, has_heard: impl FnOnce() -> bool) -> bool {
        let since = |then: Option<Instant>| then.map_or(Duration::MAX, |then| now.saturating_duration_since(then));
        let pause = since(self.ended);
        if pause < RIGHT_AFTER && !self.doubted {
            return false;
        }
        let in_a_row = pause < IN_A_ROW && since(self.looked) < UNSEEN && self.clean >= TRUSTED;
        if in_a_row && !self.suspected && !self.doubted && !has_heard() {
            return false;
        }
        // A look that finds something is the last one.
        self.clean = self.clean.saturating_add(1);
        self.looked = Some(now);
        (self.suspected, self.doubted) = (false, false);
        true
    }

    /// There is to be a look before the next request, unless it follows right after a response.
    pub(crate) fn suspect(&mut self) {
        self.suspected = true;
    }

    /// There is to be a look before the next request, however soon it follows.
    pub(crate) fn doubt(&mut self) {
        self.doubted = true;
    }

    /// An exchange has come to its end, which was read then, however late it is noticed: nothing is to come from that on.
    pub(crate) fn exchange_ended(&mut self, read: Instant) {
        self.ended = Some(read);
    }

    /// An exchange was left before its end, and may still say something.
    pub(crate) fn exchange_left(&mut self) {
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
            let looks = quiet.wants_look(*now, || false);
            quiet.exchange_ended(*now);
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
        assert!(!quiet.wants_look(soon, || false));
        assert!(quiet.wants_look(soon, || true));
    }

    #[test]
    fn who_is_suspected_is_looked_at_once() {
        let (mut quiet, now) = trusted();
        let soon = now + Duration::from_millis(1);
        quiet.suspect();
        assert!(!quiet.wants_look(now, || false), "right after");
        assert!(quiet.wants_look(soon, || false));
        assert!(!quiet.wants_look(soon, || false));
    }

    #[test]
    fn who_is_doubted_is_looked_at_however_soon() {
        let (mut quiet, now) = trusted();
        quiet.doubt();
        assert!(quiet.wants_look(now, || false));
        assert!(!quiet.wants_look(now, || false));
        quiet.doubt();
        assert!(quiet.wants_look(now + Duration::from_millis(1), || false));
    }

    #[test]
    fn an_exchange_that_was_left_is_followed_by_a_look() {
        let (mut quiet, now) = trusted();
        quiet.exchange_left();
        assert!(quiet.wants_look(now, || false));
    }
}
