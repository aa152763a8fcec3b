//! The text corpora: what comes on the wire, and what it means, in files that people can read.
//!
//! ```text
//! # A comment. Blank lines mean nothing.
//! = a name, which begins a case
//! ? max_chunk_line 64              an option: a word and its value
//! > 5;a=b\r\n                      input; the lines of a case follow each other without anything between them
//! >*4096 x                         input, repeated
//! < chunk 5 a="b"                  what is expected
//! ```
//!
//! Input has the escapes `\r`, `\n`, `\t`, `\\` and `\xHH`; one space after `>` is not part of it, any other is.
//! Expected lines are compared as they stand, so it is for each corpus to say how its events are written; the bytes in
//! them are [`escaped`] the same way. The corpora are read by tests, and by fuzz targets for seeds.

#![allow(dead_code, unreachable_pub, reason = "tests and seeds for fuzzing use what they need")]

use degu_wire::Limits;

/// One case of a corpus.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The subject of the case, unique in its file.
    pub name: String,
    /// The line of the file on which it begins.
    pub line: usize,
    /// Words and their values, in order.
    pub options: Vec<(String, String)>,
    /// Input and expected lines, in order.
    pub steps: Vec<Step>,
}

/// A line of a case.
#[derive(Clone, Debug)]
pub enum Step {
    /// Bytes that come.
    Input(Vec<u8>),
    /// An expected line.
    Expect(String),
}

impl Case {
    /// All input in one piece.
    pub fn input(&self) -> Vec<u8> {
        let inputs = self.steps.iter().filter_map(|step| match step {
            Step::Input(bytes) => Some(bytes.as_slice()),
            Step::Expect(_) => None,
        });
        inputs.collect::<Vec<_>>().concat()
    }

    /// All that is expected.
    pub fn expected(&self) -> Vec<String> {
        let expected = self.steps.iter().filter_map(|step| match step {
            Step::Expect(line) => Some(line.clone()),
            Step::Input(_) => None,
        });
        expected.collect()
    }

    /// The value of an option.
    pub fn option(&self, word: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == word).map(|(_, value)| value.as_str())
    }

    /// The default limits with those that the options name.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::DEFAULT;
        for (name, value) in &self.options {
            let size = || value.parse().unwrap_or_else(|_| panic!("line {}: {name} {value}", self.line));
            let switch = || value == "true";
            match name.as_str() {
                "max_head" => limits.max_head = size(),
                "max_fields" => limits.max_fields = size(),
                "max_leading_lines" => limits.max_leading_lines = size(),
                "max_chunk_line" => limits.max_chunk_line = size(),
                "free_extension" => limits.free_extension = size(),
                "extension_budget" => limits.extension_budget = size(),
                "max_chunk" => limits.max_chunk = size(),
                "max_trailers" => limits.max_trailers = size(),
                "max_trailer_fields" => limits.max_trailer_fields = size(),
                "max_interim" => limits.max_interim = size(),
                "allow_http10" => limits.allow_http10 = switch(),
                "allow_missing_host" => limits.allow_missing_host = switch(),
                _ => {}
            }
        }
        limits
    }
}

/// Reads a corpus.
///
/// # Panics
///
/// With the number of the line, if one is not in the format, or two cases have one name.
pub fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let (mark, rest) = line.split_at(line.chars().next().map_or(0, char::len_utf8));
        let content = rest.strip_prefix(' ').unwrap_or(rest);
        if mark == "=" {
            assert!(cases.iter().all(|case| case.name != content), "line {number}: {content:?} is there already");
            cases.push(Case { name: content.to_owned(), line: number, ..Case::default() });
            continue;
        }
        if matches!(mark, "" | "#") {
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("line {number}: no case has begun"));
        match mark {
            "?" => {
                let (word, value) = content.split_once(' ').unwrap_or((content, "true"));
                case.options.push((word.to_owned(), value.to_owned()));
            }
            ">" => case.steps.push(Step::Input(input(rest).unwrap_or_else(|| panic!("line {number}: {line}")))),
            "<" => case.steps.push(Step::Expect(content.to_owned())),
            _ => panic!("line {number}: {line}"),
        }
    }
    cases
}

/// Parses the text after `>`.
fn input(rest: &str) -> Option<Vec<u8>> {
    let Some(repeated) = rest.strip_prefix('*') else {
        return unescaped(rest.strip_prefix(' ').unwrap_or(rest));
    };
    let (times, bytes) = repeated.split_once(' ')?;
    Some(unescaped(bytes)?.repeat(times.parse().ok()?))
}

/// Bytes without their escapes, or `None` if an escape is not one.
pub fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'\\' => b'\\',
            b'x' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            _ => return None,
        });
    }
    Some(bytes)
}

/// Bytes with escapes: what is printable ASCII stays, but for the backslash; runs of over 32 of one byte are written
/// as `x{times}`.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in bytes.chunk_by(|one, another| one == another) {
        let one = match run[0] {
            b'\r' => "\\r".to_owned(),
            b'\n' => "\\n".to_owned(),
            b'\t' => "\\t".to_owned(),
            b'\\' => "\\\\".to_owned(),
            byte @ b' '..=b'~' => char::from(byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        };
        if run.len() > 32 {
            text += &format!("{one}{{{}}}", run.len());
        } else {
            text += &one.repeat(run.len());
        }
    }
    text
}
