//! The result of a run: the samples, as JSON and as tables.

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

/// The reports of all suites of a run on one machine.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    /// The processor, the kernel and the compiler.
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

/// The results of several contestants under the same condition.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// The names of the contestants with which the others are compared.
    pub(crate) references: Vec<String>,
    pub(crate) entries: Vec<Entry>,
}

/// A contestant, and its sample from each round.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) samples: Vec<f64>,
}

/// The unit in which samples are shown. Samples of times are in nanoseconds, and samples of memory in bytes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Unit {
    Microseconds,
    Nanoseconds,
    Seconds,
    PerSecond,
    Kibibytes,
    Count,
    /// A ratio.
    Times,
}

/// The median and the range of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    low: f64,
    high: f64,
}

impl Summary {
    /// Summarises the samples. Returns `None` if there are no samples.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = f64::midpoint(*sorted.get(middle)?, sorted[(sorted.len() - 1) / 2]);
        Some(Self { median, low: sorted[0], high: sorted[sorted.len() - 1] })
    }
}

impl Entry {
    pub(crate) fn summary(&self) -> Option<Summary> {
        Summary::of(self.samples.iter().copied())
    }
}

impl Unit {
    /// Returns the symbol of the unit, and the size of the unit, in the unit of the samples.
    const fn symbol_and_size(self) -> (&'static str, f64) {
        match self {
            Self::Microseconds => ("µs", 1000.0),
            Self::Nanoseconds => ("ns", 1.0),
            Self::Seconds => ("s", 1.0),
            Self::PerSecond => ("1/s", 1.0),
            Self::Kibibytes => ("KiB", 1024.0),
            Self::Count => ("count", 1.0),
            Self::Times => ("times", 1.0),
        }
    }

    pub(crate) const fn symbol(self) -> &'static str {
        self.symbol_and_size().0
    }

    /// Formats a sample in this unit with about three digits.
    pub(crate) fn show(self, sample: f64) -> String {
        let value = sample / self.symbol_and_size().1;
        match value {
            ..10.0 if self != Self::Count => format!("{value:.2}"),
            ..100.0 => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        }
    }
}

impl Group {
    /// Returns the group's condition, without the name of the figure.
    pub(crate) fn condition(&self) -> &str {
        self.name.split_once(": ").map_or(&self.name, |(condition, _)| condition)
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        let mut head = vec![self.name.clone(), self.unit.symbol().to_owned(), "range".to_owned()];
        head.extend(self.references.iter().flat_map(|name| [format!("of {name}'s"), "range".to_owned()]));
        table.set_header(head);
        let cells = |unit: Unit, summary: Option<Summary>| match summary {
            Some(Summary { median, low, high }) => {
                [unit.show(median), format!("{}–{}", unit.show(low), unit.show(high))]
            }
            None => Default::default(),
        };
        for entry in &self.entries {
            let ratios = self.references.iter().flat_map(|name| cells(Unit::Times, self.ratio(entry, name)));
            let row = [entry.name.clone()].into_iter().chain(cells(self.unit, entry.summary()));
            table.add_row(row.chain(ratios));
        }
        table
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Returns the ratios of an entry to a reference. Each ratio is of two samples from the same round, so a
    /// disturbance of a whole round has no effect on it.
    pub(crate) fn ratio(&self, entry: &Entry, reference: &str) -> Option<Summary> {
        let reference = self.entry(reference)?;
        let ratios = entry.samples.iter().zip(&reference.samples).map(|(sample, reference)| sample / reference);
        Summary::of(ratios).filter(|ratio| ratio.median.is_finite())
    }
}

impl Report {
    /// Adds the report of another part of the suite.
    pub(crate) fn add(&mut self, other: Self) {
        self.groups.extend(other.groups);
        self.notes.extend(other.notes);
        self.failures += other.failures;
    }

    /// Formats a table for each group. If a condition has more than two groups, one wide table shows all of them.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("\n{}: {}\n", self.suite, self.about);
        self.notes.iter().for_each(|note| text += &format!("- {note}\n"));
        for groups in self.groups.chunk_by(|one, other| one.condition() == other.condition()) {
            let tables = match groups {
                [_, _, _, ..] => vec![wide(groups)],
                _ => groups.iter().map(|group| group.table()).collect(),
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

/// Makes a table with a column for each figure of a condition. The table shows the medians, and the median ratio to the
/// first reference.
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
            let ratio = ratio.map_or_else(String::new, |ratio| format!(" ({})", Unit::Times.show(ratio.median)));
            Some(format!("{}{ratio}", group.unit.show(entry.summary()?.median)))
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
    fn table_has_ratios_within_a_round() {
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
        let table = report(&[200.0, 2000.0, 300.0]).table();
        let words: Vec<&str> =
            table.lines().last().unwrap().split([' ', '|']).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, ["hyper", "300", "200–2000", "2.00", "2.00–3.00"]);
    }
}
