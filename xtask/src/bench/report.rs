//! The outcome of a run: samples, and JSON for a later run to compare with.

use serde_json::{Value, json};

use super::stats::Summary;
use super::unit::Unit;
use crate::Result;

/// All suites of one run.
#[derive(Debug, PartialEq)]
pub(super) struct Run {
    /// Where: processor, kernel, compiler, load.
    pub(super) machine: String,
    pub(super) reports: Vec<Report>,
}

/// All samples of one suite.
#[derive(Debug, PartialEq)]
pub(super) struct Report {
    pub(super) suite: String,
    /// What was done, and with which settings.
    pub(super) about: String,
    /// What was left out or failed, and why: a line each.
    pub(super) notes: Vec<String>,
    /// How many of them failed.
    pub(super) failures: usize,
    pub(super) groups: Vec<Group>,
}

/// Contestants that did the same under the same conditions.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) unit: Unit,
    /// The contestants that the others are compared with.
    pub(super) references: Vec<String>,
    pub(super) entries: Vec<Entry>,
}

/// One contestant.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// One a round.
    pub(super) samples: Vec<f64>,
    /// Instructions in user space, where they were counted beside.
    pub(super) instructions: Option<f64>,
    /// What exactly was measured, where the name does not say it.
    pub(super) note: String,
}

impl Entry {
    /// One of which there is no more to say than its samples.
    pub(super) fn new(name: String, samples: Vec<f64>) -> Self {
        Self { name, samples, instructions: None, note: String::new() }
    }
}

impl Group {
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The samples of an entry as ratios to those of a reference, unless it is that reference, or has none of what is
    /// counted.
    pub(super) fn ratio(&self, entry: &Entry, reference: &str) -> Option<Summary> {
        let other = self.entry(reference).filter(|reference| reference.name != entry.name)?;
        Summary::of_ratios(&entry.samples, &other.samples).filter(|ratio| ratio.median.is_finite())
    }
}

impl Run {
    pub(super) fn to_json(&self) -> String {
        let entry = |entry: &Entry| {
            json!({
                "name": entry.name,
                "samples": entry.samples,
                "instructions": entry.instructions,
                "note": entry.note,
            })
        };
        let group = |group: &Group| {
            json!({
                "name": group.name,
                "unit": group.unit.symbol(),
                "references": group.references,
                "entries": group.entries.iter().map(entry).collect::<Vec<_>>(),
            })
        };
        let report = |report: &Report| {
            json!({
                "suite": report.suite,
                "about": report.about,
                "notes": report.notes,
                "groups": report.groups.iter().map(group).collect::<Vec<_>>(),
            })
        };
        let reports: Vec<Value> = self.reports.iter().map(report).collect();
        format!("{:#}\n", json!({ "machine": self.machine, "suites": reports }))
    }

    /// Reads what [`to_json`](Self::to_json) wrote. Times are in nanoseconds, memory in octets.
    ///
    /// # Errors
    ///
    /// Something is missing or of another type.
    pub(super) fn from_json(text: &str) -> Result<Self> {
        let run: Value = serde_json::from_str(text)?;
        let reports = list(&run["suites"])?.iter().map(Report::from_json).collect::<Result<_>>()?;
        Ok(Self { machine: string(&run["machine"])?, reports })
    }
}

impl Report {
    /// Of a suite that can not run here.
    pub(super) fn left_out(suite: &str, why: &str) -> Self {
        let about = format!("left out: {why}");
        Self { suite: suite.into(), about, notes: Vec::new(), failures: 0, groups: Vec::new() }
    }

    /// Takes ratios to these contestants, in the groups in which one of them is.
    pub(super) fn refer_to(&mut self, names: &[String]) {
        for group in &mut self.groups {
            let there: Vec<String> = names.iter().filter(|name| group.entry(name).is_some()).cloned().collect();
            if !there.is_empty() {
                group.references = there;
            }
        }
    }

    fn from_json(report: &Value) -> Result<Self> {
        Ok(Self {
            suite: string(&report["suite"])?,
            about: string(&report["about"])?,
            notes: strings(&report["notes"])?,
            failures: 0,
            groups: list(&report["groups"])?.iter().map(Group::from_json).collect::<Result<_>>()?,
        })
    }
}

impl Group {
    fn from_json(group: &Value) -> Result<Self> {
        let unit = string(&group["unit"])?;
        Ok(Self {
            name: string(&group["name"])?,
            unit: Unit::named(&unit).ok_or_else(|| format!("{unit} is no unit"))?,
            references: strings(&group["references"])?,
            entries: list(&group["entries"])?.iter().map(Entry::from_json).collect::<Result<_>>()?,
        })
    }
}

impl Entry {
    fn from_json(entry: &Value) -> Result<Self> {
        let samples: Option<Vec<f64>> = list(&entry["samples"])?.iter().map(Value::as_f64).collect();
        Ok(Self {
            name: string(&entry["name"])?,
            samples: samples.ok_or("a sample that is no number")?,
            instructions: entry["instructions"].as_f64(),
            note: string(&entry["note"])?,
        })
    }
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().ok_or_else(|| format!("{value} is no list").into())
}

fn string(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no string").into())
}

fn strings(value: &Value) -> Result<Vec<String>> {
    list(value)?.iter().map(string).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One group with these contestants and samples.
    pub(in super::super) fn report(references: &[&str], entries: &[(&str, &[f64])]) -> Report {
        let entry = |(name, samples): &(&str, &[f64])| Entry::new((*name).into(), samples.to_vec());
        Report {
            suite: "duo".into(),
            about: "3 rounds".into(),
            notes: Vec::new(),
            failures: 0,
            groups: vec![Group {
                name: "unix, same".into(),
                unit: Unit::Microseconds,
                references: references.iter().map(|name| (*name).into()).collect(),
                entries: entries.iter().map(entry).collect(),
            }],
        }
    }

    #[test]
    fn other_references() {
        let mut report = report(&["raw"], &[("raw", &[1.0]), ("hyper", &[2.0])]);
        report.refer_to(&["new".into()]);
        assert_eq!(report.groups[0].references, ["raw"]);
        report.refer_to(&["new".into(), "hyper".into()]);
        assert_eq!(report.groups[0].references, ["hyper"]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut report = report(&["raw"], &[("raw", &[1.0, 2.5]), ("new", &[])]);
        report.groups[0].entries[1].instructions = Some(1234.5);
        report.groups[0].entries[1].note = "parse".into();
        report.notes.push("no nginx".into());
        let run = Run { machine: "a machine".into(), reports: vec![report] };
        assert_eq!(Run::from_json(&run.to_json()).unwrap(), run);
        assert!(Run::from_json("{}").is_err());
        assert!(Run::from_json("").is_err());
        assert!(Run::from_json(&run.to_json().replace("µs", "miles")).is_err());
    }
}
