//! What most suites are: conditions, contestants under each, and one or several figures of each measurement.

use super::progress::Progress;
use super::report::{Entry, Group};
use super::rounds::interleave;
use super::unit::Unit;
use crate::Result;

/// What all contestants of a group are measured under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) name: String,
    /// As they are called in the table.
    pub(super) contestants: Vec<String>,
    /// Those of them that the others are compared with.
    pub(super) references: Vec<String>,
}

/// What one measurement yields: a group of the report for each condition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// Put after the condition's name, unless it is empty.
    pub(super) name: &'static str,
    pub(super) unit: Unit,
}

/// The groups of a suite, and what went wrong.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) groups: Vec<Group>,
    /// A line for each contestant that failed, and was left out from then on.
    pub(super) failures: Vec<String>,
}

/// Measures every contestant under every condition once a round. `measure` gets the numbers of the condition and of its
/// contestant, and returns a sample for each of `figures`.
pub(super) fn run(
    suite: &str,
    rounds: usize,
    conditions: &[Condition],
    figures: &[Figure],
    mut measure: impl FnMut(usize, usize) -> Result<Vec<f64>>,
) -> Outcome {
    let entries: Vec<usize> = conditions.iter().map(|condition| condition.contestants.len()).collect();
    let mut progress = Progress::new(entries.iter().sum::<usize>() * rounds);
    let mut samples: Vec<Vec<Vec<Vec<f64>>>> =
        entries.iter().map(|&entries| vec![vec![Vec::new(); figures.len()]; entries]).collect();
    let mut failures: Vec<(usize, usize, String)> = Vec::new();
    interleave(rounds, &entries, |round, group, number| {
        let (condition, contestant) = (&conditions[group].name, &conditions[group].contestants[number]);
        progress.step(&format!("{suite}, round {} of {rounds}, {condition}, {contestant}", round + 1));
        if failures.iter().any(|(failed, entry, _)| (*failed, *entry) == (group, number)) {
            return;
        }
        match measure(group, number) {
            Ok(found) => {
                for (samples, sample) in samples[group][number].iter_mut().zip(found) {
                    samples.push(sample);
                }
            }
            Err(error) => failures.push((group, number, format!("{condition}, {contestant} failed: {error}"))),
        }
    });
    drop(progress);
    // Those of one contestant that failed once can no more be compared round by round.
    for (group, number, _) in &failures {
        samples[*group][*number].iter_mut().for_each(Vec::clear);
    }
    let mut groups = Vec::new();
    for (condition, samples) in conditions.iter().zip(&samples) {
        for (number, figure) in figures.iter().enumerate() {
            let name = match figure.name {
                "" => condition.name.clone(),
                figure => format!("{}: {figure}", condition.name),
            };
            let entries = condition.contestants.iter().zip(samples);
            let entries = entries.map(|(name, samples)| Entry::new(name.clone(), samples[number].clone()));
            groups.push(Group {
                name,
                unit: figure.unit,
                references: condition.references.clone(),
                entries: entries.filter(|entry| !entry.samples.is_empty()).collect(),
            });
        }
    }
    Outcome { groups, failures: failures.into_iter().map(|(_, _, failure)| failure).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_for_each_figure() {
        let condition = |name: &str| Condition {
            name: name.into(),
            contestants: ["a", "b", "c"].map(String::from).into(),
            references: vec!["a".into()],
        };
        let figures = [Figure { name: "rate", unit: Unit::PerSecond }, Figure { name: "", unit: Unit::Microseconds }];
        let mut turns = 0;
        let outcome = run("none", 2, &[condition("x"), condition("y")], &figures, |condition, contestant| {
            turns += 1;
            match (condition, contestant) {
                (1, 2) => Err("no".into()),
                _ => Ok(vec![condition as f64, contestant as f64]),
            }
        });
        // What failed is not tried again.
        assert_eq!(turns, 11);
        assert_eq!(outcome.failures, ["y, c failed: no"]);
        let names: Vec<&str> = outcome.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["x: rate", "x", "y: rate", "y"]);
        let entries: Vec<&str> = outcome.groups[3].entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(entries, ["a", "b"]);
        assert_eq!(outcome.groups[2].entry("b").unwrap().samples, [1.0, 1.0]);
        assert_eq!(outcome.groups[1].entry("b").unwrap().samples, [1.0, 1.0]);
        assert_eq!(outcome.groups[1].unit, Unit::Microseconds);
    }
}
