//! `cargo xtask tidy`: the house rules that neither rustc nor clippy checks.
//!
//! Most rules forbid something: a dependency of a crate, or imports of modules by each other. (The functions that degu-wire
//! must not call are in its `clippy.toml`.) Each rule is a function that returns its [`Finding`]s.

mod circles;
mod graph;
mod named;
mod wording;

use std::collections::BTreeMap;
use std::fmt;

use lexopt::Parser;
use xshell::{Shell, cmd};

use crate::Result;
use named::Known;

/// The longest source file, in lines. Split a longer file.
const MAX_LINES: usize = 600;

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The path of the file, relative to the folder of the workspace.
    file: String,
    /// Counted from 1.
    line: usize,
    /// The rule that is broken, and what to do.
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

pub(crate) fn run(shell: &Shell, arguments: Parser) -> Result {
    crate::no_more(arguments)?;
    let mut findings = graph::check(shell)?;

    // git lists the files that it tracks or would track. Build results are not among them.
    let files = cmd!(shell, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    let (mut known, mut sources) = (Known::default(), BTreeMap::new());
    for file in files.lines().filter(|file| shell.path_exists(file)) {
        // A file that is not UTF-8 is not text, and no rule applies to it.
        let Ok(text) = String::from_utf8(shell.read_binary_file(file)?) else { continue };
        findings.extend(machine_paths(file, &text));
        findings.extend(conflicts(file, &text));
        findings.extend(wording::check(file, &text));
        known.add(file, &text);
        if file.ends_with(".rs") {
            findings.extend(too_long(file, &text));
            sources.insert(file.to_owned(), text);
        }
    }
    findings.extend(known.check("SECURITY.md", &shell.read_file("SECURITY.md")?));
    findings.extend(circles::check(&sources));

    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    Err(format!("{} places break the house rules (see above)", findings.len()).into())
}

/// Finds paths that exist only on one machine.
fn machine_paths(file: &str, text: &str) -> Vec<Finding> {
    // The paths are split here, because this rule reads this file too.
    let folders = [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "work/")];
    let alone = |line: &str, folder: &str| {
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(part))
    };
    let mut findings = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        for folder in folders.iter().filter(|folder| alone(line, folder)) {
            findings.push(Finding {
                file: file.into(),
                line: number,
                message: format!("{folder} exists only on one machine; use a relative path"),
            });
        }
    }
    findings
}

/// Finds markers of merge conflicts. A line of seven `=` may be a heading, so it does not count.
fn conflicts(file: &str, text: &str) -> Option<Finding> {
    let marker = |line: &str| ["<", "|", ">"].iter().any(|mark| line.starts_with(&mark.repeat(7)));
    let message = "a conflict marker; resolve the merge".into();
    text.lines().position(marker).map(|line| Finding { file: file.into(), line: line + 1, message })
}

/// Finds source files that are too long.
fn too_long(file: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let message = format!("the file has {lines} lines; split a file of more than {MAX_LINES} lines");
    (lines > MAX_LINES).then(|| Finding { file: file.into(), line: MAX_LINES + 1, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_machine() {
        let text = format!("a\nsee {0}home/me and\nhttps://example.com{0}home/x\n\"{0}root/x\"\nfile://{0}work/x", "/");
        let lines: Vec<usize> = machine_paths("a.md", &text).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 4, 5]);
    }

    #[test]
    fn conflict_markers() {
        for mark in ["<", "|", ">"].map(|mark| mark.repeat(7)) {
            assert_eq!(conflicts("a.md", &format!("a\n{mark} HEAD\nb")).map(|finding| finding.line), Some(2));
            assert_eq!(conflicts("a.md", &format!("a {mark} HEAD")), None);
        }
    }

    #[test]
    fn long_files() {
        assert_eq!(too_long("a.rs", &"x\n".repeat(600)), None);
        assert_eq!(too_long("a.rs", &"x\n".repeat(601)).map(|finding| finding.line), Some(601));
    }
}
