//! The outcomes of all exchanges, as Markdown tables.

use std::fmt;

use comfy_table::{Table, presets};
use itertools::Itertools;

/// The outcome of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// The exchange failed for this reason.
    Failed(String),
    /// The peer does not support the exchange, for this reason.
    Skipped(String),
}

/// The exchanges of a client and a server over one kind of address.
#[derive(Debug)]
struct Row {
    client: String,
    server: String,
    address: &'static str,
    /// The names of the exchanges.
    columns: Vec<&'static str>,
    /// The outcome of each exchange, in the order of the columns.
    outcomes: Vec<Outcome>,
}

impl Row {
    /// Returns the name and the role of the side that is not ours.
    fn peer(&self) -> (&str, &'static str) {
        if self.client.starts_with("Degu, ") { (&self.server, "server") } else { (&self.client, "client") }
    }

    fn has_failed(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(_)))
    }
}

/// The results of a run.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    rows: Vec<Row>,
    /// Results of tests that have no exchanges, and the reasons for peers that were left out or failed.
    notes: Vec<String>,
    broken_off: usize,
    left_out: usize,
}

impl Matrix {
    /// Adds a row, and prints its result on stderr, because a run takes minutes. Rows with the same columns become one
    /// table.
    pub(crate) fn add_row(
        &mut self,
        columns: Vec<&'static str>,
        client: &str,
        server: &str,
        address: &str,
        outcomes: Vec<Outcome>,
    ) {
        let row = Row { client: client.into(), server: server.into(), address: kind_of(address), columns, outcomes };
        let result = if row.has_failed() { "FAILED" } else { "ok" };
        eprintln!("{client} to {server}, {}: {result}", row.address);
        self.rows.push(row);
    }

    /// Adds the result of a test that has no exchanges.
    pub(crate) fn note(&mut self, what: &str) {
        eprintln!("{what}");
        self.notes.push(what.into());
    }

    /// Adds a note that a peer is left out.
    pub(crate) fn leave_out(&mut self, peer: &str, why: &str) {
        self.left_out += 1;
        self.notes.push(format!("{peer} is left out: {why} (cargo xtask interop --install)"));
    }

    /// Adds a note that the test of a peer ended with an error.
    pub(crate) fn break_off(&mut self, peer: &str, error: &dyn fmt::Display) {
        self.broken_off += 1;
        self.notes.push(format!("{peer} FAILED: {error}"));
    }

    /// Returns the number of exchanges that failed, plus the number of peers whose test ended with an error.
    pub(crate) fn failed(&self) -> usize {
        let outcomes = self.rows.iter().flat_map(|row| &row.outcomes);
        self.broken_off + outcomes.filter(|outcome| matches!(outcome, Outcome::Failed(_))).count()
    }

    /// Returns whether every peer was tested and every exchange succeeded.
    pub(crate) fn is_whole(&self) -> bool {
        self.failed() == 0 && self.left_out == 0
    }

    /// Returns a table with a line for each peer: the kinds of address over which the exchanges succeed, and the number
    /// of exchanges that the peer supports.
    pub(crate) fn condensed(&self) -> String {
        const KINDS: [&str; 4] = ["IPv4", "IPv6", "Unix", "abstract"];
        let head = ["peer", "as"].into_iter().chain(KINDS).chain(["exchanges"]).map(str::to_owned).collect();
        let lines = self.rows.iter().map(Row::peer).unique().map(|peer| {
            let rows: Vec<_> = self.rows.iter().filter(|row| row.peer() == peer).collect();
            let of_kind = |kind| rows.iter().filter(move |row| row.address == kind);
            let result = |kind| match of_kind(kind).map(|row| row.has_failed()).max() {
                None => "-",
                Some(true) => "FAILED",
                Some(false) => "ok",
            };
            let supported =
                |row: &&Row| row.outcomes.iter().filter(|tried| !matches!(tried, Outcome::Skipped(_))).count();
            let most = rows.iter().map(supported).max().unwrap_or(0);
            let cells = [peer.0, peer.1].into_iter().chain(KINDS.map(result)).map(str::to_owned);
            cells.chain([format!("{most} of {}", rows[0].columns.len())]).collect()
        });
        table(head, lines)
    }

    /// Returns the notes of the run. The failures and the reasons for skipped exchanges come first. Each note appears
    /// once.
    fn notes(&self) -> Vec<String> {
        let of_row = |row: &Row| -> Vec<String> {
            let note = |(exchange, outcome): (&&str, &Outcome)| match outcome {
                Outcome::Ok => None,
                Outcome::Failed(what) => {
                    Some(format!("{} to {}, {}, {exchange} FAILED: {what}", row.client, row.server, row.address))
                }
                Outcome::Skipped(why) => {
                    let same = row.columns.iter().zip(&row.outcomes).filter(|(_, other)| *other == outcome);
                    Some(format!("{}, {}: {why}", row.peer().0, same.map(|(exchange, _)| exchange).join(", ")))
                }
            };
            row.columns.iter().zip(&row.outcomes).filter_map(note).collect()
        };
        self.rows.iter().flat_map(of_row).chain(self.notes.iter().cloned()).unique().collect()
    }
}

fn table(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(head).add_rows(rows);
    format!("{table}\n")
}

/// Parses the outcomes that a program printed for these columns. Each is a line: `NAME ok`, `NAME failed WHAT` or `NAME
/// skipped WHY`.
pub(crate) fn outcomes(columns: &[&'static str], printed: &str) -> Vec<Outcome> {
    let outcome = |exchange: &&str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(*exchange)?.strip_prefix(' '));
        let (word, rest) = line.map_or(("", ""), |line| line.split_once(' ').unwrap_or((line, "")));
        match word {
            "ok" => Outcome::Ok,
            "failed" => Outcome::Failed(rest.into()),
            "skipped" => Outcome::Skipped(rest.into()),
            _ => Outcome::Failed("the program printed no outcome".into()),
        }
    };
    columns.iter().map(outcome).collect()
}

