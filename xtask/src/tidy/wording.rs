//! The rules of wording that a program can check. CONTRIBUTING.md has all of them.

use super::Finding;

/// The words with which no doc comment may begin, because what follows them is no sentence.
const OPENINGS: [&str; 8] = ["What", "Whether", "How", "Where", "Who", "Whose", "Which", "As"];
/// The longest name of a function, in characters. The longest names are names of tests.
const LONGEST_NAME: usize = 60;

/// Checks a source file or a page.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    if !file.ends_with(".rs") && !file.ends_with(".md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut is_doc = false;
    for (line, number) in text.lines().map(str::trim_start).zip(1..) {
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let opening = doc.filter(|_| !is_doc).and_then(|doc| doc.split_whitespace().next());
        is_doc = doc.is_some();
        let message = if line.contains(concat!("can ", "not")) {
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

/// Returns the words of a line. A word may contain hyphens, as in the name of a media type.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '-')
}

/// Returns the name of the function that the line defines.
fn function(line: &str) -> Option<&str> {
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
}
