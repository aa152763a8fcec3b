//! Whether a wait begins with looking again and again: the rule, without a socket and without a clock.
//!
//! Between two cores a round trip costs the waking of a core that fell asleep, ten times what HTTP costs. A side that
//! looks at its socket for some microseconds before it sleeps is there when the answer comes. That is worth it only while
//! answers do come so fast, and only while nobody else wants the core. So a driver that has to wait asks a [`Poller`]:
//!
//! ```text
//!   begin() ── false ──▶ sleep until there is input
//!      │ true
//!      ▼
//!   go_on(now) ── false ──▶ sleep
//!      │ true       ▲
//!      ▼            │ none
//!   yield the core, look at the socket ── input ──▶ found()
//! ```
//!
//! The yield is part of the rule. Without it a peer on the same core could not answer; and how long it takes tells
//! whether somebody else wants the core.
//!
//! A driver that finds its input by looking never returns to its runtime, where others wait: so now and then
//! [a turn is over](Poller::is_turn_over). The driver tells of each [message](Poller::message), and when a turn
//! [begins](Poller::begin_turn).
//!
//! That looks find something does not say that they pay: a peer on the same core may wake twice a round because this side
//! did not sleep. So now and then a poller [compares](Poller::is_comparing): some rounds look, some sleep, and the driver
//! tells [how long each took](Poller::round).

mod comparison;

use core::time::Duration;

use comparison::Comparison;

/// How a driver waits for the next message: an option of the server and of both clients.
///
/// It is about latency, and about it alone: what is sent and understood is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Polling {
    /// Sleeps at once. For those who count every watt, or whose peers are far away.
    Off,
    /// Looks for up to [20 µs](Poller::WINDOW) before it sleeps, as long as that bears fruit. The default.
    ///
    /// A window in which nothing came is followed by waits that sleep at once, 1 after the first, then 3, 7, up to 255,
    /// and by one of twice the length, up to [100 µs](Poller::WIDEST): long enough for a peer that has to wake. If that
    /// finds something the windows are twice as long as it took, until the peer does not sleep any more either.
    /// A yield that took more than [200 µs](Poller::CONTENDED) says that others want the core, and hundreds of waits sleep
    /// at once, thousands if it happens again.
    /// Now and then, after a thousand fruitful waits and then more and more seldom, six in a row sleep, to see how long a
    /// round trip takes that way. If that comes near, some hundreds do; and if it is faster in the end, thousands sleep
    /// before it is compared again.
    #[default]
    Adaptive,
    /// Looks for up to so long at every wait, four seconds at most, whether or not it bears fruit: for peers that answer
    /// after a known time. It too gives way to others who want the core.
    Fixed(Duration),
}

/// What one connection has learned about waiting.
///
/// ```
/// use std::time::Duration;
///
/// use degu_wire::{Poller, Polling};
///
/// let mut poller = Poller::new(Polling::Adaptive);
/// let micros = Duration::from_micros;
///
/// // The peer answers fast: each wait looks until the answer is there.
/// assert!(poller.begin());
/// assert!(poller.go_on(micros(1)) && poller.go_on(micros(2)));
/// poller.found(micros(3));
///
/// // It stops doing so: this wait sleeps after 20 µs, and the next one at once.
/// assert!(poller.begin());
/// assert!(poller.go_on(micros(100)) && poller.go_on(micros(119)) && !poller.go_on(micros(121)));
/// assert!(!poller.begin());
/// assert!(poller.begin() && poller.go_on(micros(300)) && poller.go_on(micros(339)) && !poller.go_on(micros(341)));
/// ```
#[derive(Clone, Debug)]
pub struct Poller {
    /// When it was yielded last, in nanoseconds, as all times here.
    yielded: u64,
    /// How long a wait looks.
    window: u32,
    /// How long this wait has been looking.
    waited: u32,
    /// How long this turn has been looking, and working between looks.
    turn: u32,
    /// How many waits are to sleep at once.
    skip: u16,
    /// How many waits followed the last fruitless window.
    skipped: u16,
    /// How many messages were taken in this turn.
    messages: u8,
    /// How often others wanted the core, up to a bound; as many looks in a row that found something as a turn has
    /// messages take one back.
    contended: u8,
    calm: u8,
    /// A fruitless window is followed by waits without one.
    unlearns: bool,
    /// This wait has begun to look.
    looks: bool,
    comparison: Comparison,
}

