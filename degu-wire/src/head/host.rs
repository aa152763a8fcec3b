//! The value of Host: `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2).

use core::{net::Ipv6Addr, ops::Range};

use super::scan::is_name;

/// Returns whether the text is empty or a host with an optional port.
///
/// A host with userinfo, a zone (see [`zone`]) or an IPvFuture address is refused, because no server has such a host. A
/// port without a host is refused too. The port may be empty (RFC 3986 §3.2.3), or a number of any size, because no
/// connection is made to this port.
pub(crate) fn is_host(text: &[u8]) -> bool {
    // Most hosts consist of letters and hyphens, which are checked eight at a time.
    if is_name(text) {
        return true;
    }
    let end = reg_name_end(text);
    match text.get(end) {
        None => true,
        Some(b':') => end > 0 && is_optional_port(&text[end..]),
        Some(b'[') if end == 0 => {
            let Some(close) = text.iter().position(|&byte| byte == b']') else { return false };
            is_ipv6(&text[1..close]) && is_optional_port(&text[close + 1..])
        }
        Some(_) => false,
    }
}

/// Returns the range of the zone of an IPv6 address, with its `%`, if the text has a zone, and would be a valid host
/// without the zone.
///
/// The grammar of Host has no zone, but Node and aiohttp send the zone of their address. A zone has a meaning only on
/// the host of the sender (RFC 6874 §4), so the server's machine removes the zone. The zone may begin with `%` or
/// `%25`.
pub(crate) fn zone(text: &[u8]) -> Option<Range<usize>> {
    let from = text.iter().position(|&byte| byte == b'%')?;
    let to = from + text[from..].iter().position(|&byte| byte == b']')?;
    let name = &text[from + 1..to];
    let is_zone = !name.is_empty() && reg_name_end(name) == name.len();
    (is_zone && is_ipv6(text[..from].strip_prefix(b"[")?) && is_optional_port(&text[to + 1..])).then_some(from..to)
}

/// Returns whether the text is `[ ":" port ]`, which may be empty.
fn is_optional_port(text: &[u8]) -> bool {
    match text.split_first() {
        None => true,
        Some((b':', digits)) => digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    }
}

/// Returns the offset after the reg-name at the beginning of the text. A reg-name is `*( unreserved / pct-encoded /
/// sub-delims )`, but no comma is accepted here, because two joined Host fields contain a comma. An IPv4 address is a
/// reg-name too.
fn reg_name_end(text: &[u8]) -> usize {
    let mut end = 0;
    loop {
        end += text[end..].iter().take_while(|&&byte| REG_NAME[byte as usize]).count();
        match text[end..] {
            [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => end += 3,
            _ => return end,
        }
    }
}

static REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b'-' | b'.' | b'_' | b'~')
            || matches!(byte as u8, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=');
        byte += 1;
    }
    table
};

fn is_ipv6(text: &[u8]) -> bool {
    core::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{is_host, zone};

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

    #[test]
    fn zones() {
        for (text, expected) in [
            ("[fe80::1%eth0]", Some(8..13)),
            ("[fe80::1%25eth0]:80", Some(8..15)),
            ("[::%3]:", Some(3..5)),
            ("[::1%a%2Fb]", Some(4..10)),
            ("[fe80::1]:80", None),
            ("[fe80::1%]", None),
            ("[fe80::1%e,0]", None),
            ("[fe80::1%eth%0]", None),
            ("[fe80::1%eth0]x", None),
            ("[fe80::1%eth0", None),
            ("[fe80::1]%25:80", None),
            ("[fe80%eth0]", None),
            ("fe80::1%eth0", None),
            ("%41]", None),
        ] {
            assert_eq!(zone(text.as_bytes()), expected, "{text:?}");
        }
    }
}
