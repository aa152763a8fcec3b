//! Competitive spinning: decides whether, and for how long, a driver busy-polls its socket before it blocks. The module
//! itself has no socket and no clock.
//!
//! Waking a sleeping core takes 10 to 50 µs, which is up to ten times as long as an HTTP round trip between two cores.
//! A side that spins reads its non-blocking socket again and again, and gets the answer without this wake-up. Suppose
//! that a side spins for as long as blocking would cost, and then blocks. Its cost is then at most twice the cost of a
//! side that knows in advance when the input arrives, and chooses the cheaper of spinning and blocking (Karlin, Li,
//! Manasse, Owicki: "Empirical studies of competitive spinning", SOSP 1991). This module adds four rules to the
//! textbook's rule:
//!
//! 1. **Yield while spinning.** The driver calls `sched_yield` before the first read and before every eighth read after
//!    it. So a peer on the same core can answer. The driver does not yield before every read, because a yield takes 1.5
//!    times as long as a read, and delays input that arrives meanwhile.
//! 2. **Stop when other threads want the core.** A yield that takes longer than [`CONTENDED`] shows that another thread
//!    ran. The next 511 waits then block at once. After each further yield of this kind, about twice as many waits
//!    block at once, up to 8,191.
//! 3. **Back off.** After a spin in which nothing arrived, the next wait blocks at once. After each further such spin,
//!    more waits block at once: 3, then 7, up to 255. Each such spin also doubles the length of the next one, up to
//!    [`LONGEST`], because a peer that blocks too needs time to wake. After a successful spin, the next spin may last
//!    twice as long as that spin took, but at least [`WINDOW`] and at most [`LONGEST`].
//! 4. **Let other tasks run.** A driver that always finds its input by spinning would never return to its runtime.
//!    After the time [`TURN`], or after 32 messages, the driver lets the other tasks of its runtime run.
//!
//! ```text
//!   begin() ── false ──▶ block
//!      │ true
//!      ▼
//!   step() ── Block ───▶ block
//!      │ Yield, RunOthers, Read   ▲
//!      ▼                          │ nothing
//!   yield if told to; read the socket ── input ──▶ found()
//! ```

use core::time::Duration;

/// The shortest time for which an adaptive spinner spins, in nanoseconds: about as long as five round trips between two
/// cores, or as waking a core.
const WINDOW: u64 = 20_000;
/// The longest time for which an adaptive spinner spins, in nanoseconds. It is longer than a round trip in which both
/// cores have to wake.
const LONGEST: u64 = 100_000;
/// If a yield and the reads after it take longer than this number of nanoseconds, another thread must have run. If no
/// other thread wants the core, a yield takes about 1 µs.
const CONTENDED: u64 = 200_000;
/// The time for which a driver may keep its thread, in nanoseconds. So another task waits for the thread at most about
/// as long as waking a core takes.
const TURN: u64 = 50_000;
/// The number of messages for which a driver may keep its thread.
const TURN_MESSAGES: u8 = 32;
/// The number of reads per yield.
const READS: u8 = 8;
/// The highest back-off level after spins in which nothing arrived: 2⁸ - 1 waits block at once.
const FRUITLESS_LEVEL: u8 = 8;
/// The highest back-off level after contention: 2¹³ - 1 waits block at once. A spin under contention costs a time slice
/// of some milliseconds. Spread over so many waits, the cost is small.
const CONTENDED_LEVEL: u8 = 13;

/// The way in which a driver waits for its next message. The server and both clients have an option of this type. The
/// option affects only latency and CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spin {
    /// Blocks at once. Suitable for distant peers, and for machines that must save energy.
    Off,
    /// Spins for 20 to 100 µs before blocking, backs off when nothing arrives in that time, and stops when other
    /// threads want the core. The default.
    #[default]
    Adaptive,
    /// Spins for up to this time at every wait, and never longer than four seconds. Unlike `Adaptive`, does not back
    /// off when nothing arrives. Like `Adaptive`, stops when other threads want the core. Suitable for peers that
    /// answer after a known time.
    Fixed(Duration),
}

/// The next action of a driver that spins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Yield the core (`std::thread::yield_now`), then read without blocking.
    Yield,
    /// Let the other tasks of the runtime run, then read without blocking. A driver without a runtime yields the core.
    RunOthers,
    /// Read without blocking.
    Read,
    /// Block until there is input.
    Block,
}

