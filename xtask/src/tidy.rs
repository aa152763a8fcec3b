//! `cargo xtask tidy`: the house rules that a compiler does not know.
//!
//! Most of them are invariants of absence: what a crate does not depend on, what a source does not mention. Each rule
//! is a function over text or over the graph of crates that returns its [`Finding`]s, and is tested on made-up input.

mod graph;
mod manifest;
mod named;
mod source;
mod strip;

use std::fmt;

use lexopt::Parser;
use xshell::{Shell, cmd};

use crate::Result;
use graph::Graph;
use named::Known;

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file, from the folder of the workspace.
    file: String,
    /// Counted from 1.
    line: usize,
    /// Which rule, and what to do.
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

pub(crate) fn run(shell: &Shell, arguments: Parser) -> Result {
    crate::no_more(arguments)?;
    let metadata = cmd!(shell, "cargo metadata --format-version 1 --all-features").quiet().read()?;
    let graph = Graph::from_json(&metadata)?;
    let mut findings = graph.check();

    let workspace = shell.read_file("Cargo.toml")?;
    // What git tracks or would track: no build results, and no files of an editor.
    let files = cmd!(shell, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    let mut known = Known::default();
    for file in files.lines().filter(|file| shell.path_exists(file)) {
        // What is not UTF-8 is no text, and no rule speaks of it.
        let Ok(text) = String::from_utf8(shell.read_binary_file(file)?) else { continue };
        findings.extend(source::check(file, &text));
        known.add(file, &text);
        // A manifest with a workspace of its own (fuzzing, the program without std), or one that the workspace leaves
        // out, has nothing to inherit.
        let alone = file != "Cargo.toml"
            && (text.lines().any(|line| line == "[workspace]") || manifest::leaves_out(&workspace, file));
        if (file == "Cargo.toml" || file.ends_with("/Cargo.toml")) && !alone {
            findings.extend(manifest::check(file, &text));
        }
    }
    findings.extend(known.check("SECURITY.md", &shell.read_file("SECURITY.md")?));
    for root in graph.roots() {
        findings.extend(source::crate_root(root, &shell.read_file(root)?));
    }

    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    Err(format!("the house rules are broken in {} places", findings.len()).into())
}
