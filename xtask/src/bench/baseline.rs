//! What moved since an earlier run, beyond the noise of both.

use std::fmt;

use super::report::{Report, Run};
use super::stats::Summary;
use super::unit::Unit;

/// The entries that two runs have in common.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    compared: usize,
    moved: Vec<Moved>,
}

#[derive(Debug)]
struct Moved {
    suite: String,
    group: String,
    entry: String,
    unit: Unit,
    change: Change,
}

#[derive(Debug)]
enum Change {
    /// A reference, the ratio to it then, and the ratio to it now.
    Ratios(Vec<(String, f64, f64)>),
    /// How many then and now.
    Counts(f64, f64),
    /// Instructions then and now.
    Instructions(f64, f64),
}

/// Instructions of one thread differ by less from one run to the next: what the allocator and the lengths of paths make.
const SAME_WORK: f64 = 0.005;

/// Counts of two ends that wait for each other differ by less, since now and then one of them need not wait; and a tenth
/// is no call and no allocation.
const SAME_COUNT: f64 = 0.05;
const NOTHING: f64 = 0.1;

impl Comparison {
    /// An entry has moved if its ratio to every reference has left the range that the ratio had before, all to the same
    /// side: a reference that was disturbed itself does not move all others. Times are not compared, only ratios; counts
    /// are compared as they are.
    pub(super) fn of(before: &Run, now: &Run) -> Self {
        let mut comparison = Self::default();
        for now in &now.reports {
            if let Some(before) = before.reports.iter().find(|before| before.suite == now.suite) {
                comparison.add(before, now);
            }
        }
        comparison
    }

    fn add(&mut self, before: &Report, now: &Report) {
        for group in &now.groups {
            let Some(group_before) = before.groups.iter().find(|other| other.name == group.name) else { continue };
            for entry in &group.entries {
                let Some(entry_before) = group_before.entry(&entry.name) else { continue };
                let mut moved = |change: Option<Change>| {
                    self.compared += 1;
                    self.moved.extend(change.map(|change| Moved {
                        suite: now.suite.clone(),
                        group: group.name.clone(),
                        entry: entry.name.clone(),
                        unit: group.unit,
                        change,
                    }));
                };
                if let (Some(then), Some(now)) = (entry_before.instructions, entry.instructions) {
                    moved(differ(then, now, SAME_WORK).then_some(Change::Instructions(then, now)));
                }
                if group.unit == Unit::Count {
                    let median = |samples: &[f64]| Summary::of(samples).map(|summary| summary.median);
                    if let (Some(then), Some(now)) = (median(&entry_before.samples), median(&entry.samples)) {
                        moved(differ(then, now, SAME_COUNT).then_some(Change::Counts(then, now)));
                    }
                    continue;
                }
                let (mut ratios, mut sides) = (Vec::new(), Vec::new());
                for reference in group.references.iter().filter(|reference| **reference != entry.name) {
                    let (then, now) = (group_before.ratio(entry_before, reference), group.ratio(entry, reference));
                    if let (Some(then), Some(now)) = (then, now) {
                        ratios.push((reference.clone(), then.median, now.median));
                        let moved =
                            now.is_apart_from(&then) && (now.median - then.median).abs() > then.median * SAME_RATIO;
                        sides.push(moved.then_some(now.median < then.median));
                    }
                }
                if let Some(first) = sides.first() {
                    let all = first.is_some() && sides.iter().all(|side| side == first);
                    moved(all.then_some(Change::Ratios(ratios)));
                }
            }
        }
    }
}

/// A range of a single sample is no range: less than this is never a move.
const SAME_RATIO: f64 = 0.02;