/// The state of competitive spinning on one connection.
///
/// ```
/// use core::time::Duration;
///
/// use degu_wire::{Spin, Spinner, Step};
///
/// let mut spinner = Spinner::new(Spin::Adaptive);
/// let micros = Duration::from_micros;
///
/// // The peer answers fast: the wait ends while it spins.
/// assert!(spinner.begin());
/// assert_eq!(spinner.step(|| micros(1)), Step::Yield);
/// assert_eq!(spinner.step(|| micros(2)), Step::Read);
/// spinner.found(|| micros(3));
///
/// // The peer stops answering: this wait blocks after 20 µs, and the next one at once.
/// assert!(spinner.begin());
/// let mut now = 10;
/// while spinner.step(|| micros(now)) != Step::Block {
///     now += 1;
/// }
/// assert!(!spinner.begin());
/// ```
#[derive(Clone, Debug)]
pub struct Spinner {
    /// The time at which the driver was last told to yield. `None` after the next reading of the clock, which measures
    /// the yield, and after other tasks had the thread. All times are in nanoseconds, on the driver's clock.
    yielded: Option<u64>,
    /// The time for which the next spin may last.
    window: u64,
    /// The time of this wait's first step, and of the last reading of the clock; `None` before the first step.
    wait: Option<(u64, u64)>,
    /// The beginning of the driver's turn; `None` while other tasks may have the thread.
    turn: Option<u64>,
    /// The number of messages in this turn.
    messages: u8,
    /// The number of reads since the last yield.
    reads: u8,
    /// The number of further waits that block at once.
    skip: u16,
    /// The back-off level *n*. A spin without input and a long yield raise the level, and the next 2ⁿ − 1 waits block
    /// at once. A successful spin lowers the level.
    level: u8,
    is_adaptive: bool,
}

impl Spinner {
    /// Returns a spinner for a new connection.
    pub const fn new(spin: Spin) -> Self {
        let (window, is_adaptive) = match spin {
            Spin::Off => (0, false),
            Spin::Adaptive => (WINDOW, true),
            Spin::Fixed(window) if window.as_secs() < 4 => (window.as_nanos() as u64, false),
            Spin::Fixed(_) => (4_000_000_000, false),
        };
        Self { yielded: None, window, wait: None, turn: None, messages: 0, reads: 0, skip: 0, level: 0, is_adaptive }
    }

    /// Begins a wait. If the result is `true`, the driver calls [`step`](Self::step). If the result is `false`, the
    /// driver blocks at once.
    #[inline]
    pub const fn begin(&mut self) -> bool {
        self.wait = None;
        if self.window > 0 && self.skip == 0 {
            return true;
        }
        self.skip = self.skip.saturating_sub(1);
        self.turn = None;
        false
    }

    /// Returns the next step of a wait that spins. The driver calls this method again if the last read found nothing.
    ///
    /// `clock` returns the time since a fixed moment that the driver chooses. This method calls `clock` at the first
    /// step of a wait, and then at every eighth step.
    #[inline]
    pub fn step(&mut self, clock: impl FnOnce() -> Duration) -> Step {
        if self.wait.is_some() && self.reads + 1 < READS {
            self.reads += 1;
            return Step::Read;
        }
        let now = clock().as_nanos() as u64;
        if self.wait.is_none() {
            (self.wait, self.yielded) = (Some((now, now)), None);
        }
        if self.is_contended(now) {
            return Step::Block;
        }
        if self.spun() >= self.window {
            if self.is_adaptive {
                self.back_off(0, FRUITLESS_LEVEL);
                self.set_window(self.window);
            }
            self.turn = None;
            return Step::Block;
        }
        self.reads = 0;
        if self.messages >= TURN_MESSAGES || now.saturating_sub(*self.turn.get_or_insert(now)) >= TURN {
            self.end_turn();
            return Step::RunOthers;
        }
        self.yielded = Some(now);
        Step::Yield
    }

    /// Ends a wait, because the last read found input.
    #[inline]
    pub fn found(&mut self, clock: impl FnOnce() -> Duration) {
        if self.reads == 0 && self.is_contended(clock().as_nanos() as u64) {
            return;
        }
        self.level = if self.level > FRUITLESS_LEVEL { self.level - 1 } else { 0 };
        if self.is_adaptive {
            self.set_window(self.spun());
        }
    }

    /// Counts a message. Returns whether the driver's turn is over: the driver then lets the other tasks of its runtime
    /// run before it continues. A message also counts if the driver did not spin for it.
    #[inline]
    pub const fn message(&mut self) -> bool {
        self.messages += 1;
        let is_over = self.messages >= TURN_MESSAGES;
        if is_over {
            self.end_turn();
        }
        is_over
    }

    /// Notes that the other tasks of the runtime run now, because the driver's task is pending. The time of these tasks
    /// does not count as contention.
    #[inline]
    pub const fn end_turn(&mut self) {
        self.messages = 0;
        self.turn = None;
        self.yielded = None;
    }

    /// Notes the time. Returns whether the last yield took so long that another thread must have run. If so, also
    /// raises the back-off level, and the next waits block at once.
    fn is_contended(&mut self, now: u64) -> bool {
        if let Some((_, last)) = &mut self.wait {
            *last = now;
        }
        let is_contended = self.yielded.take().is_some_and(|yielded| now.saturating_sub(yielded) > CONTENDED);
        if is_contended {
            self.back_off(FRUITLESS_LEVEL, CONTENDED_LEVEL);
            self.turn = None;
        }
        is_contended
    }

    /// Returns the time for which this wait has spun, including the time in which the driver let other tasks run.
    fn spun(&self) -> u64 {
        self.wait.map_or(0, |(began, last)| last.saturating_sub(began))
    }

