//! Whether waits that sleep at once would be over sooner than those that look.
//!
//! ```text
//!     512 fruitful waits ─▶ 32 rounds look ─▶ 6 rounds sleep ─┬─ far slower ─────▶ eight times as many fruitful waits ─▶ …
//!                             ▲                               │                      ▲
//!                             │                               └▶ 245 more ─┬─────────┘ no faster
//!                             │                                            │
//!                             └──── 2,048 waits sleep, then twice as many ◀┘ faster
//! ```
//!
//! Far slower means that a round takes one and a half times as long or more, and faster by a thirty-second. The numbers of
//! waits grow up to 262,144 and 32,768, as long as each comparison says what the one before did, and begin anew where it
//! does not.
//!
//! What is compared is the time of a whole round: what the peer does in it and the yields are included, since they are what
//! it is about. The first rounds of a kind do not count, and of the last five the middle one does, so that a round in
//! which somebody paused says nothing.
//!
//! Between two cores a round that sleeps takes ten times as long, which a few of them show. On one core it takes longer to
//! see: who has yielded often is let in late by Linux's scheduler, until that is paid back, which takes some milliseconds
//! of waits that sleep. And a wait that looks is as fast as ever until a few have yielded.

/// What is known so far.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// How many fruitful waits it is until one begins.
    until: u32,
    /// How many in a row ended as the last one did, up to a bound.
    alike: u8,
    /// The last one was in favour of sleeping.
    favoured_sleep: bool,
    stage: Stage,
    /// How many rounds of this stage are over.
    rounds: u8,
    /// How many waits slept since the last round that was told.
    untold: u8,
    /// How long the last ones took.
    took: [u32; Self::COUNTED as usize],
    /// How long a round takes that looks.
    looked: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Looking,
    Sleeping,
    /// Sleeping, and the debt is paid.
    Settled,
}

impl Stage {
    /// How many rounds go before those that count: until yields are felt, until the peer has noticed, until the debt is
    /// paid, for which a hundred were needed.
    const fn before(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Looking => 27,
            Self::Sleeping => 1,
            Self::Settled => 240,
        }
    }
}

impl Comparison {
    /// How many rounds of each stage count.
    const COUNTED: u8 = 5;
    /// How many fruitful waits go before the first one: between two cores they take ten times as long as the few that sleep.
    const LOOKING: u32 = 512;
    /// How many waits sleep after the first one that was in favour of it.
    const SLEEPING: u16 = 2048;
    /// So often the first number is taken by eight, and the second by two.
    const LOOKING_ALIKE: u8 = 3;
    const SLEEPING_ALIKE: u8 = 4;
    /// A driver that does not tell how long so many rounds took, one after the other, will not tell at all.
    const UNTOLD: u8 = 8;

    pub(super) const fn new() -> Self {
        Self {
            until: Self::LOOKING,
            alike: 0,
            favoured_sleep: false,
            stage: Stage::Idle,
            rounds: 0,
            untold: 0,
            took: [0; Self::COUNTED as usize],
            looked: 0,
        }
    }

    #[inline]
    pub(super) const fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    /// A wait begins: whether it is to sleep, so that there is something to compare.
    #[inline]
    pub(super) const fn sleeps(&mut self) -> bool {
        if !matches!(self.stage, Stage::Sleeping | Stage::Settled) {
            return false;
        }
        self.untold += 1;
        if self.untold > Self::UNTOLD {
            self.give_up();
            return false;
        }
        true
    }

    /// A look has found something.
    #[inline]
    pub(super) const fn fruit(&mut self) {
        if !self.is_under_way() {
            self.until -= 1;
            if self.until == 0 {
                self.begin(Stage::Looking);
            }
        }
    }

    /// Looking has become another thing than it was.
    pub(super) const fn give_up(&mut self) {
        if self.is_under_way() {
            self.stage = Stage::Idle;
            self.until = Self::LOOKING;
        }
    }

    /// A round took so long, and began with looking or did not. How many waits are to sleep now, if that was the last one
    /// and sleeping is faster.
    pub(super) fn round(&mut self, took: u32, looked: bool) -> Option<u16> {
        // Not every wait of a driver is one that might look.
        if !self.is_under_way() || (self.stage == Stage::Looking && !looked) {
            return None;
        }
        self.untold = 0;
        self.took[usize::from(self.rounds % Self::COUNTED)] = took;
        self.rounds += 1;
        if self.rounds < self.stage.before() + Self::COUNTED {
            return None;
        }
        self.took.sort_unstable();
        let took = self.took[self.took.len() / 2];
        match self.stage {
            Stage::Looking => {
                self.looked = took;
                self.begin(Stage::Sleeping);
                None
            }
            Stage::Sleeping if took / 3 < self.looked / 2 => {
                self.begin(Stage::Settled);
                None
            }
            Stage::Settled if took < self.looked - self.looked / 32 => Some(self.conclude(true)),
            _ => {
                self.conclude(false);
                None
            }
        }
    }

    const fn begin(&mut self, stage: Stage) {
        (self.stage, self.rounds, self.untold) = (stage, 0, 0);
    }