impl Poller {
    /// How long an adaptive wait looks: five times what a round trip between two cores takes, so that there is time for
    /// an answer that needs some thought. Less than half of what it costs to wake a core that sleeps.
    pub const WINDOW: Duration = Duration::from_micros(20);
    /// The most that an adaptive wait looks: more than a round trip takes when the peer has to wake.
    pub const WIDEST: Duration = Duration::from_micros(100);
    /// A yield that takes longer has let somebody else have the core for good.
    pub const CONTENDED: Duration = Duration::from_micros(200);
    /// How long a turn is, as the clock has it when a driver looks.
    pub const TURN: Duration = Duration::from_micros(100);
    /// How many messages a turn has at most.
    const MESSAGES: u8 = 32;
    /// The most waits that follow a fruitless window without one.
    const MOST_SKIPPED: u16 = 255;
    /// How many waits sleep at once after the first yield that showed that others want the core. Twice as many after each
    /// further one, up to [`MOST_CONTENDED`](Self::MOST_CONTENDED) times: what happens once in a while costs little, and
    /// on a busy machine a lost time slice in thousands of waits is nothing.
    const CONTENDED_SKIP: u16 = 512;
    const MOST_CONTENDED: u8 = 4;

    /// A connection that has learned nothing yet.
    pub const fn new(polling: Polling) -> Self {
        let (window, unlearns) = match polling {
            Polling::Off => (Duration::ZERO, false),
            Polling::Adaptive => (Self::WINDOW, true),
            Polling::Fixed(window) => (window, false),
        };
        Self {
            yielded: 0,
            window: nanos(window),
            waited: 0,
            turn: 0,
            skip: 0,
            skipped: 0,
            messages: 0,
            contended: 0,
            calm: 0,
            unlearns,
            looks: false,
            comparison: Comparison::new(),
        }
    }

    /// A wait begins: whether it is to look before it sleeps.
    #[inline]
    pub const fn begin(&mut self) -> bool {
        self.looks = false;
        if self.window == 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        !self.comparison.sleeps()
    }

    /// Whether to yield the core and look, at this time. If it was asked before during this wait, the core was yielded and
    /// the look has found nothing. Times are counted from any moment that stays the same during a wait; where it stays
    /// the same during a turn, what is done between two waits is a part of the turn.
    #[inline]
    pub const fn go_on(&mut self, now: Duration) -> bool {
        if !self.looks {
            (self.looks, self.waited) = (true, 0);
            let nanos = now.as_nanos() as u64;
            if self.messages > 0 {
                // What was done with the message before. Less than it took, where the caller counts anew at each wait.
                self.turn = self.turn.saturating_add(capped(nanos.saturating_sub(self.yielded)));
            }
            self.yielded = nanos;
        } else if self.is_contended(now) {
            return false;
        }
        if self.waited < self.window {
            return true;
        }
        if self.unlearns {
            let more = self.skipped * 2 + 1;
            self.skipped = if more < Self::MOST_SKIPPED { more } else { Self::MOST_SKIPPED };
            self.skip = self.skipped;
            self.set_window(self.window);
            self.comparison.give_up();
        }
        false
    }

