//! The value of Host: `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2).

use core::net::Ipv6Addr;

/// Whether the text is empty or a host with an optional port.
///
/// Refused beyond what is plainly malformed: userinfo, zones (RFC 6874 never sends them) and IPvFuture, which nobody
/// serves. A port may be empty, as RFC 3986 §3.2.3 has it, and has no bound here: it is not used to dial.
pub(crate) fn is_host(text: &[u8]) -> bool {
    match text.first() {
        None => true,
        Some(b'[') => {
            let Some(end) = text.iter().position(|&octet| octet == b']') else { return false };
            is_ipv6(&text[1..end]) && is_port(&text[end + 1..])
        }
        Some(_) => {
            let end = text.iter().position(|&octet| octet == b':').unwrap_or(text.len());
            end > 0 && is_reg_name(&text[..end]) && is_port(&text[end..])
        }
    }
}

fn is_port(text: &[u8]) -> bool {
    match text.split_first() {
        None => true,
        Some((b':', digits)) => digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    }
}

/// reg-name = *( unreserved / pct-encoded / sub-delims ), the comma left out: it is what two joined Host fields look
/// like. An IPv4 address is a reg-name too.
fn is_reg_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => tail,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' => tail,
            b'%' => match tail {
                [a, b, tail @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => tail,
                _ => return false,
            },
            _ => return false,
        };
    }
    true
}

fn is_ipv6(text: &[u8]) -> bool {
    core::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn hosts() {
        let good = [
            "",
            "a",
            "a.example:80",
            "a:",
            "1.2.3.4:1",
            "[::1]",
            "[fe80::1]:8080",
            "%41",
            "a_b",
            "a:999999",
            "x!$&'()*+;=",
        ];
        for text in good {
            assert!(is_host(text.as_bytes()), "{text:?}");
        }
        let bad = [
            "::1",
            ":80",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[]",
            "u@a",
            "a/b",
            "a b",
            "a,b",
            "a:b",
            "a:1:2",
            "%4",
            "%zz",
            "é",
            "a?",
            "a#",
            "[::zz]",
            "\\",
        ];
        for text in bad {
            assert!(!is_host(text.as_bytes()), "{text:?}");
        }
    }
}
