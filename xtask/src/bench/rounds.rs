//! In which order and for how long contestants are measured.

use std::time::Duration;

use crate::Result;

/// What a `--quick` run may take for all measurements together.
const QUICK: Duration = Duration::from_secs(45);

/// Calls `measure` with round, group and entry, for each entry of each group once a round; `entries` says how many each
/// group has. Each round begins a group with another entry, so that none is always the one after the slowest.
pub(super) fn interleave(
    rounds: usize,
    entries: &[usize],
    mut measure: impl FnMut(usize, usize, usize) -> Result,
) -> Result {
    for round in 0..rounds {
        for (group, &entries) in entries.iter().enumerate() {
            for turn in 0..entries {
                measure(round, group, (turn + round) % entries)?;
            }
        }
    }
    Ok(())
}

/// How long one measurement takes, its warm-up not counted: `usual`, or what a quick run has time for.
pub(super) fn time_each(quick: bool, usual: Duration, measurements: usize) -> Duration {
    if !quick {
        return usual;
    }
    // The warm-up takes a quarter on top, and processes start and end.
    let whole = QUICK / u32::try_from(measurements.max(1)).unwrap_or(u32::MAX);
    (whole.saturating_sub(Duration::from_millis(30)) * 4 / 5)
        .clamp(Duration::from_millis(20), Duration::from_millis(200))
        .min(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_stays_under_its_bound() {
        let usual = Duration::from_millis(300);
        for measurements in [1, 90, 300] {
            let each = time_each(true, usual, measurements);
            let all = (each * 5 / 4 + Duration::from_millis(30)) * u32::try_from(measurements).unwrap();
            assert!(all <= QUICK, "{measurements}: {all:?}");
        }
        assert_eq!(time_each(false, usual, 1000), usual);
        assert_eq!(time_each(true, usual / 100, 1), usual / 100);
    }

    #[test]
    fn everyone_once_a_round() {
        let mut turns = Vec::new();
        interleave(2, &[3, 1], |round, group, entry| {
            turns.push((round, group, entry));
            Ok(())
        })
        .unwrap();
        let expected = [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0), (1, 0, 1), (1, 0, 2), (1, 0, 0), (1, 1, 0)];
        assert_eq!(turns, expected);
    }
}
