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
//!   go_on() ── false ──▶ sleep
//!      │ true     ▲
//!      ▼          │ none
//!   yield the core, if it is time to; look at the socket ── input ──▶ found()
//! ```
//!
//! The yield is part of the rule. Without it a peer on the same core could not answer; and how long it takes tells
//! whether somebody else wants the core. So each wait begins with one. But it takes longer than a look, and who yields
//! does not see what comes meanwhile: the looks that follow are [without one](Poller::yields), save each eighth, and the
//! one after a turn.
//!
//! A driver that finds its input by looking never returns to its runtime, where others wait: so now and then
//! [a turn is over](Poller::is_turn_over). The driver tells of each [message](Poller::message), and when a turn
//! [begins](Poller::begin_turn).
//!
//! That looks find something does not say that they pay: a peer on the same core may wake twice a round because this side
//! did not sleep. So now and then a poller [compares](Poller::is_comparing): some rounds look, some sleep, and the driver
//! tells [how long each took](Poller::round) when its input has come. One that does not tell is not held to it.

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
    /// After 512 fruitful waits, and then more and more seldom, six in a row sleep, to see how long a round trip takes
    /// that way. If that is less than one and a half times as long, 245 more do; and if it is shorter in the end, 2,048
    /// waits sleep before it is compared again, and up to 32,768 later.
    #[default]
    Adaptive,
    /// Looks for up to so long at every wait, four seconds at most, whether or not it bears fruit or pays: for peers that
    /// answer after a known time. It too gives way to others who want the core.
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
/// assert!(poller.go_on(|| micros(1)) && poller.yields());
/// assert!(poller.go_on(|| micros(2)) && !poller.yields());
/// poller.found(|| micros(3));
///
/// // It stops doing so: this wait sleeps after 20 µs, and the next one at once.
/// let mut now = 100;
/// let mut look = |poller: &mut Poller| {
///     let began = now;
///     while poller.go_on(|| micros(now)) {
///         now += 1;
///     }
///     now - began
/// };
/// assert!(poller.begin());
/// assert_eq!(look(&mut poller), 24);
/// assert!(!poller.begin());
/// assert!(poller.begin());
/// assert_eq!(look(&mut poller), 40);
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
    /// How many looks followed the last yield without another.
    unyielding: u8,
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
    /// A turn has begun since the clock was asked.
    turned: bool,
    comparison: Comparison,
}

impl Poller {
    /// How long an adaptive wait looks: five times what a round trip between two cores takes, so that there is time for
    /// an answer that needs some thought. Less than half of what it costs to wake a core that sleeps.
    pub const WINDOW: Duration = Duration::from_micros(20);
    /// The most that an adaptive wait looks: more than a round trip takes when the peer has to wake.
    pub const WIDEST: Duration = Duration::from_micros(100);
    /// A yield that takes longer, with the looks after it, has let somebody else have the core for good.
    pub const CONTENDED: Duration = Duration::from_micros(200);
    /// How long a turn is, as the clock has it when a driver looks.
    pub const TURN: Duration = Duration::from_micros(100);
    /// How many looks there are for each yield. Where no core has anybody else a yield takes 0.6 µs and a look 0.4, so that
    /// they are some 4 µs, in which nearly all answers come; and where one has, others wait little longer than for a look.
    const LOOKS: u8 = 8;
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
            unyielding: 0,
            skip: 0,
            skipped: 0,
            messages: 0,
            contended: 0,
            calm: 0,
            unlearns,
            looks: false,
            turned: false,
            comparison: Comparison::new(),
        }
    }

    /// A wait begins: whether it is to look before it sleeps. While it is compared some are not.
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

    /// Whether to look, after a yield [if it is time to](Self::yields). If it was asked before during this wait, the look
    /// has found nothing.
    ///
    /// The clock is asked only about yields. Times are counted from any moment that stays the same during a wait; where it
    /// stays the same during a turn, what is done between two waits is a part of the turn.
    #[inline]
    pub fn go_on(&mut self, clock: impl FnOnce() -> Duration) -> bool {
        if !self.looks {
            (self.looks, self.turned, self.waited, self.unyielding) = (true, false, 0, 0);
            let nanos = clock().as_nanos() as u64;
            if self.messages > 0 {
                // What was done with the message before. Less than it took, where the caller counts anew at each wait.
                self.turn = self.turn.saturating_add(capped(nanos.saturating_sub(self.yielded)));
            }
            self.yielded = nanos;
        } else if !self.turned && self.unyielding + 1 < Self::LOOKS {
            self.unyielding += 1;
            return true;
        } else {
            (self.turned, self.unyielding) = (false, 0);
            if self.is_contended(clock()) {
                return false;
            }
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

    /// Whether the core is to be yielded before the look that is to come.
    #[inline]
    pub const fn yields(&self) -> bool {
        self.unyielding == 0
    }

    /// A look has found input. The clock is asked where it followed a yield, which may have been a long one.
    #[inline]
    pub fn found(&mut self, clock: impl FnOnce() -> Duration) {
        if self.yields() && self.is_contended(clock()) {
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

    /// What was waited for has come, whether or not it was looked for, so long after what was waited for before; or the
    /// response has, so long after its request was begun. To be told where it is [asked for](Self::is_comparing).
    pub fn round(&mut self, took: Duration) {
        let looked = core::mem::take(&mut self.looks);
        if let Some(sleep) = self.comparison.round(nanos(took), looked) {
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
        // What others took is not to be added up over several looks, and may have been long.
        self.turned = true;
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
mod tests;
