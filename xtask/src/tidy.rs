//! `cargo xtask tidy`: the house rules that neither rustc nor clippy checks.
//!
//! Most rules forbid something: a dependency of a crate, or imports of modules by each other. (The functions that degu-wire
//! must not call are in its `clippy.toml`.) Each rule is a function that returns its [`Finding`]s.

mod circles;
mod graph;
mod lines;
mod named;

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
        findings.extend(lines::check(file, &text));
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
    fn long_files() {
        assert_eq!(too_long("a.rs", &"x\n".repeat(600)), None);
        assert_eq!(too_long("a.rs", &"x\n".repeat(601)).map(|finding| finding.line), Some(601));
    }
}