/// Returns the kind of an address: `abstract`, `Unix`, `IPv6` or `IPv4`.
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
        for (number, columns) in self.rows.iter().map(|row| &row.columns).unique().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let head = ["client", "server", "address"].iter().chain(columns).map(|&name| name.to_owned()).collect();
            let rows = self.rows.iter().filter(|row| row.columns == *columns).map(|row| {
                let ends = [&row.client[..], &row.server, row.address];
                let cells = row.outcomes.iter().map(|outcome| match outcome {
                    Outcome::Ok => "ok",
                    Outcome::Failed(_) => "FAILED",
                    Outcome::Skipped(_) => "-",
                });
                ends.into_iter().chain(cells).map(str::to_owned).collect()
            });
            f.write_str(&table(head, rows))?;
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
    use crate::exchanges::ALL;
    use crate::steps::columns;

    fn http(printed: &str) -> Vec<Outcome> {
        outcomes(&columns(ALL), printed)
    }

    #[test]
    fn lines_become_outcomes() {
        let outcomes = http("get ok\n404 failed status 200\nclose skipped it has none\nnoise\nhead what\n");
        assert_eq!(outcomes.len(), ALL.len());
        assert_eq!(outcomes[0], Outcome::Ok);
        assert_eq!(outcomes[1], Outcome::Failed("the program printed no outcome".into()));
        assert_eq!(outcomes[6], Outcome::Skipped("it has none".into()));
        assert_eq!(outcomes[7], Outcome::Failed("status 200".into()));
    }

    #[test]
    fn chunked_and_chunks_are_told_apart() {
        let outcomes = http("chunks ok\nchunked failed x\n");
        assert_eq!((&outcomes[3], &outcomes[8]), (&Outcome::Failed("x".into()), &Outcome::Ok));
    }

    #[test]
    fn a_table_and_its_notes() {
        let mut matrix = Matrix::default();
        matrix.add_row(columns(ALL), "a", "b", "[::1]:5", vec![Outcome::Ok; ALL.len()]);
        assert_eq!(matrix.failed(), 0);
        let mut some = vec![Outcome::Ok; 8];
        some.extend([Outcome::Failed("why".into()), Outcome::Skipped("not there".into())]);
        matrix.add_row(columns(ALL), "a", "c", "unix:@x", some);
        matrix.leave_out("d", "there is no d");
        let mut none = vec![Outcome::Skipped("never".into()); 2];
        none.resize(ALL.len(), Outcome::Ok);
        matrix.add_row(columns(ALL), "Degu, async", "e", "unix:/x", none);
        matrix.break_off("f", &"it ended");
        assert_eq!(matrix.failed(), 2);
        let text = matrix.to_string();
        assert!(text.contains("| a           | b      | IPv6     | ok  |"), "{text}");
        assert!(text.contains("| ok  | FAILED | -          |"), "{text}");
        let notes = "\n- a to c, abstract, chunks FAILED: why\n- a, extensions: not there\n- e, get, head: never\n\
                     - d is left out: there is no d (cargo xtask interop --install)\n- f FAILED: it ended\n";
        assert!(text.ends_with(notes), "{text}");
    }

    #[test]
    fn a_line_for_each_peer() {
        let mut matrix = Matrix::default();
        let ok = vec![Outcome::Ok; ALL.len()];
        let mut some = ok.clone();
        some[9] = Outcome::Skipped("never".into());
        for client in ["Degu, async", "Degu, blocking"] {
            matrix.add_row(columns(ALL), client, "a", "[::1]:5", some.clone());
        }
        some[8] = Outcome::Failed("why".into());
        matrix.add_row(columns(ALL), "Degu, async", "a", "unix:/x", some);
        matrix.add_row(columns(ALL), "a", "Degu", "unix:@x", ok);
        let expected = "\
            | peer | as     | IPv4 | IPv6 | Unix   | abstract | exchanges |\n\
            |------|--------|------|------|--------|----------|-----------|\n\
            | a    | server | -    | ok   | FAILED | -        | 9 of 10   |\n\
            | a    | client | -    | -    | -      | ok       | 10 of 10  |\n";
        assert_eq!(matrix.condensed(), expected);
        assert!(!matrix.is_whole());
    }

    #[test]
    fn rows_of_the_same_columns_are_one_table() {
        let mut matrix = Matrix::default();
        let (some, others) = (vec!["x"], vec!["y", "z"]);
        matrix.add_row(some.clone(), "a", "b", "[::1]:5", vec![Outcome::Ok]);
        matrix.add_row(others, "a", "c", "[::1]:5", vec![Outcome::Ok, Outcome::Failed("why".into())]);
        matrix.add_row(some, "a", "d", "[::1]:5", vec![Outcome::Ok]);
        let expected = "\
            | client | server | address | x  |\n\
            |--------|--------|---------|----|\n\
            | a      | b      | IPv6    | ok |\n\
            | a      | d      | IPv6    | ok |\n\
            \n\
            | client | server | address | y  | z      |\n\
            |--------|--------|---------|----|--------|\n\
            | a      | c      | IPv6    | ok | FAILED |\n\
            \n\
            - a to c, IPv6, z FAILED: why\n";
        assert_eq!(matrix.to_string(), expected);
    }

    #[test]
    fn kinds_of_addresses() {
        let addresses = ["127.0.0.1:5", "[::1]:5", "unix:/x", "unix:@x"];
        assert_eq!(addresses.map(kind_of), ["IPv4", "IPv6", "Unix", "abstract"]);
    }
}
