//! The course of most suites: contestants under several conditions, in turns.

use std::io::{IsTerminal, Write, stderr};

use crate::Result;
use crate::report::{Entry, Group, Report, Unit};

/// The condition under which all contestants of a group are measured.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) name: String,
    /// Their names in the table.
    pub(crate) contestants: Vec<String>,
    /// Those of them that the others are compared with.
    pub(crate) references: Vec<&'static str>,
}

/// One result of a measurement, which gets a group of its own for each condition: its name, if there are several, and unit.
pub(crate) type Figure = (&'static str, Unit);

/// Measures every contestant under every condition once a round; each round begins with another contestant, so that none
/// always follows the slowest. `measure` gets the numbers of the condition and of its contestant, and returns a sample for
/// each of `figures`. A contestant that fails is left out from then on.
pub(crate) fn run(
    suite: &str,
    rounds: usize,
    conditions: &[Condition],
    figures: &[Figure],
    mut measure: impl FnMut(usize, usize) -> Result<Vec<f64>>,
) -> Report {
    let mut report = Report { suite: suite.into(), ..Report::default() };
    let mut samples: Vec<Vec<Vec<Vec<f64>>>> =
        conditions.iter().map(|of| vec![vec![Vec::new(); figures.len()]; of.contestants.len()]).collect();
    let mut failed = Vec::new();
    for round in 0..rounds {
        for (condition, Condition { name, contestants, .. }) in conditions.iter().enumerate() {
            if stderr().is_terminal() {
                let _ = write!(stderr(), "\r\x1b[K{suite}, round {} of {rounds}, {name}", round + 1);
            }
            for turn in 0..contestants.len() {
                let contestant = (turn + round) % contestants.len();
                if failed.contains(&(condition, contestant)) {
                    continue;
                }
                match measure(condition, contestant) {
                    Ok(found) => {
                        samples[condition][contestant].iter_mut().zip(found).for_each(|(all, one)| all.push(one));
                    }
                    Err(error) => {
                        report.notes.push(format!("{name}, {} failed: {error}", contestants[contestant]));
                        failed.push((condition, contestant));
                        // Those of one that failed cannot be compared round by round any more.
                        samples[condition][contestant].iter_mut().for_each(Vec::clear);
                    }
                }
            }
        }
    }
    if stderr().is_terminal() {
        let _ = write!(stderr(), "\r\x1b[K");
    }
    report.failures = failed.len();
    for (condition, samples) in conditions.iter().zip(samples) {
        for (number, (figure, unit)) in figures.iter().enumerate() {
            let entries = condition.contestants.iter().zip(&samples);
            let entries = entries.map(|(name, samples)| Entry { name: name.clone(), samples: samples[number].clone() });
            report.groups.push(Group {
                name: if figure.is_empty() { condition.name.clone() } else { format!("{}: {figure}", condition.name) },
                unit: *unit,
                references: condition.references.iter().map(|&name| name.to_owned()).collect(),
                entries: entries.filter(|entry| !entry.samples.is_empty()).collect(),
            });
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_contestant_is_named_and_left_out() {
        let condition = |name: &str| Condition {
            name: name.into(),
            contestants: ["a", "b", "c"].map(String::from).into(),
            references: vec!["a"],
        };
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
