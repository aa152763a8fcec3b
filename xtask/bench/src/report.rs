//! The outcome of a run: samples, as JSON for a later run to compare with and as tables.

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

/// The suites of one machine.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    /// The machine: processor, kernel, compiler.
    pub(crate) machine: String,
    pub(crate) reports: Vec<Report>,
}

/// All samples of one suite.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) suite: String,
    /// The measurement and its settings.
    pub(crate) about: String,
    /// A line for each measurement that was left out or failed, with the reason.
    pub(crate) notes: Vec<String>,
    pub(crate) failures: usize,
    pub(crate) groups: Vec<Group>,
}

/// Contestants that did the same under the same conditions.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// The contestants that the others are compared with.
    pub(crate) references: Vec<String>,
    pub(crate) entries: Vec<Entry>,
}

/// One contestant, with a sample for each round.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) samples: Vec<f64>,
}

/// The unit of samples.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Unit {
    /// Times, kept in nanoseconds.
    Microseconds,
    Nanoseconds,
    Seconds,
    PerSecond,
    /// Bytes a second, in millions.
    Megabytes,
    /// Bytes, in 1,024.
    Kibibytes,
    Count,
    /// The time of one thing by that of another.
    Times,
    /// Of a core's time.
    Percent,
}

/// The median of some samples, and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    low: f64,
    high: f64,
}

impl Summary {
    /// `None` for no samples.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = f64::midpoint(*sorted.get(middle)?, sorted[(sorted.len() - 1) / 2]);
        Some(Self { median, low: sorted[0], high: sorted[sorted.len() - 1] })
    }

    fn show(self, show: impl Fn(f64) -> String) -> [String; 2] {
        [show(self.median), format!("{}–{}", show(self.low), show(self.high))]
    }
}

impl Unit {
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
            Self::Seconds => "s",
            Self::PerSecond => "1/s",
            Self::Megabytes => "MB/s",
            Self::Kibibytes => "KiB",
            Self::Count => "count",
            Self::Times => "times",
            Self::Percent => "% of a core",
        }
    }

    /// A sample in this unit with about three digits.
    pub(crate) fn show(self, sample: f64) -> String {
        let value = match self {
            Self::Microseconds => sample / 1000.0,
            Self::Megabytes => sample / 1e6,
            Self::Kibibytes => sample / 1024.0,
            _ => sample,
        };
        match value {
            ..10.0 if self != Self::Count => format!("{value:.2}"),
            ..100.0 => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        }
    }
}

impl Group {
    /// The condition of a group for one of several figures.
    pub(crate) fn condition(&self) -> &str {
        self.name.split_once(": ").map_or(&self.name, |(condition, _)| condition)
    }

    fn table(&self, before: Option<&Report>) -> Table {
        let mut table = Table::new();
        let mut head = vec![self.name.clone(), self.unit.symbol().to_owned(), "range".to_owned()];
        head.extend(self.references.iter().flat_map(|name| [format!("of {name}'s"), "range".to_owned()]));
        head.extend(before.map(|_| "before".to_owned()));
        table.set_header(head);
        let before = before.and_then(|report| report.groups.iter().find(|other| other.name == self.name));
        for entry in &self.entries {
            let mut row = vec![entry.name.clone()];
            let shown = |summary: Option<Summary>, show: &dyn Fn(f64) -> String| {
                summary.map_or_else(Default::default, |summary| summary.show(show))
            };
            row.extend(shown(median(entry), &|sample| self.unit.show(sample)));
            for reference in &self.references {
                row.extend(shown(self.ratio(entry, reference), &|ratio| format!("{ratio:.2}")));
            }
            let earlier = before.and_then(|group| median(group.entry(&entry.name)?));
            row.extend(earlier.map(|summary| self.unit.show(summary.median)));
            table.add_row(row);
        }
        table
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The samples of an entry as ratios to those of a reference, each taken within one round, so a disturbance of a
    /// whole round has no effect.
    pub(crate) fn ratio(&self, entry: &Entry, reference: &str) -> Option<Summary> {
        let reference = self.entry(reference)?;
        let ratios = entry.samples.iter().zip(&reference.samples).map(|(sample, reference)| sample / reference);
        Summary::of(ratios).filter(|ratio| ratio.median.is_finite())
    }
}

impl Report {
    /// Adds what another part of the suite has measured.
    pub(crate) fn add(&mut self, other: Self) {
        self.groups.extend(other.groups);
        self.notes.extend(other.notes);
        self.failures += other.failures;
    }

