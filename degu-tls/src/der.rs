//! A reader of DER for texts, for the choice of a revocation list, and to recognise files. No decision to trust a peer
//! depends on it.
//!
//! Certificates and lists were parsed by webpki before, which is strict. So this reader only walks: it returns `None` for
//! what it does not understand, and the text says less.

use rustls_pki_types::UnixTime;

pub(crate) const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
pub(crate) const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// The rest of an input, of which one element after the other is read.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads the next element, and returns its tag and its content.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, length, rest @ ..] = self.0 else { return None };
        let (length, rest) = match usize::from(*length) {
            short @ 0..=0x7f => (short, rest),
            // Four bytes of length are more than a certificate or a list ever needs.
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// Reads the next element if it has this tag, and returns its content. Otherwise nothing is consumed.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.any()?;
        if found != tag {
            return None;
        }
        *self = ahead;
        Some(content)
    }
}

/// Returns the tag and the content of the first element within the SEQUENCE that a file in DER is.
pub(crate) fn first_element(file: &[u8]) -> Option<(u8, &[u8])> {
    Reader(Reader(file).take(SEQUENCE)?).any()
}

/// Returns the content of the subject of a certificate of any version.
pub(crate) fn subject(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader(Reader(Reader(certificate).take(SEQUENCE)?).take(SEQUENCE)?);
    let _version = fields.take(0xa0);
    let _serial = fields.take(INTEGER)?;
    for _ in ["signature", "issuer", "validity"] {
        fields.take(SEQUENCE)?;
    }
    fields.take(SEQUENCE)
}

// 1.2.840.113549.1.1.1 rsaEncryption and 1.2.840.113549.1.1.10 id-RSASSA-PSS.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

/// Returns the content of the AlgorithmIdentifier of a SubjectPublicKeyInfo.
pub(crate) fn algorithm(spki: &[u8]) -> Option<&[u8]> {
    Reader(Reader(spki).take(SEQUENCE)?).take(SEQUENCE)
}

/// Returns the name of the kind of key that a SubjectPublicKeyInfo holds.
pub(crate) fn key_kind(spki: &[u8]) -> &'static str {
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let mut algorithm = Reader(algorithm(spki).unwrap_or_default());
    match (algorithm.take(OID), algorithm.take(OID)) {
        (Some(RSA), _) => "RSA",
        (Some(PSS), _) => "RSA-PSS",
        (Some([0x2b, 0x65, 0x70]), _) => "Ed25519",
        (Some([0x2b, 0x65, 0x71]), _) => "Ed448",
        (Some(EC), Some([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07])) => "P-256",
        (Some(EC), Some([0x2b, 0x81, 0x04, 0x00, 0x22])) => "P-384",
        (Some(EC), Some([0x2b, 0x81, 0x04, 0x00, 0x23])) => "P-521",
        (Some(EC), _) => "an elliptic curve without a common name",
        _ => "a kind without a common name",
    }
}

/// Returns the bits of the modulus, if a SubjectPublicKeyInfo holds an RSA key (RFC 8017 §A.1, RFC 4055 §1.2).
pub(crate) fn rsa_bits(spki: &[u8]) -> Option<usize> {
    let mut spki = Reader(Reader(spki).take(SEQUENCE)?);
    let algorithm = Reader(spki.take(SEQUENCE)?).take(OID)?;
    if algorithm != RSA && algorithm != PSS {
        return None;
    }
    let key = spki.take(BIT_STRING)?.strip_prefix(&[0])?;
    let modulus = Reader(Reader(key).take(SEQUENCE)?).take(INTEGER)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros)?;
    Some((modulus.len() - zeros) * 8 - first.leading_zeros() as usize)
}

/// Returns a distinguished name as text, such as `CN=device-7, O=Example`: at most 160 characters, all of them printable.
pub(crate) fn name(contents: &[u8]) -> String {
    let mut text = String::new();
    let mut sets = Reader(contents);
    while let Some(set) = sets.take(SET) {
        let mut set = Reader(set);
        while let Some(pair) = set.take(SEQUENCE) {
            let mut pair = Reader(pair);
            let (Some(oid), Some((_, value))) = (pair.take(OID), pair.any()) else { continue };
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(attribute(oid));
            text.push('=');
            text.extend(String::from_utf8_lossy(value).chars().map(printable));
            if text.chars().count() > LONGEST {
                return text.chars().take(LONGEST).chain(['…']).collect();
            }
        }
    }
    if text.is_empty() { "an empty name".into() } else { text }
}

const LONGEST: usize = 160;

/// Replaces a character that must not stand in a log line. A bidirectional override is no control character to Rust, but it
/// is to a terminal.
pub(crate) fn printable(character: char) -> char {
    match character {
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '?',
        character if character.is_control() => '?',
        character => character,
    }
}

/// Returns the short name of an attribute type (RFC 4519 §2).
fn attribute(oid: &[u8]) -> &'static str {
    match oid {
        [0x55, 0x04, 0x03] => "CN",
        [0x55, 0x04, 0x05] => "serialNumber",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        _ => "other",
    }
}

/// Returns when a revocation list was issued and when the next one is due (RFC 5280 §5.1.2.4 and §5.1.2.5), in the form
/// of [`date`], which sorts by time.
pub(crate) fn crl_updates(crl: &[u8]) -> Option<(String, String)> {
    let mut list = Reader(Reader(Reader(crl).take(SEQUENCE)?).take(SEQUENCE)?);
    let _version = list.take(INTEGER);
    let _algorithm = list.take(SEQUENCE)?;
    let _issuer = list.take(SEQUENCE)?;
    Some((time(&mut list)?, time(&mut list)?))
}

