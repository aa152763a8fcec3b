//! The rules that a single line can break: paths of one machine, conflict markers, and the rules of wording that a program
//! can check. CONTRIBUTING.md has all rules of wording.

use super::Finding;

/// The words with which no doc comment may begin, because what follows them is no sentence.
const OPENINGS: [&str; 8] = ["What", "Whether", "How", "Where", "Who", "Whose", "Which", "As"];
/// The longest name of a function, in characters. The longest names are names of tests.
const LONGEST_NAME: usize = 60;

/// Checks a file. The rules of wording apply only to source files and pages.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    let has_wording = file.ends_with(".rs") || file.ends_with(".md");
    let (mut findings, mut is_doc) = (Vec::new(), false);
    for (line, number) in text.lines().zip(1..) {
        let doc = line.trim_start().strip_prefix("///").or_else(|| line.trim_start().strip_prefix("//!"));
        let opening = doc.filter(|_| !is_doc).and_then(|doc| doc.split_whitespace().next());
        is_doc = doc.is_some();
        let message = if has_machine_path(line) {
            "this path exists only on one machine; use a relative path"
        } else if ["<", "|", ">"].iter().any(|mark| line.starts_with(&mark.repeat(7))) {
            // A line of seven `=` may be a heading, so it does not count.
            "a conflict marker; resolve the merge"
        } else if !has_wording {
            continue;
        } else if line.contains(concat!("can ", "not")) {
            "write `cannot`"
        } else if words(line).any(|word| word.trim_end_matches('s') == concat!("oct", "et")) {
            "write `byte`"
        } else if opening.is_some_and(|word| OPENINGS.contains(&word)) {
            "begin the comment with a verb in the third person, or with a noun phrase"
        } else if function(line).is_some_and(|name| name.len() > LONGEST_NAME) {
            "shorten the name to at most 60 characters"
        } else {
            continue;
        };
        findings.push(Finding { file: file.into(), line: number, message: message.into() });
    }
    findings
}

/// Returns whether a line has a path that exists only on one machine.
fn has_machine_path(line: &str) -> bool {
    // The paths are split here, because this rule reads this file too.
    let folders = [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "work/")];
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    let mut places = folders.iter().flat_map(|folder| line.match_indices(folder));
    places.any(|(at, _)| !line[..at].ends_with(is_part))
}

/// Returns the words of a line. A word may contain hyphens, as in the name of a media type.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '-')
}

/// Returns the name of the function that the line defines.
pub(super) fn function(line: &str) -> Option<&str> {
    let (_, name) = line.split_once("fn ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_its_lines_and_no_others() {
        let (long, right) = ("x".repeat(61), "x".repeat(60));
        for line in [
            concat!("// It can ", "not."),
            concat!("/// An oct", "et's sum."),
            "//! What it is.",
            &format!("async fn {long}() {{"),
        ] {
            assert_eq!(check("a.rs", &format!("\n{line}\n")).len(), 1, "{line}");
        }
        let text = format!("/// Says\n/// What.\n// Where.\nfn {right}() {{\n\"application/octet-stream\" OCTET");
        assert_eq!(check("a.rs", &text), []);
        assert_eq!(check("a.txt", "//! What"), []);
    }

    #[test]
    fn paths_of_a_machine() {
        let text = format!("a\nsee {0}home/me and\nhttps://example.com{0}home/x\n\"{0}root/x\"\nfile://{0}work/x", "/");
        let lines: Vec<usize> = check("a.md", &text).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 4, 5]);
    }

    #[test]
    fn conflict_markers() {
        for mark in ["<", "|", ">"].map(|mark| mark.repeat(7)) {
            let lines = |text: &str| check("a.md", text).iter().map(|finding| finding.line).collect::<Vec<_>>();
            assert_eq!(lines(&format!("a\n{mark} HEAD\nb")), [2]);
            assert_eq!(lines(&format!("a {mark} HEAD")), [0; 0]);
        }
    }
}
