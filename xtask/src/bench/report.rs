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
    /// The contestants that the others are compared with.
    pub(super) references: Vec<String>,
    pub(super) groups: Vec<Group>,
}

/// Contestants that did the same under the same conditions.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) entries: Vec<Entry>,
}

/// One contestant.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// One a round, in nanoseconds.
    pub(super) samples: Vec<f64>,
}

impl Group {
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl fmt::Display for Report {
    /// One table a group. A ratio below 1 is faster than the reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\n{}", self.suite, self.about, self.machine)?;
        let names = self.groups.iter().flat_map(|group| &group.entries).map(|entry| entry.name.chars().count());
        let width = 2 + names.chain(self.groups.iter().map(|group| group.name.chars().count())).max().unwrap_or(0);
        for group in &self.groups {
            let mut line = format!("\n{:width$} {:>24}", group.name, "µs, median and range");
            for reference in &self.references {
                line += &format!("   {:>20}", format!("of {reference}'s time"));
            }
            writeln!(f, "{line}")?;
            for entry in &group.entries {
                line = format!("  {:1$}", entry.name, width - 2);
                if let Some(Summary { median, low, high }) = Summary::of(&entry.samples) {
                    line += &format!(" {:>8} {:>15}", micros(median), format!("{}–{}", micros(low), micros(high)));
                }
                for reference in &self.references {
                    let other = group.entry(reference).filter(|reference| reference.name != entry.name);
                    let ratio = other.and_then(|other| Summary::of_ratios(&entry.samples, &other.samples));
                    line += &match ratio {
                        Some(Summary { median, low, high }) => {
                            format!("   {median:>8.2} {:>11}", format!("{low:.2}–{high:.2}"))
                        }
                        None if reference == &entry.name => format!("   {:>8} {:11}", "1", ""),
                        None => format!("   {:>8} {:11}", "", ""),
                    };
                }
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

/// Nanoseconds as microseconds with about three digits.
fn micros(nanoseconds: f64) -> String {
    let micros = nanoseconds / 1000.0;
    match micros {
        ..10.0 => format!("{micros:.2}"),
        ..100.0 => format!("{micros:.1}"),
        _ => format!("{micros:.0}"),
    }
}

impl Report {
    pub(super) fn to_json(&self) -> String {
        let groups: Vec<Value> = self
            .groups
            .iter()
            .map(|group| {
                let entry = |entry: &Entry| json!({ "name": entry.name, "nanoseconds": entry.samples });
                json!({ "name": group.name, "entries": group.entries.iter().map(entry).collect::<Vec<_>>() })
            })
            .collect();
        let report = json!({
            "suite": self.suite,
            "about": self.about,
            "machine": self.machine,
            "references": self.references,
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
                entries.push(Entry { name: string(&entry["name"])?, samples });
            }
            groups.push(Group { name: string(&group["name"])?, entries });
        }
        Ok(Self {
            suite: string(&report["suite"])?,
            about: string(&report["about"])?,
            machine: string(&report["machine"])?,
            references: list(&report["references"])?.iter().map(string).collect::<std::result::Result<_, _>>()?,
            groups,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report of one group, with these contestants and samples.
    pub(in super::super) fn report(references: &[&str], entries: &[(&str, &[f64])]) -> Report {
        let entry = |(name, samples): &(&str, &[f64])| Entry { name: (*name).into(), samples: samples.to_vec() };
        Report {
            suite: "duo".into(),
            about: "3 rounds".into(),
            machine: "a machine".into(),
            references: references.iter().map(|&name| name.into()).collect(),
            groups: vec![Group { name: "unix, same".into(), entries: entries.iter().map(entry).collect() }],
        }
    }

    #[test]
    fn json_and_back() {
        let report = report(&["raw"], &[("raw", &[1.5, 2.0]), ("a → b", &[])]);
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
}
