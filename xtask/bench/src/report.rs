//! The outcome of a run: samples, as JSON for a later run to compare with and as tables.

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

/// All suites of one run.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    /// Where: processor, kernel, compiler, load.
    pub(crate) machine: String,
    pub(crate) reports: Vec<Report>,
}

/// All samples of one suite.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) suite: String,
    /// What was done, and with which settings.
    pub(crate) about: String,
    /// What was left out or failed, and why: a line each.
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
            Self::PerSecond => "1/s",
            Self::Megabytes => "MB/s",
            Self::Kibibytes => "KiB",
            Self::Count => "count",
            Self::Times => "times",
            Self::Percent => "% of a core",
        }
    }

    pub(crate) const fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::Megabytes)
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
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The samples of an entry as ratios to those of a reference, each taken within one round, so that what disturbed a whole
    /// round falls out.
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

    /// A table for each group. Ratios are the entry's figure by the reference's; `before` is an earlier run.
    pub(crate) fn table(&self, before: Option<&Self>) -> String {
        let mut text = format!("\n{}: {}\n", self.suite, self.about);
        self.notes.iter().for_each(|note| text += &format!("- {note}\n"));
        for group in &self.groups {
            let mut table = Table::new();
            table.load_preset(presets::NOTHING);
            let mut head = vec![group.name.clone(), group.unit.symbol().to_owned(), "range".to_owned()];
            head.extend(group.references.iter().flat_map(|name| [format!("of {name}'s"), "range".to_owned()]));
            head.extend(before.map(|_| "before".to_owned()));
            table.set_header(head);
            let before = before.and_then(|report| report.groups.iter().find(|other| other.name == group.name));
            let median = |entry: &Entry| Summary::of(entry.samples.iter().copied());
            for entry in &group.entries {
                let mut row = vec![format!("  {}", entry.name)];
                let shown = |summary: Option<Summary>, show: &dyn Fn(f64) -> String| {
                    summary.map_or_else(Default::default, |summary| summary.show(show))
                };
                row.extend(shown(median(entry), &|sample| group.unit.show(sample)));
                for reference in &group.references {
                    row.extend(shown(group.ratio(entry, reference), &|ratio| format!("{ratio:.2}")));
                }
                let earlier = before.and_then(|group| median(group.entry(&entry.name)?));
                row.extend(earlier.map(|summary| group.unit.show(summary.median)));
                table.add_row(row);
            }
            table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
            text += &format!("\n{}\n", table.trim_fmt());
        }
        text
    }
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
        let words: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(words, ["hyper", "300", "200–2000", "2.00", "2.00–3.00", "500"]);
    }
}