    /// Raises the back-off level: from a level below `least` to `least + 1`, and from any other level by one, but never
    /// above `most`. The next 2ⁿ − 1 waits then block at once, where *n* is the new level.
    fn back_off(&mut self, least: u8, most: u8) {
        self.level = (self.level.max(least) + 1).min(most);
        self.skip = (1 << self.level) - 1;
    }

    /// Sets the time for which the next spin may last: twice `spun`, but at least [`WINDOW`] and at most [`LONGEST`].
    fn set_window(&mut self, spun: u64) {
        self.window = spun.saturating_mul(2).clamp(WINDOW, LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spins from `now` on, with a clock that advances by `step` microseconds for each yield, until the spinner blocks.
    /// Returns the length of the spin in microseconds.
    fn spin_in_vain(spinner: &mut Spinner, now: &mut u64, step: u64) -> u64 {
        let began = *now;
        while spinner.step(|| Duration::from_micros(*now)) != Step::Block {
            if spinner.reads == 0 {
                *now += step;
            }
        }
        *now - began
    }

    /// Lets the driver wait until a wait spins. Returns the number of waits that blocked at once.
    fn blocked_waits(spinner: &mut Spinner) -> usize {
        (0..).find(|_| spinner.begin()).unwrap()
    }

    #[test]
    fn fruitless_spins_back_off_exponentially_and_last_longer() {
        let mut spinner = Spinner::new(Spin::Adaptive);
        let mut now = 0;
        let mut seen = std::vec::Vec::new();
        for _ in 0..10 {
            seen.push((blocked_waits(&mut spinner), spin_in_vain(&mut spinner, &mut now, 1)));
        }
        let blocked: std::vec::Vec<usize> = seen.iter().map(|(blocked, _)| *blocked).collect();
        assert_eq!(blocked, [0, 1, 3, 7, 15, 31, 63, 127, 255, 255]);
        assert_eq!(seen[0].1, 20);
        assert!(seen.iter().all(|(_, spun)| *spun <= 150), "{seen:?}");
    }

    #[test]
    fn success_ends_the_back_off_and_sets_the_window() {
        let mut spinner = Spinner::new(Spin::Adaptive);
        let mut now = 0;
        for _ in 0..5 {
            blocked_waits(&mut spinner);
            spin_in_vain(&mut spinner, &mut now, 1);
        }
        blocked_waits(&mut spinner);
        assert_eq!(spinner.step(|| Duration::from_micros(now)), Step::Yield);
        spinner.found(|| Duration::from_micros(now + 30));
        assert_eq!((spinner.level, spinner.window), (0, 60_000));
        assert!(spinner.begin());
    }

    #[test]
    fn a_long_yield_blocks_hundreds_of_waits_and_then_more() {
        let mut spinner = Spinner::new(Spin::Fixed(Duration::from_millis(5)));
        let mut now = 0;
        let blocked: std::vec::Vec<usize> = (0..7)
            .map(|_| {
                let blocked = blocked_waits(&mut spinner);
                spin_in_vain(&mut spinner, &mut now, 4000);
                blocked
            })
            .collect();
        assert_eq!(blocked, [0, 511, 1023, 2047, 4095, 8191, 8191]);
    }

    #[test]
    fn a_driver_gives_way_after_its_turn() {
        let mut spinner = Spinner::new(Spin::Fixed(Duration::from_secs(1)));
        assert!(spinner.begin());
        let steps: std::vec::Vec<(u64, Step)> = (0..130)
            .flat_map(|now| (0..READS).map(move |_| now))
            .map(|now| (now, spinner.step(|| Duration::from_micros(now))))
            .filter(|(_, step)| *step == Step::RunOthers)
            .collect();
        assert_eq!(steps.iter().map(|(now, _)| *now).collect::<std::vec::Vec<u64>>(), [50, 101]);
        assert_eq!((0..64).filter(|_| spinner.message()).count(), 2);
    }

    #[test]
    fn what_others_took_after_giving_way_is_not_contention() {
        let mut spinner = Spinner::new(Spin::Adaptive);
        assert!(spinner.begin());
        (0..TURN_MESSAGES - 1).for_each(|_| assert!(!spinner.message()));
        spinner.messages = TURN_MESSAGES;
        assert_eq!(spinner.step(|| Duration::ZERO), Step::RunOthers);
        spinner.found(|| Duration::from_secs(1));
        assert!(spinner.begin() && spinner.level == 0);
    }

    #[test]
    fn a_wait_that_gives_way_at_each_yield_ends() {
        let mut spinner = Spinner::new(Spin::Adaptive);
        assert!(spinner.begin());
        let mut now = 0;
        while spinner.step(|| Duration::from_micros(now)) != Step::Block {
            spinner.end_turn();
            now += 1;
        }
        assert!(now < 20 * u64::from(READS));
    }

    #[test]
    fn off_never_spins_and_long_fixed_windows_are_bounded() {
        assert!(!Spinner::new(Spin::Off).begin());
        assert_eq!(Spinner::new(Spin::Fixed(Duration::MAX)).window, 4_000_000_000);
    }
}
