//! What samples count, and how they are printed.

/// What the samples of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Times, kept in nanoseconds.
    Microseconds,
    /// Times, kept in nanoseconds.
    Nanoseconds,
    /// How often in a second.
    PerSecond,
    /// Octets a second, in millions.
    Megabytes,
    /// Octets, in 1,024.
    Kibibytes,
    /// How many: the same in each run, but for little.
    Count,
    /// The time of one thing by that of another.
    Times,
    /// Of a core's time.
    Percent,
}

impl Unit {
    pub(super) const ALL: [Self; 8] = [
        Self::Microseconds,
        Self::Nanoseconds,
        Self::PerSecond,
        Self::Megabytes,
        Self::Kibibytes,
        Self::Count,
        Self::Times,
        Self::Percent,
    ];

    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
            Self::PerSecond => "1/s",
            Self::Megabytes => "MB/s",
            Self::Kibibytes => "KiB",
            Self::Count => "count",
            Self::Times => "times",
            Self::Percent => "% of a core",
        }
    }

    /// The unit that [`symbol`](Self::symbol) names.
    pub(super) fn named(symbol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.symbol() == symbol)
    }

    /// Whether the larger figure is the better one.
    pub(super) const fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::Megabytes)
    }

    /// How a figure that went down, and one that went up, are called.
    pub(super) const fn less_and_more(self) -> [&'static str; 2] {
        match self {
            Self::Microseconds | Self::Nanoseconds | Self::Times => ["faster", "slower"],
            Self::PerSecond | Self::Megabytes => ["slower", "faster"],
            Self::Kibibytes | Self::Percent => ["smaller", "larger"],
            Self::Count => ["fewer", "more"],
        }
    }

    /// A sample in this unit with about three digits.
    pub(super) fn show(self, sample: f64) -> String {
        let value = match self {
            Self::Microseconds => sample / 1000.0,
            Self::Megabytes => sample / 1e6,
            Self::Kibibytes => sample / 1024.0,
            Self::Nanoseconds | Self::PerSecond | Self::Count | Self::Times | Self::Percent => sample,
        };
        match (self, value) {
            (Self::PerSecond, 10_000.0..) => format!("{:.0} k", value / 1000.0),
            (Self::PerSecond, 1000.0..) => format!("{:.2} k", value / 1000.0),
            (Self::Microseconds | Self::Kibibytes | Self::Times | Self::Percent, ..10.0) => format!("{value:.2}"),
            (Self::Count, 100.0..) => format!("{value:.0}"),
            (_, ..100.0) => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        for (unit, sample, shown) in [
            (Unit::Microseconds, 4321.0, "4.32"),
            (Unit::Microseconds, 43_210.0, "43.2"),
            (Unit::Nanoseconds, 43.21, "43.2"),
            (Unit::Nanoseconds, 432.1, "432"),
            (Unit::PerSecond, 432.1, "432"),
            (Unit::PerSecond, 4321.0, "4.32 k"),
            (Unit::PerSecond, 1_432_100.0, "1432 k"),
            (Unit::Megabytes, 2.5e9, "2500"),
            (Unit::Kibibytes, 1536.0, "1.50"),
            (Unit::Times, 1.021, "1.02"),
            (Unit::Percent, 0.652, "0.65"),
            (Unit::Count, 3.0, "3.0"),
            (Unit::Count, 3300.4, "3300"),
        ] {
            assert_eq!(unit.show(sample), shown, "{unit:?}");
        }
    }

    #[test]
    fn names() {
        for unit in Unit::ALL {
            assert_eq!(Unit::named(unit.symbol()), Some(unit));
        }
        assert_eq!(Unit::named("miles"), None);
    }
}