    /// How many waits sleep if that is what is to be done.
    fn conclude(&mut self, sleep: bool) -> u16 {
        let most = if sleep { Self::SLEEPING_ALIKE } else { Self::LOOKING_ALIKE };
        self.alike = if sleep == self.favoured_sleep { (self.alike + 1).min(most) } else { 0 };
        self.favoured_sleep = sleep;
        self.until = Self::LOOKING << (3 * self.alike);
        // When those that sleep are over everything is compared again.
        self.begin(if sleep { Stage::Looking } else { Stage::Idle });
        Self::SLEEPING << self.alike.min(Self::SLEEPING_ALIKE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer with which rounds take so long, in nanoseconds: if this side looks; if it has begun to sleep; and if it has
    /// done so for long.
    struct Peer(u32, u32, u32);

    /// How the next comparison ends, and how many rounds of it slept.
    fn compare(comparison: &mut Comparison, peer: &Peer) -> (Option<u16>, usize) {
        let mut slept = 0;
        while comparison.is_under_way() {
            let sleeps = comparison.sleeps();
            let took = match sleeps {
                false => peer.0,
                true if slept < 200 => peer.1,
                true => peer.2,
            };
            slept += usize::from(sleeps);
            if let Some(sleep) = comparison.round(took, !sleeps) {
                return (Some(sleep), slept);
            }
        }
        (None, slept)
    }

    /// How many fruitful waits it is until a comparison begins.
    fn fruits(comparison: &mut Comparison) -> usize {
        (1..)
            .find(|_| {
                comparison.fruit();
                comparison.is_under_way()
            })
            .unwrap()
    }

    #[test]
    fn between_two_cores_a_few_sleep_and_more_and_more_seldom() {
        let mut comparison = Comparison::new();
        for until in [512, 4096, 32_768, 262_144, 262_144] {
            assert_eq!(fruits(&mut comparison), until);
            assert_eq!(compare(&mut comparison, &Peer(4_800, 36_000, 40_000)), (None, 6));
        }
    }

    #[test]
    fn who_is_faster_asleep_sleeps_and_asks_again() {
        let mut comparison = Comparison::new();
        assert_eq!(fruits(&mut comparison), 512);
        for sleep in [2048, 4096, 8192, 16_384, 32_768, 32_768] {
            assert_eq!(compare(&mut comparison, &Peer(17_000, 18_000, 12_700)), (Some(sleep), 251));
        }
        // It has moved to another core.
        assert_eq!(compare(&mut comparison, &Peer(5_000, 36_000, 36_000)), (None, 6));
        assert_eq!(fruits(&mut comparison), 512);
    }

    #[test]
    fn what_is_as_fast_goes_on_as_it_is() {
        let mut comparison = Comparison::new();
        for until in [512, 4096] {
            assert_eq!(fruits(&mut comparison), until);
            assert_eq!(compare(&mut comparison, &Peer(8_000, 9_000, 7_900)), (None, 251));
        }
    }

    #[test]
    fn pauses_say_nothing() {
        let mut comparison = Comparison::new();
        fruits(&mut comparison);
        let mut round = 0;
        while comparison.is_under_way() {
            round += 1;
            let sleeps = comparison.sleeps();
            let took = match round % 5 {
                // Two of the five that count.
                0 | 1 => 10_000_000,
                _ if sleeps => 40_000,
                _ => 5_000,
            };
            assert_eq!(comparison.round(took, !sleeps), None);
        }
        assert_eq!((round, comparison.looked), (38, 5_000));
    }

    #[test]
    fn rounds_that_did_not_look_are_not_taken_for_such() {
        let mut comparison = Comparison::new();
        fruits(&mut comparison);
        for round in 0..63 {
            assert!(!comparison.sleeps());
            let looked = round % 2 == 0;
            assert_eq!(comparison.round(if looked { 5_000 } else { 40_000 }, looked), None);
        }
        assert_eq!((comparison.stage, comparison.looked), (Stage::Sleeping, 5_000));
    }

    #[test]
    fn a_driver_that_does_not_tell_does_not_sleep_for_ever() {
        for told in [0, 3, 100] {
            let mut comparison = Comparison::new();
            fruits(&mut comparison);
            (0..32).for_each(|_| assert_eq!(comparison.round(5_000, true), None));
            let slept = (0..).take_while(|round| {
                let sleeps = comparison.sleeps();
                if *round < told {
                    comparison.round(6_000, false);
                }
                sleeps
            });
            assert_eq!(slept.count(), told + 8);
            assert_eq!(fruits(&mut comparison), 512);
        }
    }

    #[test]
    fn it_is_given_up_where_looking_changes() {
        let mut comparison = Comparison::new();
        fruits(&mut comparison);
        assert_eq!(comparison.round(1, true), None);
        comparison.give_up();
        assert!(!comparison.is_under_way() && !comparison.sleeps());
        assert_eq!(fruits(&mut comparison), 512);
        // Rounds that nobody asked for change nothing.
        comparison.give_up();
        assert_eq!((0..1000).find_map(|_| comparison.round(1, true)), None);
        // Nor do times that are none.
        assert_eq!(fruits(&mut comparison), 512);
        assert_eq!(compare(&mut comparison, &Peer(0, 0, 0)), (None, 6));
        assert_eq!(fruits(&mut comparison), 4096);
        assert_eq!(compare(&mut comparison, &Peer(u32::MAX, u32::MAX, u32::MAX)), (None, 251));
    }
}
