//! A second implementation of the grammar, which shares nothing with the first: the rules of RFC 9110, RFC 9112 and RFC 3986
//! as regular expressions, with the deviations that the page of the crate lists ("Where it deviates from the standards").
//! Each rule here that is not that of its standard says so.

use std::iter::{self, Peekable};
use std::str;
use std::sync::LazyLock;

use regex_automata::dfa::{Automaton, dense::DFA};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::Verdict;
use crate::corpus::escaped;

/// `tchar` (RFC 9110 §5.6.2)
const TCHAR: &str = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]";
/// `unreserved / sub-delims` and `pct-encoded` (RFC 3986 §2). Deviation: no comma.
const NAME_CHAR: &str = r"(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})";
/// The text between SP and SP. Deviation: any `VCHAR` but `#`, where RFC 3986 has `pchar`, `/` and `?`.
const TARGET: &str = r##"[!-"$-~]+"##;

/// A regular expression that a text as a whole matches or does not.
struct Rule(DFA<Vec<u32>>);

impl Rule {
    fn new(pattern: &str) -> Self {
        let bytes = syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true);
        let dfa = DFA::builder().syntax(bytes).build(&format!(r"\A(?:{pattern})\z")).expect("the pattern is one");
        Self(dfa)
    }

    fn matches(&self, text: &[u8]) -> bool {
        let input = Input::new(text).anchored(Anchored::Yes);
        self.0.try_search_fwd(&input).expect("no byte ends the search").is_some()
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $pattern:expr;)*) => {
        $($(#[$doc])* static $name: LazyLock<Rule> = LazyLock::new(|| Rule::new(&$pattern));)*
    };
}

rules! {
    /// `method SP request-target SP HTTP-version` (RFC 9112 §3), of major version 1
    REQUEST_LINE = format!(r"{TCHAR}+ {TARGET} HTTP/1\.[0-9]");
    /// A line that names another major version, whatever follows (RFC 9110 §15.6.6)
    OTHER_VERSION = format!(r"{TCHAR}+ {TARGET} HTTP/[02-9]\.[0-9].*");
    /// `field-name ":" OWS field-value OWS` (RFC 9112 §5), with the whitespace around the value. Deviation: no other control
    /// than HTAB.
    FIELD_LINE = format!(r"{TCHAR}+:[\t -~\x80-\xff]*");
    /// `chunk-size [ chunk-ext ]` (RFC 9112 §7.1). Deviation: at most 16 digits.
    CHUNK_LINE = {
        let quoted = r#""(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*""#;
        let blank = r"[\t ]*";
        format!(r"[0-9A-Fa-f]{{1,16}}(?:{blank};{blank}{TCHAR}+(?:{blank}={blank}(?:{TCHAR}+|{quoted}))?)*")
    };
    /// A chunk line of a response that is padded. Deviation: blanks after a size.
    PADDED_CHUNK_LINE = r"[0-9A-Fa-f]{1,16}[\t ]+";
    /// A field line of a response: blanks before the colon (RFC 9112 §5.1), and `obs-fold` (RFC 9112 §5.2)
    RESPONSE_FIELD_LINE = format!(r"{TCHAR}+[\t ]*:(?:[\t -~\x80-\xff]|\r\n[\t ])*");
    /// A field that is not read with them. Deviation: there are some.
    STRICT_FIELD = r"(?i:Content-Length|Transfer-Encoding|Connection|Content-Range|Upgrade)[\t ]*:.*";
    /// `1#transfer-coding` (RFC 9112 §6.1). Deviations: no empty elements, no parameters.
    CODINGS = format!(r"{TCHAR}+(?:[\t ]*,[\t ]*{TCHAR}+)*");
    /// `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2, §3.2.3). Deviations: no IPvFuture, a zone, no port after an
    /// empty name.
    HOST = format!(r"(?:{NAME_CHAR}+(?::[0-9]*)?|\[(?:{ip})(?:%{NAME_CHAR}+)?\](?::[0-9]*)?)?", ip = ipv6());
    /// The host of an absolute-form: the same, without a zone (deviation), and not empty (RFC 9110 §4.2.1)
    AUTHORITY = format!(r"{NAME_CHAR}+(?::[0-9]*)?|\[(?:{ip})\](?::[0-9]*)?", ip = ipv6());
}

/// `IPv6address` (RFC 3986 §3.2.2), line by line
fn ipv6() -> String {
    let byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])";
    let h16 = "[0-9A-Fa-f]{1,4}";
    let ls32 = format!(r"(?:{h16}:{h16}|(?:{byte}\.){{3}}{byte})");
    let most = |count: usize| format!("(?:(?:{h16}:){{0,{count}}}{h16})?");
    [
        format!("(?:{h16}:){{6}}{ls32}"),
        format!("::(?:{h16}:){{5}}{ls32}"),
        format!("(?:{h16})?::(?:{h16}:){{4}}{ls32}"),
        format!("{}::(?:{h16}:){{3}}{ls32}", most(1)),
        format!("{}::(?:{h16}:){{2}}{ls32}", most(2)),
        format!("{}::{h16}:{ls32}", most(3)),
        format!("{}::{ls32}", most(4)),
        format!("{}::{h16}", most(5)),
        format!("{}::", most(6)),
    ]
    .join("|")
}

