//! Whether waits that sleep at once would be over sooner than those that look.
//!
//! ```text
//!   1,024 fruitful waits ─▶ 32 rounds look ─▶ 6 rounds sleep ─┬─ far slower ─────▶ twice as many fruitful waits ─▶ …
//!                             ▲                               │                      ▲
//!                             │                               └▶ 245 more ─┬─────────┘ no faster
//!                             │                                            │
//!                             └──── 2,048 waits sleep, then twice as many ◀┘ faster
//! ```
//!
//! What is compared is the time of a whole round: what the peer does in it and the yields are included, since they are what
//! it is about. The first rounds of a kind do not count, because both sides change their ways with them; and of the others
//! the middle one does, so that a round in which somebody paused says nothing.
//!
//! Between two cores a round that sleeps takes ten times as long, which a few of them show. On one core it takes longer to
//! see: who has yielded is in debt with the scheduler, and is not let in before others when it wakes until that is paid
//! back, which takes some milliseconds. Nor is it in debt before it has yielded some times.

/// What is known so far.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// How many fruitful waits it is until one begins.
    until: u32,
    /// How many in a row ended as the last one did, up to a bound.
    alike: u8,
    /// The last one was in favour of sleeping.
    sleeps: bool,
    stage: Stage,
    /// How many rounds of this stage are over.
    rounds: usize,
    /// How long the last ones took.
    took: [u32; Self::COUNTED],
    /// How long a round takes that looks.
    looked: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    None,
    Looking,
    Sleeping,
    /// Sleeping, and the debt is paid.
    Settled,
}

impl Stage {
    /// How many rounds go before those that count.
    const fn before(self) -> usize {
        match self {
            Self::None | Self::Looking => 27,
            Self::Sleeping => 1,
            Self::Settled => 240,
        }
    }
}

impl Comparison {
    /// How many rounds of each stage count.
    const COUNTED: usize = 5;
    /// How many fruitful waits go before the first one: between two cores ten times as long as that takes.
    const LOOKING: u32 = 1024;
    /// How many waits sleep after the first one that was in favour of it.
    const SLEEPING: u16 = 2048;
    /// So often those numbers are doubled.
    const LOOKING_ALIKE: u8 = 6;
    const SLEEPING_ALIKE: u8 = 4;

    pub(super) const fn new() -> Self {
        Self {
            until: Self::LOOKING,
            alike: 0,
            sleeps: false,
            stage: Stage::None,
            rounds: 0,
            took: [0; Self::COUNTED],
            looked: 0,
        }
    }

    #[inline]
    pub(super) const fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::None)
    }

    /// Whether the next wait is to sleep, so that there is something to compare.
    #[inline]
    pub(super) const fn sleeps(&self) -> bool {
        matches!(self.stage, Stage::Sleeping | Stage::Settled)
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
            self.stage = Stage::None;
            self.until = Self::LOOKING;
        }
    }

    /// A round took so long. How many waits are to sleep now, if that was the last one and sleeping is faster.
    pub(super) fn round(&mut self, took: u32) -> Option<u16> {
        self.took[self.rounds % Self::COUNTED] = took;
        self.rounds += 1;
        if self.rounds < self.stage.before() + Self::COUNTED {
            return None;
        }
        self.took.sort_unstable();
        let took = self.took[Self::COUNTED / 2];
        match self.stage {
            Stage::None => None,
            Stage::Looking => {
                self.looked = took;
                self.begin(Stage::Sleeping)
            }
            Stage::Sleeping if took / 3 < self.looked / 2 => self.begin(Stage::Settled),
            Stage::Sleeping => self.conclude(false),
            Stage::Settled => self.conclude(took < self.looked - self.looked / 32),
        }
    }

    const fn begin(&mut self, stage: Stage) -> Option<u16> {
        (self.stage, self.rounds) = (stage, 0);
        None
    }

    fn conclude(&mut self, sleeps: bool) -> Option<u16> {
        let most = if sleeps { Self::SLEEPING_ALIKE } else { Self::LOOKING_ALIKE };
        self.alike = if sleeps == self.sleeps { (self.alike + 1).min(most) } else { 0 };
        self.sleeps = sleeps;
        self.until = Self::LOOKING << self.alike;
        // When those that sleep are over everything is compared again.
        self.begin(if sleeps { Stage::Looking } else { Stage::None });
        sleeps.then(|| Self::SLEEPING << self.alike)
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
            let took = match comparison.sleeps() {
                false => peer.0,
                true if slept < 200 => peer.1,
                true => peer.2,
            };
            slept += usize::from(comparison.sleeps());
            if let Some(sleep) = comparison.round(took) {
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
        for until in [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 65_536] {
            assert_eq!(fruits(&mut comparison), until);
            assert_eq!(compare(&mut comparison, &Peer(4_800, 36_000, 40_000)), (None, 6));
        }
    }

    #[test]
    fn who_is_faster_asleep_sleeps_and_asks_again() {
        let mut comparison = Comparison::new();
        assert_eq!(fruits(&mut comparison), 1024);
        for sleep in [2048, 4096, 8192, 16_384, 32_768, 32_768] {
            assert_eq!(compare(&mut comparison, &Peer(17_000, 18_000, 12_700)), (Some(sleep), 251));
        }
        // It has moved to another core.
        assert_eq!(compare(&mut comparison, &Peer(5_000, 36_000, 36_000)), (None, 6));
        assert_eq!(fruits(&mut comparison), 1024);
    }

    #[test]
    fn what_is_as_fast_goes_on_as_it_is() {
        let mut comparison = Comparison::new();
        for until in [1024, 2048] {
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
            // Two of each kind that count are ten milliseconds.
            let took = if round % 3 == 0 {
                10_000_000
            } else if comparison.sleeps() {
                40_000
            } else {
                5_000
            };
            assert_eq!(comparison.round(took), None);
        }
        assert_eq!(round, 38);
    }

    #[test]
    fn it_is_given_up_where_looking_changes() {
        let mut comparison = Comparison::new();
        fruits(&mut comparison);
        assert_eq!(comparison.round(1), None);
        comparison.give_up();
        assert!(!comparison.is_under_way() && !comparison.sleeps());
        assert_eq!(fruits(&mut comparison), 1024);
        // Rounds that nobody asked for change nothing.
        comparison.give_up();
        assert_eq!((0..1000).find_map(|_| comparison.round(1)), None);
        // Nor do times that are none.
        assert_eq!(fruits(&mut comparison), 1024);
        assert_eq!(compare(&mut comparison, &Peer(0, 0, 0)), (None, 6));
        assert_eq!(fruits(&mut comparison), 2048);
        assert_eq!(compare(&mut comparison, &Peer(u32::MAX, u32::MAX, u32::MAX)), (None, 251));
    }
}
