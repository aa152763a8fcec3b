//! The outcome of a suite: a table for a terminal, JSON for a later run to compare with.

use std::fmt;

use serde_json::{Value, json};

use super::stats::Summary;
use crate::Result;

/// All samples of one run of a suite.
#[derive(Debug, PartialEq)]
pub(super) struct Report {
    pub(super) suite: String,
    /// What was done, and with which settings.
    pub(super) about: String,
    /// Where: processor, kernel, compiler, load.
    pub(super) machine: String,
    pub(super) unit: Unit,
    pub(super) groups: Vec<Group>,
}

/// What times are printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Microseconds,
    Nanoseconds,
}

/// Contestants that did the same under the same conditions.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    pub(super) name: String,
    /// The contestants that the others are compared with.
    pub(super) references: Vec<String>,
    pub(super) entries: Vec<Entry>,
}

/// One contestant.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// One a round, in nanoseconds.
    pub(super) samples: Vec<f64>,
    /// Instructions in user space, where they were counted.
    pub(super) instructions: Option<f64>,
    /// What exactly was measured, where the name does not say it.
    pub(super) note: String,
}

impl Entry {
    /// One of which there is no more to say than its times.
    pub(super) fn new(name: String, samples: Vec<f64>) -> Self {
        Self { name, samples, instructions: None, note: String::new() }
    }
}

impl Group {
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl Unit {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
        }
    }

    /// Nanoseconds in this unit with about three digits.
    fn show(self, nanoseconds: f64) -> String {
        let value = match self {
            Self::Microseconds => nanoseconds / 1000.0,
            Self::Nanoseconds => nanoseconds,
        };
        match (self, value) {
            (Self::Microseconds, ..10.0) => format!("{value:.2}"),
            (_, ..100.0) => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        }
    }
}

