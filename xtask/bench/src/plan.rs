//! The measurements of most suites: every contestant under every condition, once in each round.

use std::io::{IsTerminal, Write, stderr};

use crate::Result;
use crate::report::{Entry, Group, Report, Unit};

/// The condition under which all contestants of a group are measured.
#[derive(Clone, Debug)]
pub(crate) struct Condition<S> {
    name: String,
    /// The names of the contestants in the table.
    contestants: Vec<&'static str>,
    /// The names of the contestants with which the others are compared.
    references: &'static [&'static str],
    /// The values that the measurement needs.
    setting: S,
}

impl<S> Condition<S> {
    pub(crate) fn new(
        name: impl Into<String>,
        contestants: impl IntoIterator<Item = &'static str>,
        references: &'static [&'static str],
        setting: S,
    ) -> Self {
        Self { name: name.into(), contestants: contestants.into_iter().collect(), references, setting }
    }
}

/// A figure that a measurement returns: its name, and its unit. The name is empty if the measurement returns only one
/// figure. Each figure of a condition becomes a group of the report.
pub(crate) type Figure = (&'static str, Unit);

/// Measures every contestant under every condition once in each round. Each round begins with another contestant, so no
/// contestant always follows the slowest one. `measure` gets the setting of the condition and the name of the
/// contestant, and returns a sample for each of `figures`. If a contestant fails, its samples are dropped, and it is
/// not measured again under this condition.
pub(crate) fn run<S>(
    suite: &str,
    rounds: usize,
    conditions: &[Condition<S>],
    figures: &[Figure],
    mut measure: impl FnMut(&S, &'static str) -> Result<Vec<f64>>,
) -> Report {
    let mut report = Report { suite: suite.into(), ..Report::default() };
    for Condition { name, contestants, references, .. } in conditions {
        let entry = |name: &&str| Entry { name: (*name).into(), samples: Vec::new() };
        report.groups.extend(figures.iter().map(|(figure, unit)| Group {
            name: if figure.is_empty() { name.clone() } else { format!("{name}: {figure}") },
            unit: *unit,
            references: references.iter().map(|&name| name.into()).collect(),
            entries: contestants.iter().map(entry).collect(),
        }));
    }
    let progress = |text: &str| {
        if stderr().is_terminal() {
            let _ = write!(stderr(), "\r\x1b[K{text}");
        }
    };
    let mut failed = Vec::new();
    for round in 0..rounds {
        for (condition, groups) in conditions.iter().zip(report.groups.chunks_mut(figures.len())) {
            let Condition { name, contestants, setting, .. } = condition;
            progress(&format!("{suite}, round {} of {rounds}, {name}", round + 1));
            for turn in 0..contestants.len() {
                let number = (turn + round) % contestants.len();
                let contestant = contestants[number];
                if failed.contains(&(name, contestant)) {
                    continue;
                }
                let samples = groups.iter_mut().map(|group| &mut group.entries[number].samples);
                match measure(setting, contestant) {
                    Ok(found) => samples.zip(found).for_each(|(all, one)| all.push(one)),
                    Err(error) => {
                        report.notes.push(format!("{name}, {contestant} failed: {error}"));
                        failed.push((name, contestant));
                        // The earlier samples can no longer be compared round by round.
                        samples.for_each(Vec::clear);
                    }
                }
            }
        }
    }
    progress("");
    report.failures = failed.len();
    report.groups.iter_mut().for_each(|group| group.entries.retain(|entry| !entry.samples.is_empty()));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_contestant_is_named_and_left_out() {
        let condition = |name: &str, number: usize| Condition::new(name, ["a", "b", "c"], &["a"], number);
        let (figures, mut turns) = ([("rate", Unit::PerSecond), ("", Unit::Microseconds)], Vec::new());
        let report = run("none", 2, &[condition("x", 0), condition("y", 1)], &figures, |&condition, contestant| {
            turns.push((condition, contestant));
            if (condition, contestant) == (1, "c") {
                Err("no".into())
            } else {
                Ok(vec![condition as f64, contestant.len() as f64])
            }
        });
        assert_eq!(turns[..3], [(0, "a"), (0, "b"), (0, "c")]);
        assert_eq!(turns[6..], [(0, "b"), (0, "c"), (0, "a"), (1, "b"), (1, "a")]);
        assert_eq!((report.notes, report.failures), (vec!["y, c failed: no".to_owned()], 1));
        let names: Vec<&str> = report.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["x: rate", "x", "y: rate", "y"]);
        assert_eq!(report.groups[3].entries.len(), 2);
        assert_eq!(report.groups[2].entry("b").unwrap().samples, [1.0, 1.0]);
    }
}