fn differ(then: f64, now: f64, share: f64) -> bool {
    (now - then).abs() > (then * share).max(NOTHING)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nbeside the baseline, {} of {} moved beyond the noise", self.moved.len(), self.compared)?;
        for Moved { suite, group, entry, unit, change } in &self.moved {
            match change {
                Change::Ratios(ratios) => {
                    let less = ratios.iter().all(|(_, then, now)| now < then);
                    let word = unit.less_and_more()[usize::from(!less)];
                    write!(f, "  {word}: {suite}, {group}, {entry}")?;
                    for (number, (reference, then, now)) in ratios.iter().enumerate() {
                        let comma = if number == 0 { ":" } else { "," };
                        write!(f, "{comma} {then:.2} → {now:.2} of {reference}'s")?;
                    }
                    writeln!(f)?;
                }
                Change::Counts(then, now) => {
                    let word = unit.less_and_more()[usize::from(now > then)];
                    writeln!(f, "  {word}: {suite}, {group}, {entry}: {} → {}", unit.show(*then), unit.show(*now))?;
                }
                Change::Instructions(then, now) => {
                    let word = if now < then { "fewer" } else { "more" };
                    writeln!(f, "  {word} instructions: {suite}, {group}, {entry}: {then:.0} → {now:.0}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    const BOTH: &[&str] = &["raw", "hyper"];
    const RAW: (&str, &[f64]) = ("raw", &[10.0, 11.0, 10.0]);
    const HYPER: (&str, &[f64]) = ("hyper", &[20.0, 21.0, 20.0]);

    fn compare(before: &[(&str, &[f64])], now: &[(&str, &[f64])]) -> String {
        compare_reports(report(BOTH, before), report(BOTH, now))
    }

    fn compare_reports(before: Report, now: Report) -> String {
        let run = |report| Run { machine: String::new(), reports: vec![report] };
        Comparison::of(&run(before), &run(now)).to_string()
    }

    #[test]
    fn beyond_the_noise() {
        let before = [RAW, HYPER, ("a", &[15.0, 16.0, 15.0][..]), ("b", &[15.0, 22.0, 15.0])];
        let now = [RAW, HYPER, ("a", &[12.0, 13.0, 12.0][..]), ("b", &[19.0, 20.0, 19.0])];
        assert_eq!(
            compare(&before, &now),
            "\nbeside the baseline, 1 of 4 moved beyond the noise\n  \
             faster: duo, unix, same, a: 1.50 → 1.20 of raw's, 0.75 → 0.60 of hyper's\n"
        );
    }

    #[test]
    fn one_disturbed_reference_moves_nobody_else() {
        let before = [RAW, HYPER, ("a", &[15.0, 16.0, 15.0][..])];
        let now = [("raw", &[30.0, 31.0, 30.0][..]), HYPER, ("a", &[15.0, 16.0, 15.0])];
        assert_eq!(
            compare(&before, &now),
            "\nbeside the baseline, 2 of 3 moved beyond the noise\n  \
             slower: duo, unix, same, raw: 0.50 → 1.50 of hyper's\n  \
             faster: duo, unix, same, hyper: 2.00 → 0.67 of raw's\n"
        );
    }

    #[test]
    fn single_samples_move_by_more_than_a_little() {
        let compared = |now: f64| compare(&[RAW, ("a", &[15.0])], &[RAW, ("a", &[now])]);
        assert!(compared(15.2).contains(" 0 of "));
        assert!(compared(15.5).contains("slower: duo, unix, same, a: 1.50 → 1.55 of raw's"));
    }

    #[test]
    fn what_is_not_in_both() {
        assert!(compare(&[RAW, HYPER], &[RAW, ("a", &[1.0])]).starts_with("\nbeside the baseline, 0 of 0"));
    }

    #[test]
    fn a_rate_that_falls_is_slower() {
        let [mut before, mut now] = [
            report(BOTH, &[RAW, HYPER, ("a", &[15.0, 16.0, 15.0])]),
            report(BOTH, &[RAW, HYPER, ("a", &[12.0, 13.0, 12.0])]),
        ];
        (before.groups[0].unit, now.groups[0].unit) = (Unit::PerSecond, Unit::PerSecond);
        assert!(compare_reports(before, now).contains("\n  slower: duo, unix, same, a: 1.50 → 1.20 of raw's"));
    }

    #[test]
    fn another_suite_is_another_matter() {
        let (before, mut now) = (report(BOTH, &[RAW, HYPER]), report(BOTH, &[RAW, HYPER]));
        now.suite = "other".into();
        assert_eq!(compare_reports(before, now), "\nbeside the baseline, 0 of 0 moved beyond the noise\n");
    }

    #[test]
    fn counts_are_compared_as_they_are() {
        let with = |count: f64| {
            let mut report = report(&["raw"], &[("raw", &[2.0, 2.0]), ("a", &[count])]);
            report.groups[0].unit = Unit::Count;
            report
        };
        assert_eq!(
            compare_reports(with(4.0), with(3.0)),
            "\nbeside the baseline, 1 of 2 moved beyond the noise\n  fewer: duo, unix, same, a: 4.0 → 3.0\n"
        );
        assert!(compare_reports(with(4.0), with(4.09)).contains("0 of 2"));
    }

    #[test]
    fn instructions() {
        let with = |count: f64| {
            let mut report = report(&[], &[("a", &[1.0])]);
            report.groups[0].entries[0].instructions = Some(count);
            report
        };
        assert_eq!(
            compare_reports(with(1000.0), with(1004.0)),
            "\nbeside the baseline, 0 of 1 moved beyond the noise\n"
        );
        assert_eq!(
            compare_reports(with(1000.0), with(990.0)),
            "\nbeside the baseline, 1 of 1 moved beyond the noise\n  \
             fewer instructions: duo, unix, same, a: 1000 → 990\n"
        );
    }
}