pub(super) fn request_line(line: &[u8]) -> Verdict {
    if OTHER_VERSION.matches(line) {
        return Err(505);
    }
    if !REQUEST_LINE.matches(line) {
        return Err(400);
    }
    let line = str::from_utf8(line).expect("a request line is ASCII");
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("a line has three words") };
    // 1.2 to 1.9 are read as 1.1 (RFC 9110 §2.5).
    let version = if version == "HTTP/1.0" { "1.0" } else { "1.1" };
    let (authority, rest) = match method {
        _ if target.starts_with('/') => ("a", target),
        "OPTIONS" if target == "*" => ("a", target),
        _ if target == "*" => return Err(400),
        // Deviation: authority-form, and every other, is for tunnels.
        "CONNECT" => return Err(501),
        // Deviation: absolute-form has the schemes of HTTP.
        _ => {
            let begins =
                |scheme: &str| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
            let scheme = ["http://", "https://"].into_iter().find(|scheme| begins(scheme)).ok_or(400_u16)?;
            let behind = &target[scheme.len()..];
            let (authority, rest) = behind.split_at(behind.find(['/', '?']).unwrap_or(behind.len()));
            if !AUTHORITY.matches(authority.as_bytes()) {
                return Err(400);
            }
            (authority, rest)
        }
    };
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    // RFC 9110 §4.2.3: an empty path is `/`.
    let path = if path.is_empty() { "/" } else { path };
    Ok(format!("{method} {target} {path:?} {query:?} {authority} {version}"))
}

pub(super) fn field_line(line: &[u8]) -> Verdict {
    if !FIELD_LINE.matches(line) {
        return Err(400);
    }
    let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':').expect("there is a colon"));
    Ok(format!("{}: {}", escaped(name), escaped(trimmed(&value[1..]))))
}

pub(super) fn response_field_line(line: &[u8]) -> Verdict {
    // An empty line ends the head, whatever follows.
    if line.starts_with(b"\r\n") {
        return Ok("no field".to_owned());
    }
    if STRICT_FIELD.matches(line) {
        return field_line(line);
    }
    if !RESPONSE_FIELD_LINE.matches(line) {
        return Err(400);
    }
    let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':').expect("there is a colon"));
    // RFC 9112 §5.2: each fold is one or more spaces. Here a run of them is one.
    let mut unfolded = Vec::new();
    let mut rest = &value[1..];
    while let [byte, behind @ ..] = rest {
        if rest.starts_with(b"\r\n") {
            unfolded.truncate(trimmed_end(&unfolded).len());
            unfolded.push(b' ');
            rest = trimmed(&rest[2..]);
        } else {
            unfolded.push(*byte);
            rest = behind;
        }
    }
    Ok(format!("{}: {}", escaped(trimmed_end(name)), escaped(trimmed(&unfolded))))
}

/// A text without the whitespace at its end.
fn trimmed_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// A text without the whitespace around it.
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

pub(super) fn response_chunk_line(line: &[u8]) -> Verdict {
    chunk_line(if PADDED_CHUNK_LINE.matches(line) { trimmed(line) } else { line })
}

pub(super) fn chunk_line(line: &[u8]) -> Verdict {
    if !CHUNK_LINE.matches(line) {
        return Err(400);
    }
    let mut rest = line.iter().copied().peekable();
    let digits = run(&mut rest, |byte| byte.is_ascii_hexdigit());
    let size = u64::from_str_radix(str::from_utf8(&digits).expect("digits are ASCII"), 16).expect("at most 16");
    let mut said = size.to_string();
    loop {
        run(&mut rest, |byte| is_blank(byte) || byte == b';');
        if rest.peek().is_none() {
            return Ok(said);
        }
        said += &format!(" {}", escaped(&run(&mut rest, is_token)));
        run(&mut rest, is_blank);
        if rest.next_if_eq(&b'=').is_none() {
            continue;
        }
        run(&mut rest, is_blank);
        let mut value = Vec::new();
        if rest.next_if_eq(&b'"').is_none() {
            value = run(&mut rest, is_token);
        } else {
            while let Some(byte) = rest.next_if(|&byte| byte != b'"') {
                value.push(if byte == b'\\' { rest.next().expect("a pair has two") } else { byte });
            }
            rest.next();
        }
        said += &format!("={}", escaped(&value));
    }
}

/// Takes bytes from the front as long as they are of a part.
fn run(rest: &mut Peekable<impl Iterator<Item = u8>>, is_part: impl Fn(u8) -> bool) -> Vec<u8> {
    iter::from_fn(|| rest.next_if(|&byte| is_part(byte))).collect()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// In a line that matches, these alone end a token.
fn is_token(byte: u8) -> bool {
    !matches!(byte, b' ' | b'\t' | b';' | b'=')
}

pub(super) fn transfer_encoding(value: &[u8]) -> Verdict {
    if !CODINGS.matches(trimmed(value)) {
        return Err(400);
    }
    let codings: Vec<_> =
        value.split(|&byte| byte == b',').map(|coding| trimmed(coding).to_ascii_lowercase()).collect();
    match codings.iter().position(|coding| coding == b"chunked") {
        Some(0) if codings.len() == 1 => Ok("chunked".to_owned()),
        // RFC 9112 §6.1: a coding that is not known, before the one that frames the body.
        Some(first) if first + 1 == codings.len() => Err(501),
        // RFC 9112 §6.3, §7.1: nothing frames the body, or it is framed twice.
        _ => Err(400),
    }
}

pub(super) fn host(value: &[u8]) -> Verdict {
    let value = trimmed(value);
    if HOST.matches(value) { Ok(format!("host {}", str::from_utf8(value).expect("a host is ASCII"))) } else { Err(400) }
}
