//! The basic rules of RFC 9110 §5.6: classes of bytes, as tables, and numbers.
//!
//! Each table has 256 entries, so a look-up needs no bounds check.

/// The value in [`HEX`] of a byte that is not a hexadecimal digit.
pub(crate) const NO_HEX: u8 = 0xff;

/// The value of each hexadecimal digit (RFC 5234 `HEXDIG`, in both cases), or [`NO_HEX`].
pub(crate) const HEX: [u8; 256] = {
    let mut table = [NO_HEX; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value];
        table[digit as usize] = value as u8;
        table[digit.to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    table
};

/// The bytes that may be in a token (`tchar`): true for each of them.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_mark = matches!(
            byte as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        table[byte] = is_mark || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

/// Returns whether a byte may be in a token (RFC 9110 §5.6.2 `tchar`).
pub(crate) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Returns whether a byte may be in a field value: HTAB, SP, VCHAR and obs-text (RFC 9110 §5.5). The same bytes may be
/// in a quoted-string, where `"` and `\` must be escaped (§5.6.4).
pub(crate) const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Parses `1*DIGIT` of at most 64 bits, with or without leading zeros. Returns `None` for any other text.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let step = |value: u64, byte: &u8| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, step) }
}

/// Writes the digits of `value` in base 10 or 16, without leading zeros, into the end of `room`, and returns the
/// digits. The largest value has 20 digits in base 10.
#[inline(always)]
pub(crate) fn digits(mut value: u64, base: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut at = room.len();
    while let Some(place) = room[..at].last_mut() {
        *place = b"0123456789abcdef"[(value % base) as usize];
        at -= 1;
        value /= base;
        if value == 0 {
            break;
        }
    }
    &room[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_the_classes_of_the_grammar() {
        for byte in 0..=u8::MAX {
            // RFC 9110 §5.6.2: any VCHAR, except delimiters.
            let delimiter = br#""(),/:;<=>?@[\]{}"#.contains(&byte);
            assert_eq!(is_token(byte), byte.is_ascii_graphic() && !delimiter, "{byte:#04x}");
            let digit = char::from(byte).to_digit(16).map_or(NO_HEX, |digit| digit as u8);
            assert_eq!(HEX[usize::from(byte)], digit, "{byte:#04x}");
            assert_eq!(is_text(byte), byte == b'\t' || !byte.is_ascii_control(), "{byte:#04x}");
        }
    }

    #[test]
    fn numbers_have_as_many_digits_as_they_need() {
        for value in [0, 1, 9, 10, 15, 16, 255, 4096, u64::MAX] {
            assert_eq!(digits(value, 16, &mut [0; 20]), std::format!("{value:x}").as_bytes());
            assert_eq!(digits(value, 10, &mut [0; 20]), std::format!("{value}").as_bytes());
            assert_eq!(decimal(std::format!("000{value}").as_bytes()), Some(value));
        }
        for text in ["", "+1", "1 ", "0x1", "18446744073709551616"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text:?}");
        }
    }
}
