//! The outcome of a suite as a table for a terminal.

use std::fmt;

use super::report::{Entry, Group, Report};
use super::stats::Summary;

impl fmt::Display for Report {
    /// One table a group. Ratios are the entry's figure by the reference's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}: {}", self.suite, self.about)?;
        for note in &self.notes {
            writeln!(f, "- {note}")?;
        }
        let names = self.groups.iter().flat_map(|group| &group.entries).map(|entry| entry.name.chars().count());
        let width = 2 + names.chain(self.groups.iter().map(|group| group.name.chars().count())).max().unwrap_or(0);
        self.groups.iter().try_for_each(|group| group.write(f, width))
    }
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        let counted = self.entries.iter().any(|entry| entry.instructions.is_some());
        let heading = format!("{}, median and range", self.unit.symbol());
        let mut line = format!("\n{:width$} {heading:>26}", self.name);
        for reference in &self.references {
            line += &format!("   {:>20}", format!("of {reference}'s"));
        }
        if counted {
            line += &format!("   {:>17}", "instructions");
        }
        writeln!(f, "{}", line.trim_end())?;
        for entry in &self.entries {
            line = format!("  {:1$}", entry.name, width - 2);
            line += &match Summary::of(&entry.samples) {
                Some(Summary { median, low, high }) => {
                    let range = format!("{}–{}", self.unit.show(low), self.unit.show(high));
                    format!(" {:>9} {range:>16}", self.unit.show(median))
                }
                None => format!(" {:26}", ""),
            };
            for reference in &self.references {
                // As wide as its heading.
                let width = (reference.chars().count() + 5).max(20) - 9;
                line += &match self.ratio(entry, reference) {
                    Some(Summary { median, low, high }) => {
                        format!("   {median:>8.2} {:>width$}", format!("{low:.2}–{high:.2}"))
                    }
                    None if reference == &entry.name => format!("   {:>8} {:width$}", "1", ""),
                    None => format!("   {:>8} {:width$}", "", ""),
                };
            }
            if counted {
                line += &format!("   {:>17}", self.instructions(entry));
            }
            if !entry.note.is_empty() {
                line += &format!("   {}", entry.note);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::super::unit::Unit;

    #[test]
    fn the_table() {
        let mut report = report(
            &["raw", "hyper"],
            &[
                ("raw", &[1000.0, 1200.0, 900.0]),
                ("hyper", &[2000.0, 3000.0, 120_000.0]),
                ("new", &[500.0, 1500.0, 600.0]),
            ],
        );
        report.groups[0].unit = Unit::PerSecond;
        report.notes.push("no nginx".into());
        let table = report.to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[..4], ["", "duo: 3 rounds", "- no nginx", ""]);
        for (line, words) in [
            (4, "unix, same 1/s, median and range of raw's of hyper's"),
            (5, "raw 1.00 k 900–1.20 k 1 0.40 0.01–0.50"),
            (6, "hyper 3.00 k 2.00 k–120 k 2.50 2.00–133.33 1"),
        ] {
            assert_eq!(lines[line].split_whitespace().collect::<Vec<_>>().join(" "), words, "{table}");
        }
    }

    #[test]
    fn instructions_and_what_was_called() {
        let mut report = report(&["raw"], &[("raw", &[40.0]), ("new", &[30.0])]);
        report.groups[0].unit = Unit::Nanoseconds;
        let [raw, new] = &mut report.groups[0].entries[..] else { panic!() };
        (raw.instructions, new.instructions, new.note) = (Some(800.0), Some(600.4), "parse()".into());
        let table = report.to_string();
        let words = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(4), "raw 40.0 40.0–40.0 1 800");
        assert_eq!(words(5), "new 30.0 30.0–30.0 0.75 0.75–0.75 600 0.75 parse()");
    }
}
