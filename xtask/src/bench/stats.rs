//! What many samples say together.

/// The middle of some samples, and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Summary {
    /// `None` for no samples.
    pub(super) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, low, high })
    }

    /// The ratios of two contestants, each taken within one round, so that what disturbed a whole round falls out.
    pub(super) fn of_ratios(samples: &[f64], reference: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = samples.iter().zip(reference).map(|(sample, reference)| sample / reference).collect();
        Self::of(&ratios)
    }

    /// The ranges have nothing in common: with five samples each, chance alone does this in 1 of 126 cases; with three
    /// each, in 1 of 10.
    pub(super) fn is_apart_from(&self, other: &Self) -> bool {
        self.high < other.low || other.high < self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[3.0]), Some(Summary { median: 3.0, low: 3.0, high: 3.0 }));
        assert_eq!(Summary::of(&[9.0, 1.0, 2.0]), Some(Summary { median: 2.0, low: 1.0, high: 9.0 }));
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 9.0]), Some(Summary { median: 3.0, low: 1.0, high: 9.0 }));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The second round was ten times slower for both.
        let ratios = Summary::of_ratios(&[2.0, 20.0, 3.0], &[1.0, 10.0, 1.0]).unwrap();
        assert_eq!(ratios, Summary { median: 2.0, low: 2.0, high: 3.0 });
        assert_eq!(Summary::of_ratios(&[1.0], &[]), None);
    }

    #[test]
    fn ranges_apart() {
        let range = |low, high| Summary { median: low, low, high };
        assert!(range(1.0, 2.0).is_apart_from(&range(2.1, 3.0)));
        assert!(range(2.1, 3.0).is_apart_from(&range(1.0, 2.0)));
        assert!(!range(1.0, 2.0).is_apart_from(&range(2.0, 3.0)));
        assert!(!range(1.0, 4.0).is_apart_from(&range(2.0, 3.0)));
    }
}
