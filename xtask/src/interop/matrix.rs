//! What came of each exchange, as a table that reads well as it is and as Markdown.

use std::fmt;

/// The exchanges, in the order of the columns. `xtask/interop` performs them.
pub(super) const EXCHANGES: [&str; 10] =
    ["get", "head", "post", "chunked", "large", "keep-alive", "close", "404", "chunks", "extensions"];

/// What came of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    /// With what was wrong.
    Failed(String),
    /// With why it was not tried.
    Skipped(String),
}

/// The exchanges of two ends over one kind of address.
#[derive(Debug)]
struct Row {
    client: String,
    server: String,
    address: String,
    outcomes: Vec<Outcome>,
}

impl Row {
    /// The end that is not ours.
    fn peer(&self) -> &str {
        if self.client.starts_with("Degu, ") { &self.server } else { &self.client }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Matrix {
    rows: Vec<Row>,
    broken_off: Vec<String>,
    left_out: Vec<String>,
}

impl Matrix {
    /// Adds a row, and says so, since a run takes a while. The outcomes have the order of [`EXCHANGES`].
    pub(super) fn add(&mut self, client: &str, server: &str, address: &str, outcomes: Vec<Outcome>) {
        let kind = kind_of(address);
        let failed = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Failed(_))).count();
        eprintln!("{client} to {server}, {kind}: {}", if failed == 0 { "ok" } else { "FAILED" });
        self.rows.push(Row { client: client.into(), server: server.into(), address: kind.into(), outcomes });
    }

    /// Notes that a peer is missing.
    pub(super) fn leave_out(&mut self, peer: &str, why: &str) {
        self.left_out.push(format!("{peer} is left out: {why} (cargo xtask interop --install)"));
    }

    /// Notes that a peer is there but does not work.
    pub(super) fn break_off(&mut self, peer: &str, error: &dyn fmt::Display) {
        self.broken_off.push(format!("{peer} FAILED: {error}"));
    }

    /// How many exchanges failed. A peer that does not work is one.
    pub(super) fn failed(&self) -> usize {
        let outcomes = self.rows.iter().flat_map(|row| &row.outcomes);
        self.broken_off.len() + outcomes.filter(|outcome| matches!(outcome, Outcome::Failed(_))).count()
    }

    /// What failed, and why exchanges were skipped, each said once.
    fn notes(&self) -> Vec<String> {
        let mut notes = self.broken_off.clone();
        for row in &self.rows {
            for (exchange, outcome) in EXCHANGES.iter().zip(&row.outcomes) {
                let note = match outcome {
                    Outcome::Ok => continue,
                    Outcome::Failed(what) => {
                        format!("{} to {}, {}, {exchange} FAILED: {what}", row.client, row.server, row.address)
                    }
                    Outcome::Skipped(why) => {
                        let same = EXCHANGES.iter().zip(&row.outcomes).filter(|(_, other)| *other == outcome);
                        let same: Vec<_> = same.map(|(exchange, _)| *exchange).collect();
                        format!("{}, {}: {why}", row.peer(), same.join(", "))
                    }
                };
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes.extend(self.left_out.iter().cloned());
        notes
    }
}

/// The outcomes that a program printed, a line each: `NAME ok`, `NAME failed WHAT` or `NAME skipped WHY`.
pub(super) fn outcomes(printed: &str) -> Vec<Outcome> {
    let outcome = |exchange: &&str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(exchange)?.strip_prefix(' '));
        let (word, rest) = line.map_or(("", ""), |line| line.split_once(' ').unwrap_or((line, "")));
        match word {
            "ok" => Outcome::Ok,
            "failed" => Outcome::Failed(rest.into()),
            "skipped" => Outcome::Skipped(rest.into()),
            _ => Outcome::Failed("nothing was said of it".into()),
        }
    };
    EXCHANGES.iter().map(outcome).collect()
}

/// The kind of an address in Degu's form.
fn kind_of(address: &str) -> &'static str {
    match address {
        _ if address.starts_with("unix:@") => "abstract",
        _ if address.starts_with("unix:") => "Unix",
        _ if address.starts_with('[') => "IPv6",
        _ => "IPv4",
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = vec![[&["client", "server", "address"][..], &EXCHANGES].concat()];
        for row in &self.rows {
            let mut cells = vec![row.client.as_str(), &row.server, &row.address];
            cells.extend(row.outcomes.iter().map(|outcome| match outcome {
                Outcome::Ok => "ok",
                Outcome::Failed(_) => "FAILED",
                Outcome::Skipped(_) => "-",
            }));
            table.push(cells);
        }
        let widths: Vec<usize> = (0..table[0].len())
            .map(|column| table.iter().map(|cells| cells[column].len()).max().unwrap_or(0))
            .collect();
        for (number, cells) in table.iter().enumerate() {
            for (cell, width) in cells.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                writeln!(f, "|{}", widths.iter().map(|width| format!(" {:-<width$} |", "")).collect::<String>())?;
            }
        }
        let notes = self.notes();
        if !notes.is_empty() {
            writeln!(f)?;
        }
        notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_outcomes() {
        let outcomes = outcomes("get ok\n404 failed status 200\nclose skipped it has none\nnoise\nhead what\n");
        assert_eq!(outcomes.len(), EXCHANGES.len());
        assert_eq!(outcomes[0], Outcome::Ok);
        assert_eq!(outcomes[1], Outcome::Failed("nothing was said of it".into()));
        assert_eq!(outcomes[6], Outcome::Skipped("it has none".into()));
        assert_eq!(outcomes[7], Outcome::Failed("status 200".into()));
    }

    #[test]
    fn chunked_and_chunks_are_told_apart() {
        let outcomes = outcomes("chunks ok\nchunked failed x\n");
        assert_eq!((&outcomes[3], &outcomes[8]), (&Outcome::Failed("x".into()), &Outcome::Ok));
    }

    #[test]
    fn a_table_and_its_notes() {
        let mut matrix = Matrix::default();
        matrix.add("a", "b", "[::1]:5", outcomes(&EXCHANGES.map(|name| format!("{name} ok\n")).concat()));
        assert_eq!(matrix.failed(), 0);
        let mut some = vec![Outcome::Ok; 8];
        some.extend([Outcome::Failed("why".into()), Outcome::Skipped("not there".into())]);
        matrix.add("a", "c", "unix:@x", some);
        matrix.leave_out("d", "there is no d");
        let mut none = vec![Outcome::Skipped("never".into()); 2];
        none.resize(EXCHANGES.len(), Outcome::Ok);
        matrix.add("Degu, async", "e", "unix:/x", none);
        matrix.break_off("f", &"it ended");
        assert_eq!(matrix.failed(), 2);
        let text = matrix.to_string();
        assert!(text.contains("| a           | b      | IPv6     | ok  |"), "{text}");
        assert!(text.contains("| ok  | FAILED | -          |"), "{text}");
        let notes = "\n- f FAILED: it ended\n- a to c, abstract, chunks FAILED: why\n- a, extensions: not there\n\
                     - e, get, head: never\n- d is left out: there is no d \
                     (cargo xtask interop --install)\n";
        assert!(text.ends_with(notes), "{text}");
    }

    #[test]
    fn kinds_of_addresses() {
        let addresses = ["127.0.0.1:5", "[::1]:5", "unix:/x", "unix:@x"];
        assert_eq!(addresses.map(kind_of), ["IPv4", "IPv6", "Unix", "abstract"]);
    }
}
