//! Takes a Rust source apart just far enough to tell code from comments and literals.

/// The source with every comment and the inside of every literal replaced by spaces. Lines stay where they are, so
/// that a rule that looks for a word in code finds it there and nowhere else.
pub(super) fn strip(source: &str) -> String {
    let mut stripper = Stripper { rest: source, code: String::with_capacity(source.len()) };
    while let Some(next) = stripper.rest.chars().next() {
        stripper.step(next);
    }
    stripper.code
}

struct Stripper<'a> {
    rest: &'a str,
    code: String,
}

impl Stripper<'_> {
    fn step(&mut self, next: char) {
        if self.rest.starts_with("//") {
            self.blank(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.blank(block_comment(self.rest));
        } else if let Some(length) = self.raw_string() {
            self.blank(length);
        } else if next == '"' {
            self.blank(quoted(self.rest, '"'));
        } else if next == '\'' && is_char(self.rest) {
            self.blank(quoted(self.rest, '\''));
        } else if next.is_alphabetic() || next == '_' {
            let word = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
            // The prefix of a literal is left to the next step: `r#"`, `br"`, `c"`.
            self.keep(if matches!(&self.rest[..word], "r" | "br" | "cr") { 1 } else { word });
        } else {
            self.keep(next.len_utf8());
        }
    }

    fn keep(&mut self, length: usize) {
        self.code.push_str(&self.rest[..length]);
        self.rest = &self.rest[length..];
    }

    fn blank(&mut self, length: usize) {
        let (blanked, rest) = self.rest.split_at(length);
        self.code.extend(blanked.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }

    /// The length of the raw string that begins here, after its `r`.
    fn raw_string(&self) -> Option<usize> {
        if !self.code.ends_with('r') {
            return None;
        }
        let hashes = self.rest.len() - self.rest.trim_start_matches('#').len();
        let inside = self.rest[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        Some(inside.find(&end).map_or(self.rest.len(), |at| hashes + 1 + at + end.len()))
    }
}

/// The length of a block comment with those inside it.
fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a literal between two `quote`s.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// A character literal, and no lifetime: `'a'`, `'\n'`, but not `'a`.
fn is_char(text: &str) -> bool {
    let mut after = text.chars().skip(1);
    match after.next() {
        Some('\\') => true,
        Some(_) => after.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn comments_and_literals_go_and_lines_stay() {
        let cases = [
            ("a // b\nc", "a \nc"),
            ("a /* b\n /* c */ */ d", "a \n d"),
            ("f(\"a \\\" // b\") + c", "f( ) + c"),
            ("r#\"a \" b\"# c", "r c"),
            ("br\"\\\" c", "br c"),
            ("'a' 'b \"c\" '\\'' d", " 'b d"),
            ("r#type \"x\"", "r#type "),
            ("var\"x\"", "var "),
            ("\"a\nb\" c", " \n c"),
        ];
        for (source, expected) in cases {
            let code = strip(source);
            assert_eq!(code.len(), source.len());
            let mut squeezed = code.clone();
            while squeezed.contains("  ") {
                squeezed = squeezed.replace("  ", " ");
            }
            assert_eq!(squeezed, expected, "{source}");
        }
    }

    #[test]
    fn an_open_end_is_no_endless_loop() {
        for source in ["\"a", "/* a", "r##\"a\"#", "'", "'\\", "b'"] {
            assert_eq!(strip(source).len(), source.len(), "{source}");
        }
    }
}
