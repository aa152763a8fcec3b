//! The measurements of most suites: every contestant under every condition, once in each round.

use std::io::{IsTerminal, Write, stderr};

use crate::Result;
use crate::report::{Entry, Group, Report, Unit};

/// The condition under which all contestants of a group are measured.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) name: String,
    /// The names of the contestants in the table.
    pub(crate) contestants: Vec<String>,
    /// The names of the contestants with which the others are compared.
    references: Vec<String>,
}

impl Condition {
    pub(crate) fn new<C: Into<String>>(
        name: impl Into<String>,
        contestants: impl IntoIterator<Item = C>,
        references: &[&str],
    ) -> Self {
        Self {
            name: name.into(),
            contestants: contestants.into_iter().map(C::into).collect(),
            references: references.iter().map(|&name| name.to_owned()).collect(),
        }
    }
}

/// A figure that a measurement returns: its name, and its unit. The name is empty if the measurement returns only one
/// figure. Each figure of a condition becomes a group of the report.
pub(crate) type Figure = (&'static str, Unit);

/// Measures every contestant under every condition once in each round. Each round begins with another contestant, so no
/// contestant always follows the slowest one. `measure` gets the number of the condition and the number of the
/// contestant in it. It returns a sample for each of `figures`. If a contestant fails, its samples are dropped, and it
/// is not measured again under this condition.
pub(crate) fn run(
    suite: &str,
    rounds: usize,
    conditions: &[Condition],
    figures: &[Figure],
    mut measure: impl FnMut(usize, usize) -> Result<Vec<f64>>,
) -> Report {
    let mut report = Report { suite: suite.into(), ..Report::default() };
    for Condition { name, contestants, references } in conditions {
        let entry = |name: &String| Entry { name: name.clone(), samples: Vec::new() };
        report.groups.extend(figures.iter().map(|(figure, unit)| Group {
            name: if figure.is_empty() { name.clone() } else { format!("{name}: {figure}") },
            unit: *unit,
            references: references.clone(),
            entries: contestants.iter().map(entry).collect(),
        }));
    }
    let mut failed = Vec::new();
    for round in 0..rounds {
        let groups = report.groups.chunks_mut(figures.len());
        for ((condition, Condition { name, contestants, .. }), groups) in conditions.iter().enumerate().zip(groups) {
            if stderr().is_terminal() {
                let _ = write!(stderr(), "\r\x1b[K{suite}, round {} of {rounds}, {name}", round + 1);
            }
            for turn in 0..contestants.len() {
                let contestant = (turn + round) % contestants.len();
                if failed.contains(&(condition, contestant)) {
                    continue;
                }
                let samples = groups.iter_mut().map(|group| &mut group.entries[contestant].samples);
                match measure(condition, contestant) {
                    Ok(found) => samples.zip(found).for_each(|(all, one)| all.push(one)),
                    Err(error) => {
                        report.notes.push(format!("{name}, {} failed: {error}", contestants[contestant]));
                        failed.push((condition, contestant));
                        // The earlier samples can no longer be compared round by round.
                        samples.for_each(Vec::clear);
                    }
                }
            }
        }
    }
    if stderr().is_terminal() {
        let _ = write!(stderr(), "\r\x1b[K");
    }
    report.failures = failed.len();
    report.groups.iter_mut().for_each(|group| group.entries.retain(|entry| !entry.samples.is_empty()));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_contestant_is_named_and_left_out() {
        let condition = |name: &str| Condition::new(name, ["a", "b", "c"], &["a"]);
        let (figures, mut turns) = ([("rate", Unit::PerSecond), ("", Unit::Microseconds)], Vec::new());
        let report = run("none", 2, &[condition("x"), condition("y")], &figures, |condition, contestant| {
            turns.push((condition, contestant));
            if (condition, contestant) == (1, 2) {
                Err("no".into())
            } else {
                Ok(vec![condition as f64, contestant as f64])
            }
        });
        assert_eq!(turns[..3], [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(turns[6..], [(0, 1), (0, 2), (0, 0), (1, 1), (1, 0)]);
        assert_eq!((report.notes, report.failures), (vec!["y, c failed: no".to_owned()], 1));
        let names: Vec<&str> = report.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["x: rate", "x", "y: rate", "y"]);
        assert_eq!(report.groups[3].entries.len(), 2);
        assert_eq!(report.groups[2].entry("b").unwrap().samples, [1.0, 1.0]);
    }
}