    /// A table for each group, or one for all the figures of a condition if there are more than two. Ratios are the entry's
    /// figure by the reference's; `before` is an earlier run.
    pub(crate) fn table(&self, before: Option<&Self>) -> String {
        let mut text = format!("\n{}: {}\n", self.suite, self.about);
        self.notes.iter().for_each(|note| text += &format!("- {note}\n"));
        for groups in self.groups.chunk_by(|one, other| one.condition() == other.condition()) {
            let tables = match groups {
                [_, _, _, ..] => vec![wide(groups)],
                _ => groups.iter().map(|group| group.table(before)).collect(),
            };
            for mut table in tables {
                table.load_preset(presets::ASCII_MARKDOWN);
                table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
                text += &format!("\n{table}\n");
            }
        }
        text
    }
}

impl Run {
    /// Replaces the reports of suites by the reports of the same suites from another run on this machine.
    pub(crate) fn take(&mut self, other: Self) {
        self.reports.retain(|old| other.reports.iter().all(|new| new.suite != old.suite));
        self.reports.extend(other.reports);
    }
}

fn median(entry: &Entry) -> Option<Summary> {
    Summary::of(entry.samples.iter().copied())
}

/// The figures of one condition next to each other: medians, and the median ratio to the first reference.
fn wide(groups: &[Group]) -> Table {
    let mut table = Table::new();
    let reference = groups[0].references.first();
    let about = reference.map_or_else(String::new, |name| format!(" (of {name}'s)"));
    let head = |group: &Group| format!("{}, {}", &group.name[group.condition().len() + 2..], group.unit.symbol());
    table.set_header([format!("{}{about}", groups[0].condition())].into_iter().chain(groups.iter().map(head)));
    for entry in &groups[0].entries {
        let cell = |group: &Group| {
            let entry = group.entry(&entry.name)?;
            let ratio = reference.and_then(|name| group.ratio(entry, name));
            let ratio = ratio.map_or_else(String::new, |ratio| format!(" ({:.2})", ratio.median));
            Some(format!("{}{ratio}", group.unit.show(median(entry)?.median)))
        };
        let cells = groups.iter().map(|group| cell(group).unwrap_or_default());
        table.add_row([entry.name.clone()].into_iter().chain(cells));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_and_an_odd_number() {
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([9.0, 1.0, 2.0]), Some(Summary { median: 2.0, low: 1.0, high: 9.0 }));
        assert_eq!(Summary::of([4.0, 1.0, 2.0, 9.0]), Some(Summary { median: 3.0, low: 1.0, high: 9.0 }));
    }

    #[test]
    fn table_has_ratios_within_a_round_and_the_earlier_median() {
        let entry = |name: &str, samples: &[f64]| Entry { name: name.into(), samples: samples.into() };
        let report = |hyper: &[f64]| Report {
            groups: vec![Group {
                name: "unix".into(),
                unit: Unit::Nanoseconds,
                references: vec!["raw".into()],
                entries: vec![entry("raw", &[100.0, 1000.0, 100.0]), entry("hyper", hyper)],
            }],
            ..Report::default()
        };
        let table = report(&[200.0, 2000.0, 300.0]).table(Some(&report(&[500.0])));
        let words: Vec<&str> =
            table.lines().last().unwrap().split([' ', '|']).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, ["hyper", "300", "200–2000", "2.00", "2.00–3.00", "500"]);
    }
}
