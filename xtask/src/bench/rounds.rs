//! In which order and for how long contestants are measured.

use std::time::Duration;

/// Less would say nothing.
const SHORTEST: Duration = Duration::from_millis(20);

/// Calls `measure` with round, group and entry, for each entry of each group once a round; `entries` says how many each
/// group has. Each round begins a group with another entry, so that none is always the one after the slowest.
pub(super) fn interleave(rounds: usize, entries: &[usize], mut measure: impl FnMut(usize, usize, usize)) {
    for round in 0..rounds {
        for (group, &entries) in entries.iter().enumerate() {
            for turn in 0..entries {
                measure(round, group, (turn + round) % entries);
            }
        }
    }
}

/// How long one measurement takes, its warm-up not counted: `usual`, or what is there for it in a quick run, in which all
/// measurements together have `quick`. `start` is what a measurement takes beside, for processes to start and end.
pub(super) fn time_each(quick: Option<Duration>, usual: Duration, start: Duration, measurements: usize) -> Duration {
    let Some(quick) = quick else { return usual };
    // The warm-up takes a quarter on top.
    let whole = quick / u32::try_from(measurements.max(1)).unwrap_or(u32::MAX);
    (whole.saturating_sub(start) * 4 / 5).clamp(SHORTEST.min(usual), usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_stays_under_its_bound() {
        let (usual, start) = (Duration::from_millis(300), Duration::from_millis(30));
        let quick = Duration::from_secs(20);
        for measurements in [1, 90, 300] {
            let each = time_each(Some(quick), usual, start, measurements);
            let all = (each * 5 / 4 + start) * u32::try_from(measurements).unwrap();
            assert!(all <= quick, "{measurements}: {all:?}");
        }
        assert_eq!(time_each(None, usual, start, 1000), usual);
        assert_eq!(time_each(Some(quick), usual / 100, start, 1), usual / 100);
        assert_eq!(time_each(Some(quick), usual, start, 10_000), SHORTEST);
    }

    #[test]
    fn everyone_once_a_round() {
        let mut turns = Vec::new();
        interleave(2, &[3, 1], |round, group, entry| {
            turns.push((round, group, entry));
        });
        let expected = [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0), (1, 0, 1), (1, 0, 2), (1, 0, 0), (1, 1, 0)];
        assert_eq!(turns, expected);
    }
}