    /// A look has found input, at this time. It does not show whether the yield before it was short.
    #[inline]
    pub const fn found(&mut self, now: Duration) {
        if self.is_contended(now) {
            return;
        }
        self.skipped = 0;
        if self.unlearns {
            self.set_window(self.waited);
            self.comparison.fruit();
        }
        self.calm += 1;
        if self.calm == Self::MESSAGES {
            self.calm = 0;
            self.contended = self.contended.saturating_sub(1);
        }
    }

    /// Whether the driver is to tell how long [this round](Self::round) takes.
    #[inline]
    pub const fn is_comparing(&self) -> bool {
        self.comparison.is_under_way() && self.skip == 0
    }

    /// A message has come, whether or not it was looked for, so long after the one before; or the response, so long after
    /// the request was begun. To be told while it is [asked for](Self::is_comparing), and otherwise not.
    pub fn round(&mut self, took: Duration) {
        if let Some(sleep) = self.comparison.round(nanos(took)) {
            self.skip = sleep;
        }
    }

    /// A message was taken, whether or not it was looked for: it counts for [the turn](Self::is_turn_over).
    #[inline]
    pub const fn message(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    /// Whether the driver has kept its thread for long enough, 32 messages or [100 µs](Self::TURN), and is to let
    /// others have theirs before it goes on. The time is known as of the last look.
    #[inline]
    pub const fn is_turn_over(&self) -> bool {
        self.is_turn_longer_than(Self::TURN)
    }

    /// As [`is_turn_over`](Self::is_turn_over), with another time for a driver whose others can wait less long.
    #[inline]
    pub const fn is_turn_longer_than(&self, time: Duration) -> bool {
        self.messages >= Self::MESSAGES || self.turn >= nanos(time)
    }

    /// A turn begins: others had theirs.
    #[inline]
    pub const fn begin_turn(&mut self) {
        self.messages = 0;
        self.turn = 0;
    }

    /// Windows are twice as long as this, within bounds.
    const fn set_window(&mut self, time: u32) {
        let (least, most) = (nanos(Self::WINDOW), nanos(Self::WIDEST));
        self.window = match time.saturating_mul(2) {
            window if window < least => least,
            window if window > most => most,
            window => window,
        };
    }

    /// Counts the yield that has just ended. Whether it says that others want the core: then hundreds of waits sleep at
    /// once.
    const fn is_contended(&mut self, now: Duration) -> bool {
        let now = now.as_nanos() as u64;
        let took = capped(now.saturating_sub(self.yielded));
        self.yielded = now;
        self.waited = self.waited.saturating_add(took);
        self.turn = self.turn.saturating_add(took);
        if took <= nanos(Self::CONTENDED) {
            return false;
        }
        self.calm = 0;
        self.comparison.give_up();
        self.skip = Self::CONTENDED_SKIP << self.contended;
        if self.contended < Self::MOST_CONTENDED {
            self.contended += 1;
        }
        true
    }
}

const fn nanos(time: Duration) -> u32 {
    // A window of centuries must not come out as none.
    let nanos = time.as_nanos();
    capped(if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 })
}

