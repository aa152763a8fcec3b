//! Rules over the text of one file.

use super::Finding;
use super::strip::strip;

/// The longest source file, in lines: what is longer has a seam somewhere.
const MAX_LINES: usize = 600;

/// All rules that hold for the file called `file`, from the folder of the workspace.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = machine_paths(file, text);
    if file.ends_with(".rs") {
        let code = strip(text);
        findings.extend(unfinished(file, &code));
        findings.extend(quiet_without_reason(file, &code));
        findings.extend(too_long(file, text));
        if file.starts_with("degu-wire/src/") {
            findings.extend(sockets_or_clocks(file, &code));
        }
    }
    findings
}

/// A crate's root says what the crate is, in at least one sentence.
pub(super) fn crate_root(file: &str, text: &str) -> Vec<Finding> {
    let says: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    if says.iter().flat_map(|line| line.split_whitespace()).count() >= 4 {
        return Vec::new();
    }
    vec![Finding {
        file: file.into(),
        line: 1,
        message: "a crate begins with a comment (//!) that says what it is".into(),
    }]
}

/// No path of one machine stands in the tree.
fn machine_paths(file: &str, text: &str) -> Vec<Finding> {
    // Taken apart, since this file is in the tree too.
    let folders = [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "work/")];
    find(file, text, &folders, |path| format!("{path} is a path of one machine"))
}

/// Nothing is left to do, and nothing is left from debugging.
fn unfinished(file: &str, code: &str) -> Vec<Finding> {
    find(file, code, &["todo!(", "unimplemented!(", "dbg!("], |call| format!("{call}) is unfinished work"))
}

/// degu-wire opens no socket and reads no clock. (`core::net` has addresses only, `core::time` has durations only.)
fn sockets_or_clocks(file: &str, code: &str) -> Vec<Finding> {
    let sockets =
        ["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener", "UnixDatagram", "ToSocketAddrs"];
    let clocks = ["std::time", "Instant", "SystemTime"];
    let mut findings = find(file, code, &sockets, |name| format!("degu-wire opens no socket: {name}"));
    findings.extend(find(file, code, &clocks, |name| format!("degu-wire reads no clock: {name}")));
    findings
}

/// Source files stay short enough to read in one sitting.
fn too_long(file: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    let message = format!("{lines} lines; over {MAX_LINES} a file wants to be two");
    vec![Finding { file: file.into(), line: MAX_LINES + 1, message }]
}

/// Every lint that is allowed and every test that is ignored has its reason beside it.
fn quiet_without_reason(file: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (start, _) in code.match_indices('#') {
        let Some(attribute) = attribute(&code[start..]) else { continue };
        let message =
            if ["allow(", "expect("].iter().any(|lint| stands(attribute, lint)) && !stands(attribute, "reason") {
                "a lint is allowed without `reason = \"...\"`"
            } else if attribute.trim() == "ignore" {
                "a test is ignored without `= \"...\"`"
            } else {
                continue;
            };
        findings.push(Finding { file: file.into(), line: line_of(code, start), message: message.into() });
    }
    findings
}

/// The attribute that `code` begins with, up to its closing bracket.
fn attribute(code: &str) -> Option<&str> {
    let open = code.strip_prefix("#![").or_else(|| code.strip_prefix("#["))?;
    let mut depth = 1;
    for (at, c) in open.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&open[..at]);
        }
    }
    None
}

/// Every line in which one of `needles` stands by itself.
fn find(file: &str, text: &str, needles: &[&str], message: impl Fn(&str) -> String) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for needle in needles.iter().filter(|needle| stands(line, needle)) {
            findings.push(Finding { file: file.into(), line: number + 1, message: message(needle) });
        }
    }
    findings
}

/// `needle` stands in `text` by itself, and not as a part of a longer word or path.
fn stands(text: &str, needle: &str) -> bool {
    text.match_indices(needle).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + needle.len()..].chars().next();
        let longer_before = before.is_some_and(|c| is_word(c) || needle.starts_with('/') && matches!(c, '.' | '-'));
        let longer_after = needle.ends_with(is_word) && after.is_some_and(is_word);
        !longer_before && !longer_after
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn paths_of_a_machine() {
        let text = format!("a\nsee {0}home/me and\nhttps://example.com{0}home/x\n\"{0}root/x\"\nfile://{0}work/x", "/");
        assert_eq!(lines(&machine_paths("a.md", &text)), [2, 4, 5]);
    }

    #[test]
    fn unfinished_work_in_code_only() {
        let source =
            "// todo!()\nfn f() { todo!() }\nlet a = \"dbg!(a)\";\ndbg!(a);\nmy_dbg!(a);\nunimplemented!(\"x\")";
        let found: Vec<usize> = lines(&check("degu-misc/src/a.rs", source));
        assert_eq!(found, [2, 4, 6]);
    }

    #[test]
    fn the_codec_has_no_sockets_and_no_clock() {
        let source = "use std::net::TcpStream;\nuse core::time::Duration;\n/// An Instant.\nuse std::time::Instant;\nInstants\nMyInstant";
        let found = check("degu-wire/src/a.rs", source);
        assert_eq!(lines(&found), [1, 4, 4]);
        assert_eq!(found[0].to_string(), "degu-wire/src/a.rs:1: degu-wire opens no socket: TcpStream");
        assert_eq!(check("degu-wire/tests/a.rs", source), []);
        assert_eq!(check("degu-server/src/a.rs", source), []);
    }

    #[test]
    fn a_reason_for_all_that_is_quiet() {
        let source = "#[allow(dead_code)]\n#[allow(dead_code, reason = \"x\")]\n#![expect(\n  dead_code,\n)]\n\
            #[cfg_attr(test, allow(x))]\n#[expect(x, reason = \"a ] b\")]\noption.expect(\"#[allow(x)]\")\n// #[allow(x)]\n\
            #[allow_internal(x)]\n#[ignore]\n#[ignore = \"slow\"]";
        assert_eq!(lines(&check("a.rs", source)), [1, 3, 6, 11]);
    }

    #[test]
    fn long_files() {
        assert_eq!(too_long("a.rs", &"x\n".repeat(600)), []);
        assert_eq!(lines(&too_long("a.rs", &"x\n".repeat(601))), [601]);
    }

    #[test]
    fn what_a_crate_says() {
        assert_eq!(crate_root("a.rs", "#![no_std]\n//! A codec for HTTP."), []);
        assert_eq!(lines(&crate_root("a.rs", "//! .\nfn main() {}")), [1]);
        assert_eq!(lines(&crate_root("a.rs", "")), [1]);
    }
}
