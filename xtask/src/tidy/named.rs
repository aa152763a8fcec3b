//! A rule about the tables of SECURITY.md: every test that they name exists.

use std::collections::BTreeSet;

use super::Finding;
use super::lines::function;

/// The corpora of text cases. Their names are also the prefixes of cases in the tables.
const CORPORA: &[&str] = &["requests", "responses", "chunks", "connections"];

/// The beginnings of the lines that make the next function a test. The last one is a macro of the client's tests.
const MARKS: &[&str] = &["#[test]", "#[tokio::test", "case! {"];

/// The names of all tests: functions as `function` and `part::function`, for each part of the path of the file, and cases as
/// `corpus: case`. Cases of whole connections begin with the tested side instead of the corpus.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeSet<String>);

impl Known {
    /// Adds the tests of a file.
    pub(super) fn add(&mut self, file: &str, text: &str) {
        let path = file.rsplit_once('.').map_or(file, |(path, _)| path);
        let stem = path.rsplit('/').next().unwrap_or(path);
        if file.ends_with(".rs") {
            for name in tests(text) {
                self.0.extend(path.split('/').map(|part| format!("{part}::{name}")));
                self.0.insert(name.to_owned());
            }
        } else if file.starts_with("degu-wire/tests/corpus/") && CORPORA.contains(&stem) {
            let names = text.lines().filter_map(|line| line.strip_prefix("= "));
            // After the name there may be a section of an RFC.
            let names = names.map(|name| name.split_once(" (RFC").map_or(name, |(name, _)| name));
            self.0.extend(names.map(|name| match stem {
                "connections" => name.to_owned(),
                _ => format!("{stem}: {name}"),
            }));
        }
    }

    /// Checks the tables whose last column is called `test`: each name in this column must exist.
    pub(super) fn check(&self, file: &str, text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut names_tests = false;
        for (line, number) in text.lines().zip(1..) {
            let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
                names_tests = false;
                continue;
            };
            let cell = row.rsplit('|').next().unwrap_or_default().trim();
            if !names_tests {
                names_tests = cell == "test";
            } else if !cell.starts_with("---") {
                let mut names = cell.split('`').skip(1).step_by(2).peekable();
                let missing = match names.peek() {
                    None => Some("a row names no test".to_owned()),
                    Some(_) => {
                        names.find(|name| !self.0.contains(*name)).map(|name| format!("there is no test `{name}`"))
                    }
                };
                findings.extend(missing.map(|message| Finding { file: file.into(), line: number, message }));
            }
        }
        findings
    }
}

/// Returns the names of the test functions in a source file. Other attributes and comments may follow the mark of a test.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    let mut is_marked = false;
    text.lines().filter_map(move |line| {
        let (start, was_marked) = (line.trim_start(), is_marked);
        let has = |beginnings: &[&str]| beginnings.iter().any(|beginning| start.starts_with(beginning));
        is_marked = has(MARKS) || was_marked && has(&["#[", "//"]);
        function(line).filter(|_| was_marked && !is_marked)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let mut known = Known::default();
        let text = "fn helper() {}\n#[test]\nfn a_bound() {\n    fn inner() {}\n}\n\
            case! {\n    // fn comment\n    #[ignore]\n    fn a_case() {}\n}\n#[tokio::test(x)]\nasync fn a_task() {}\n";
        known.add("degu-a/tests/bounds/suite.rs", text);
        known.add("degu-wire/tests/corpus/requests.txt", "= two hosts (RFC 9112 §3.2)\n> x\n");
        known.add("degu-wire/tests/corpus/connections.txt", "= server: the end\n");
        known.add("elsewhere/requests.txt", "= nowhere\n");
        known
    }

    #[test]
    fn what_is_named_and_known() {
        let table = "| input | test |\n| --- | --- |\n\
            | a | `bounds::a_bound`, `suite::a_bound`, `a_bound`, `a_case`, `a_task` |\n\
            | b | `requests: two hosts` |\n| c | `server: the end` |\n\n| x | y |\n| --- | --- |\n| a | `b` |\n";
        assert_eq!(known().check("S.md", table), []);
    }

    #[test]
    fn what_is_named_and_not_known() {
        for cell in [
            "`a_test`",
            "`helper`",
            "`inner`",
            "`comment`",
            "`other::a_bound`",
            "`requests: nowhere`",
            "`bounds::a_bound`, `x::y`",
            "none",
        ] {
            let table = format!("| input | test |\n| --- | --- |\n| a | {cell} |\n");
            let findings = known().check("S.md", &table);
            assert_eq!((findings.len(), findings[0].line), (1, 3), "{cell}");
        }
    }
}