impl fmt::Display for Report {
    /// One table a group. A ratio below 1 is faster than the reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\n{}", self.suite, self.about, self.machine)?;
        let names = self.groups.iter().flat_map(|group| &group.entries).map(|entry| entry.name.chars().count());
        let width = 2 + names.chain(self.groups.iter().map(|group| group.name.chars().count())).max().unwrap_or(0);
        for group in &self.groups {
            let counted = group.entries.iter().any(|entry| entry.instructions.is_some());
            let mut line =
                format!("\n{:width$} {:>24}", group.name, format!("{}, median and range", self.unit.symbol()));
            for reference in &group.references {
                line += &format!("   {:>20}", format!("of {reference}'s time"));
            }
            if counted {
                line += &format!("   {:>17}", "instructions");
            }
            writeln!(f, "{}", line.trim_end())?;
            for entry in &group.entries {
                line = format!("  {:1$}", entry.name, width - 2);
                line += &match Summary::of(&entry.samples) {
                    Some(Summary { median, low, high }) => {
                        let range = format!("{}–{}", self.unit.show(low), self.unit.show(high));
                        format!(" {:>8} {range:>15}", self.unit.show(median))
                    }
                    None => format!(" {:24}", ""),
                };
                for reference in &group.references {
                    // As wide as its heading.
                    let width = (reference.chars().count() + 10).max(20) - 9;
                    line += &match group.ratio(entry, reference) {
                        Some(Summary { median, low, high }) => {
                            format!("   {median:>8.2} {:>width$}", format!("{low:.2}–{high:.2}"))
                        }
                        None if reference == &entry.name => format!("   {:>8} {:width$}", "1", ""),
                        None => format!("   {:>8} {:width$}", "", ""),
                    };
                }
                if counted {
                    line += &format!("   {:>17}", group.instructions(entry));
                }
                if !entry.note.is_empty() {
                    line += &format!("   {}", entry.note);
                }
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

impl Group {
    /// The time of an entry as a ratio to that of a reference, unless it is that reference.
    pub(super) fn ratio(&self, entry: &Entry, reference: &str) -> Option<Summary> {
        let other = self.entry(reference).filter(|reference| reference.name != entry.name)?;
        Summary::of_ratios(&entry.samples, &other.samples)
    }

    /// The instructions of an entry, and their ratio to those of the first reference.
    fn instructions(&self, entry: &Entry) -> String {
        let Some(count) = entry.instructions else { return String::new() };
        let reference = self.references.first().and_then(|reference| self.entry(reference)?.instructions);
        match reference {
            Some(reference) if self.references.first() != Some(&entry.name) => {
                format!("{count:.0} {:>6.2}", count / reference)
            }
            _ => format!("{count:.0}       "),
        }
    }
}

impl Report {
    pub(super) fn to_json(&self) -> String {
        let groups: Vec<Value> = self
            .groups
            .iter()
            .map(|group| {
                let entry = |entry: &Entry| {
                    json!({
                        "name": entry.name,
                        "nanoseconds": entry.samples,
                        "instructions": entry.instructions,
                        "note": entry.note,
                    })
                };
                json!({
                    "name": group.name,
                    "references": group.references,
                    "entries": group.entries.iter().map(entry).collect::<Vec<_>>(),
                })
            })
            .collect();
        let report = json!({
            "suite": self.suite,
            "about": self.about,
            "machine": self.machine,
            "unit": self.unit.symbol(),
            "groups": groups,
        });
        format!("{report:#}\n")
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// Something is missing or of another type.
    pub(super) fn from_json(text: &str) -> Result<Self> {
        let report: Value = serde_json::from_str(text)?;
        let list = |value: &Value| value.as_array().cloned().ok_or_else(|| format!("{value} is no list"));
        let string = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no string"));
        let mut groups = Vec::new();
        for group in list(&report["groups"])? {
            let mut entries = Vec::new();
            for entry in list(&group["entries"])? {
                let samples = list(&entry["nanoseconds"])?;
                let samples: Option<Vec<f64>> = samples.iter().map(Value::as_f64).collect();
                let samples = samples.ok_or("a sample that is no number")?;
                entries.push(Entry {
                    name: string(&entry["name"])?,
                    samples,
                    instructions: entry["instructions"].as_f64(),
                    note: string(&entry["note"])?,
                });
            }
            let references = list(&group["references"])?.iter().map(string).collect::<std::result::Result<_, _>>()?;
            groups.push(Group { name: string(&group["name"])?, references, entries });
        }
        Ok(Self {
            suite: string(&report["suite"])?,
            about: string(&report["about"])?,
            machine: string(&report["machine"])?,
            unit: match string(&report["unit"])?.as_str() {
                "µs" => Unit::Microseconds,
                "ns" => Unit::Nanoseconds,
                other => return Err(format!("{other} is no unit").into()),
            },
            groups,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report of one group, with these contestants and samples.
    pub(in super::super) fn report(references: &[&str], entries: &[(&str, &[f64])]) -> Report {
        let entry = |(name, samples): &(&str, &[f64])| Entry::new((*name).into(), samples.to_vec());
        Report {
            suite: "duo".into(),
            about: "3 rounds".into(),
            machine: "a machine".into(),
            unit: Unit::Microseconds,
            groups: vec![Group {
                name: "unix, same".into(),
                references: references.iter().map(|&name| name.into()).collect(),
                entries: entries.iter().map(entry).collect(),
            }],
        }
    }

    #[test]
    fn json_and_back() {
        let mut report = report(&["raw"], &[("raw", &[1.5, 2.0]), ("a → b", &[])]);
        report.unit = Unit::Nanoseconds;
        report.groups[0].entries[1].instructions = Some(640.0);
        report.groups[0].entries[1].note = "parse".into();
        assert_eq!(Report::from_json(&report.to_json()).unwrap(), report);
        assert!(Report::from_json("{}").is_err());
        assert!(Report::from_json("").is_err());
    }

    #[test]
    fn the_table() {
        let report = report(
            &["raw", "hyper"],
            &[
                ("raw", &[1000.0, 1200.0, 900.0]),
                ("hyper", &[2000.0, 3000.0, 120_000.0]),
                ("new", &[500.0, 1500.0, 600.0]),
            ],
        );
        let table = report.to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[..3], ["duo: 3 rounds", "a machine", ""]);
        for (line, words) in [
            (4, ["raw", "1.00", "0.90–1.20", "1", "0.40", "0.01–0.50"]),
            (5, ["hyper", "3.00", "2.00–120", "2.50", "2.00–133.33", "1"]),
        ] {
            assert_eq!(lines[line].split_whitespace().collect::<Vec<_>>(), words, "{table}");
        }
    }

    #[test]
    fn instructions_and_what_was_called() {
        let mut report = report(&["raw"], &[("raw", &[40.0]), ("new", &[30.0])]);
        report.unit = Unit::Nanoseconds;
        let [raw, new] = &mut report.groups[0].entries[..] else { panic!() };
        (raw.instructions, new.instructions, new.note) = (Some(800.0), Some(600.4), "parse()".into());
        let table = report.to_string();
        let words = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(4), "raw 40.0 40.0–40.0 1 800");
        assert_eq!(words(5), "new 30.0 30.0–30.0 0.75 0.75–0.75 600 0.75 parse()");
    }
}