/// Four seconds are as good as for ever.
const fn capped(nanos: u64) -> u32 {
    if nanos > u32::MAX as u64 { u32::MAX } else { nanos as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wait during which looks come at these times, in microseconds: how many there were before it slept.
    fn looks(poller: &mut Poller, times: impl IntoIterator<Item = u64>) -> Option<usize> {
        poller.begin().then(|| times.into_iter().take_while(|&time| poller.go_on(Duration::from_micros(time))).count())
    }

    /// How many waits in a row sleep at once.
    fn slept(poller: &mut Poller) -> usize {
        (0..100_000).take_while(|_| !poller.begin()).count()
    }

    #[test]
    fn off_never_looks() {
        let mut poller = Poller::new(Polling::Off);
        assert!((0..10_000).all(|_| !poller.begin()));
        let mut poller = Poller::new(Polling::Fixed(Duration::ZERO));
        assert!((0..10_000).all(|_| !poller.begin()));
    }

    #[test]
    fn a_window_is_bounded() {
        let mut poller = Poller::new(Polling::Adaptive);
        assert_eq!(looks(&mut poller, 5..), Some(20));
        let mut poller = Poller::new(Polling::Fixed(Duration::from_micros(50)));
        assert_eq!(looks(&mut poller, 5..), Some(50));
        // Whose nanoseconds do not fit into 64 bits.
        assert_eq!(Poller::new(Polling::Fixed(Duration::from_secs(1 << 55))).window, u32::MAX);
    }

    #[test]
    fn fruitless_windows_are_unlearned_up_to_a_bound() {
        let mut poller = Poller::new(Polling::Adaptive);
        let (mut windows, mut waits) = (std::vec::Vec::new(), std::vec::Vec::new());
        for _ in 0..10 {
            windows.push((0..).take_while(|&time| poller.go_on(Duration::from_micros(time))).count());
            waits.push(slept(&mut poller));
        }
        assert_eq!(windows, [20, 40, 80, 100, 100, 100, 100, 100, 100, 100]);
        assert_eq!(waits, [1, 3, 7, 15, 31, 63, 127, 255, 255, 255]);
    }

    #[test]
    fn what_bears_fruit_is_learned_again_at_once() {
        let mut poller = Poller::new(Polling::Adaptive);
        for _ in 0..6 {
            looks(&mut poller, 0..);
            slept(&mut poller);
        }
        assert!(poller.go_on(Duration::ZERO));
        poller.found(Duration::ZERO);
        assert_eq!(slept(&mut poller), 0);
        assert_eq!(looks(&mut poller, 0..), Some(20));
        assert_eq!(slept(&mut poller), 1);
    }

    #[test]
    fn a_peer_that_has_to_wake_is_waited_for_until_it_does_not_sleep_any_more() {
        let mut poller = Poller::new(Polling::Adaptive);
        let micros = Duration::from_micros;
        let found = |poller: &mut Poller, time: u64| {
            let looked = poller.begin() && (0..time).all(|time| poller.go_on(micros(time)));
            poller.found(micros(time));
            looked
        };
        for window in [20, 40] {
            assert_eq!(looks(&mut poller, 0..), Some(window));
            slept(&mut poller);
        }
        assert!((0..1000).all(|_| found(&mut poller, 45)), "it wakes each time, and is found each time");
        assert!(found(&mut poller, 80));
        assert!(found(&mut poller, 4));
        assert_eq!(looks(&mut poller, 0..), Some(20), "it does not sleep any more");
    }

    #[test]
    fn a_fixed_window_is_not_unlearned() {
        let mut poller = Poller::new(Polling::Fixed(Duration::from_micros(30)));
        for _ in 0..100 {
            assert_eq!(looks(&mut poller, 0..), Some(30));
        }
    }

    #[test]
    fn others_who_want_the_core_get_it() {
        for polling in [Polling::Adaptive, Polling::Fixed(Duration::from_millis(10))] {
            let mut poller = Poller::new(polling);
            let skips = [512, 1024, 2048, 4096, 8192, 8192];
            for skip in skips {
                // The last yield took 201 µs.
                for (time, goes_on) in [(0, true), (1, true), (2, true), (203, false)] {
                    assert_eq!(poller.go_on(Duration::from_micros(time)), goes_on);
                }
                assert_eq!(slept(&mut poller), skip);
            }
            // The time between two waits says nothing.
            assert!(poller.go_on(Duration::from_secs(1)));
            // As many messages as make a turn take one back.
            for _ in 0..2 * 32 {
                if poller.is_turn_over() {
                    poller.begin_turn();
                }
                assert!(poller.begin() && poller.go_on(Duration::ZERO));
                poller.found(Duration::from_micros(200));
                poller.message();
            }
            assert!(poller.begin() && poller.go_on(Duration::ZERO) && !poller.go_on(Duration::from_secs(1)));
            assert_eq!(slept(&mut poller), 2048);
        }
    }

    #[test]
    fn others_are_noticed_where_every_look_finds_something() {
        let mut poller = Poller::new(Polling::Adaptive);
        assert!(poller.begin() && poller.go_on(Duration::ZERO));
        poller.found(Duration::from_micros(201));
        assert_eq!(slept(&mut poller), 512);
    }

    #[test]
    fn a_clock_that_goes_backwards_is_no_contention() {
        let mut poller = Poller::new(Polling::Adaptive);
        assert_eq!(looks(&mut poller, [100, 90, 80, 99]), Some(4));
    }

    #[test]
    fn a_turn_is_bounded_in_messages_and_in_time() {
        let mut poller = Poller::new(Polling::Adaptive);
        let mut messages = 0;
        while !poller.is_turn_over() {
            assert!(poller.begin() && poller.go_on(Duration::ZERO));
            poller.found(Duration::ZERO);
            poller.message();
            messages += 1;
        }
        assert_eq!(messages, 32);
        poller.begin_turn();
        assert!(!poller.is_turn_over());

        // A look may find many, and messages that nobody looked for count too.
        (0..31).for_each(|_| poller.message());
        assert!(!poller.is_turn_over());
        poller.message();
        assert!(poller.is_turn_over());
        poller.begin_turn();

        let mut now = Duration::from_secs(3);
        let (looks, works) = (Duration::from_micros(4), Duration::from_micros(3));
        while !poller.is_turn_over() {
            assert!(poller.begin() && poller.go_on(now));
            assert_eq!(poller.is_turn_longer_than(Duration::from_micros(20)), messages - 32 >= 3);
            now += looks;
            poller.found(now);
            poller.message();
            now += works;
            messages += 1;
        }
        assert_eq!(messages, 32 + 15, "15 looks of 4 µs, and 14 times 3 µs of work, are over 100");
    }

    #[test]
    fn whoever_is_faster_asleep_sleeps() {
        let mut poller = Poller::new(Polling::Adaptive);
        let (mut looked, mut slept) = (0, 0);
        for _ in 0..200_000 {
            let looks = poller.begin();
            if looks {
                assert!(poller.go_on(Duration::ZERO));
                poller.found(Duration::from_micros(8));
                looked += 1;
            } else {
                slept += 1;
            }
            if poller.is_comparing() {
                poller.round(Duration::from_micros(if looks { 17 } else { 13 }));
            }
        }
        assert!(looked < 1400, "{looked} looked, {slept} slept");

        // A window that somebody chose is kept to.
        let mut poller = Poller::new(Polling::Fixed(Duration::from_micros(20)));
        for _ in 0..10_000 {
            assert!(poller.begin() && poller.go_on(Duration::ZERO));
            poller.found(Duration::from_micros(8));
            assert!(!poller.is_comparing());
        }
    }

    #[test]
    fn nothing_is_compared_where_others_want_the_core() {
        let mut poller = Poller::new(Polling::Adaptive);
        let found = |poller: &mut Poller, micros| {
            assert!(poller.begin() && poller.go_on(Duration::ZERO));
            poller.found(Duration::from_micros(micros));
        };
        (0..1024).for_each(|_| found(&mut poller, 8));
        assert!(poller.is_comparing());
        found(&mut poller, 201);
        assert!(!poller.is_comparing());
        assert_eq!(slept(&mut poller), 512);
        assert!(!poller.is_comparing());
    }

    /// What looking costs someone who never gets an answer in time.
    #[test]
    fn at_a_hundred_requests_a_second_it_costs_nothing() {
        let mut poller = Poller::new(Polling::Adaptive);
        let waits = 100 * 3600;
        let looking: usize = (0..waits).filter_map(|_| looks(&mut poller, 0..)).sum();
        // Microseconds in an hour.
        assert!((looking as f64) < 3.6e9 * 0.000_1, "{looking} µs");
    }
}