/// Reads a UTCTime or GeneralizedTime in the only forms that RFC 5280 §4.1.2.5 allows: with seconds, in UTC.
fn time(reader: &mut Reader<'_>) -> Option<String> {
    let (tag, content) = reader.any()?;
    let century: &[u8] = match (tag, content.first()?) {
        (UTC_TIME, b'0'..=b'4') => b"20",
        (UTC_TIME, _) => b"19",
        (GENERALIZED_TIME, _) => b"",
        _ => return None,
    };
    let digits = [century, content.strip_suffix(b"Z")?].concat();
    if digits.len() != 14 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = str::from_utf8(&digits).ok()?;
    let (day, clock) = text.split_at(8);
    Some(format!("{}-{}-{} {}:{}:{} UTC", &day[..4], &day[4..6], &day[6..], &clock[..2], &clock[2..4], &clock[4..]))
}

/// The days from 0000-03-01 to 1970-01-01.
const EPOCH: u64 = 719_468;

/// Returns a time as text, such as `2026-11-22 07:45:33 UTC` (Howard Hinnant's `civil_from_days`).
pub(crate) fn date(time: UnixTime) -> String {
    let (days, rest) = (time.as_secs() / 86_400 + EPOCH, time.as_secs() % 86_400);
    // 146,097 days are 400 years.
    let (era, days) = (days / 146_097, days % 146_097);
    let year = (days - days / 1_460 + days / 36_524 - days / 146_096) / 365;
    let of_year = days - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> String {
        date(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }

    #[test]
    fn dates() {
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(951_868_800), "2000-03-01 00:00:00 UTC");
        assert_eq!(at(1_704_067_199), "2023-12-31 23:59:59 UTC");
        assert_eq!(at(1_735_603_200), "2024-12-31 00:00:00 UTC");
        assert_eq!(at(1_795_333_533), "2026-11-22 07:45:33 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00 UTC");
        assert_eq!(at(253_402_300_799), "9999-12-31 23:59:59 UTC");
    }

    fn parse(tag: u8, text: &str) -> Option<String> {
        let mut der = vec![tag, text.len() as u8];
        der.extend(text.as_bytes());
        time(&mut Reader(&der))
    }

    #[test]
    fn times() {
        assert_eq!(parse(UTC_TIME, "261122074533Z").unwrap(), "2026-11-22 07:45:33 UTC");
        assert_eq!(parse(UTC_TIME, "491231235959Z").unwrap(), "2049-12-31 23:59:59 UTC");
        assert_eq!(parse(UTC_TIME, "700101000000Z").unwrap(), "1970-01-01 00:00:00 UTC");
        assert_eq!(parse(GENERALIZED_TIME, "20500101000000Z").unwrap(), "2050-01-01 00:00:00 UTC");
        assert_eq!(parse(UTC_TIME, "500101000000Z").unwrap(), "1950-01-01 00:00:00 UTC");
        for bad in ["2611220745Z", "261122074533", "26112207453xZ", "20261122074533Z", "Z", ""] {
            assert_eq!(parse(UTC_TIME, bad), None, "{bad}");
        }
        assert!(parse(UTC_TIME, "261122074533Z") < Some(at(1_795_333_534)));
        assert_eq!(parse(GENERALIZED_TIME, "20261122074533+0100"), None);
        assert_eq!(parse(INTEGER, "261122074533Z"), None);
    }

    #[test]
    fn lengths() {
        assert_eq!(Reader(&[4, 0]).any(), Some((4, &[][..])));
        assert_eq!(Reader(&[4, 0x81, 1, 9]).any(), Some((4, &[9][..])));
        assert_eq!(Reader(&[4, 0x82, 0, 1, 9]).any(), Some((4, &[9][..])));
        for bad in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x80],
            &[4, 0x81],
            &[4, 0x82, 0],
            &[4, 0x85, 0, 0, 0, 0, 0],
            &[4, 0x84, 255, 255, 255, 255],
        ] {
            assert_eq!(Reader(bad).any(), None, "{bad:?}");
        }
    }

    #[test]
    fn a_peer_does_not_write_onto_the_terminal() {
        let name_with = |value: &str| {
            let mut pair = vec![OID, 3, 0x55, 4, 3, 0x0c, value.len() as u8];
            pair.extend(value.as_bytes());
            let mut der = vec![SET, pair.len() as u8 + 2, SEQUENCE, pair.len() as u8];
            der.extend(pair);
            name(&der)
        };
        assert_eq!(name_with("dev\n\x1b[2J\u{202e}x"), "CN=dev??[2J?x");
        assert_eq!(name_with(&"x".repeat(110)).chars().count(), 113);
        assert_eq!(name(&[]), "an empty name");
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut der = Vec::new();
        for _ in 0..3 {
            let value = [b'y'; 100];
            let mut pair = vec![OID, 3, 0x55, 4, 0x0a, 0x0c, 100];
            pair.extend(value);
            der.extend([SET, pair.len() as u8 + 2, SEQUENCE, pair.len() as u8]);
            der.extend(pair);
        }
        let text = name(&der);
        assert_eq!(text.chars().count(), LONGEST + 1);
        assert!(text.starts_with("O=yyy") && text.contains(", O=") && text.ends_with('…'));
    }
}
