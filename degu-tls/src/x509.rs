//! Reads the fields of certificates and revocation lists that webpki does not return, and writes names and dates as text.
//!
//! webpki parses every certificate and list strictly, and verifies chains without this module. Therefore this module can
//! be simple: it returns `None` for input that it does not understand.

use std::fmt::Write;
use std::iter;
use std::time::Duration;

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{DateTime, Decode, Tag, TagNumber, Tagged};
use rustls_pki_types::UnixTime;

/// Reads the next element from `rest`, the unread rest of an input.
fn element<'a>(rest: &mut &'a [u8]) -> Option<AnyRef<'a>> {
    let (element, after) = AnyRef::from_der_partial(rest).ok()?;
    *rest = after;
    Some(element)
}

/// Reads the next element if it has this tag, and returns its content. An element with another tag stays unread.
fn take<'a>(rest: &mut &'a [u8], tag: Tag) -> Option<&'a [u8]> {
    let (element, after) = AnyRef::from_der_partial(rest).ok().filter(|(element, _)| element.tag() == tag)?;
    *rest = after;
    Some(element.value())
}

/// Returns the content of a SEQUENCE.
fn sequence(mut input: &[u8]) -> Option<&[u8]> {
    take(&mut input, Tag::Sequence)
}

/// The fields of a certificate that texts and the methods of [`PeerIdentity`](crate::PeerIdentity) need (RFC 5280
/// §4.1). Each field is the content of its element, without tag and length.
pub(crate) struct Fields<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) issuer: &'a [u8],
    validity: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// The unread fields of the certificate, which come after the subject.
    rest: &'a [u8],
}

/// Returns the fields of a certificate of any version.
pub(crate) fn fields(certificate: &[u8]) -> Option<Fields<'_>> {
    let mut rest = sequence(sequence(certificate)?)?;
    let _version = take(&mut rest, TagNumber(0).context_specific(true));
    let serial = take(&mut rest, Tag::Integer)?;
    let _signature = take(&mut rest, Tag::Sequence)?;
    let issuer = take(&mut rest, Tag::Sequence)?;
    let validity = take(&mut rest, Tag::Sequence)?;
    let subject = take(&mut rest, Tag::Sequence)?;
    Some(Fields { serial, issuer, validity, subject, rest })
}

impl<'a> Fields<'a> {
    /// Returns the first and the last second in which the certificate is valid. Returns `None` if one of them is malformed
    /// or before 1970.
    pub(crate) fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        let mut validity = self.validity;
        Some((time(&mut validity)?, time(&mut validity)?))
    }

    /// Returns the contents of the subjectAltNames of one kind, in order (RFC 5280 §4.2.1.6). `kind` is the number of the
    /// tag.
    pub(crate) fn alt_names(&self, kind: u32) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut names = self.subject_alt_name().and_then(sequence).unwrap_or_default();
        iter::from_fn(move || element(&mut names))
            .filter(move |name| name.tag() == TagNumber(kind).context_specific(false))
            .map(AnyRef::value)
    }

    /// Returns the value of the extension subjectAltName.
    fn subject_alt_name(&self) -> Option<&'a [u8]> {
        let mut rest = self.rest;
        let extensions = TagNumber(3).context_specific(true);
        let extensions = iter::from_fn(|| element(&mut rest)).find(|field| field.tag() == extensions)?;
        let mut extensions = sequence(extensions.value())?;
        iter::from_fn(|| take(&mut extensions, Tag::Sequence)).find_map(|mut extension| {
            if take(&mut extension, Tag::ObjectIdentifier)? != SUBJECT_ALT_NAME {
                return None;
            }
            let _is_critical = take(&mut extension, Tag::Boolean);
            take(&mut extension, Tag::OctetString)
        })
    }
}

// OBJECT IDENTIFIERs, as they are encoded.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// rsaEncryption: 1.2.840.113549.1.1.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// id-RSASSA-PSS: 1.2.840.113549.1.1.10.
const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// id-ecPublicKey: 1.2.840.10045.2.1.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// Returns the content of the subject of a certificate of any version.
pub(crate) fn subject(certificate: &[u8]) -> Option<&[u8]> {
    fields(certificate).map(|fields| fields.subject)
}

/// Returns the content of the AlgorithmIdentifier of a SubjectPublicKeyInfo.
pub(crate) fn algorithm(spki: &[u8]) -> Option<&[u8]> {
    sequence(sequence(spki)?)
}

/// Returns the kind of the key in a SubjectPublicKeyInfo as text for an error, such as `P-256`.
pub(crate) fn key_kind(spki: &[u8]) -> &'static str {
    let mut algorithm = algorithm(spki).unwrap_or_default();
    match (take(&mut algorithm, Tag::ObjectIdentifier), take(&mut algorithm, Tag::ObjectIdentifier)) {
        (Some(RSA), _) => "RSA",
        (Some(PSS), _) => "RSA-PSS",
        (Some([0x2b, 0x65, 0x70]), _) => "Ed25519",
        (Some([0x2b, 0x65, 0x71]), _) => "Ed448",
        (Some(EC), Some([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07])) => "P-256",
        (Some(EC), Some([0x2b, 0x81, 0x04, 0x00, 0x22])) => "P-384",
        (Some(EC), Some([0x2b, 0x81, 0x04, 0x00, 0x23])) => "P-521",
        (Some(EC), _) => "an unknown elliptic curve",
        _ => "an unknown kind of key",
    }
}

/// Returns the length of the modulus in bits if a SubjectPublicKeyInfo holds an RSA key (RFC 8017 §A.1, RFC 4055 §1.2). Returns
/// `None` for other keys.
pub(crate) fn rsa_bits(spki: &[u8]) -> Option<usize> {
    let mut fields = sequence(spki)?;
    let mut algorithm = take(&mut fields, Tag::Sequence)?;
    if !matches!(take(&mut algorithm, Tag::ObjectIdentifier)?, RSA | PSS) {
        return None;
    }
    let key = take(&mut fields, Tag::BitString)?.strip_prefix(&[0])?;
    let modulus = take(&mut sequence(key)?, Tag::Integer)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros)?;
    Some((modulus.len() - zeros) * 8 - first.leading_zeros() as usize)
}

/// Returns a distinguished name as text in the form of RFC 4514, such as `CN=device-7,O=Example`. The last attribute comes
/// first. If the text would have more than 160 characters, the rest is replaced by `…`. Characters that are unsafe in a log
/// line are escaped as `\XX`. An attribute type without a short name is written as numbers. All values are written as text.
pub(crate) fn name(mut contents: &[u8]) -> String {
    let sets: Vec<_> = iter::from_fn(|| take(&mut contents, Tag::Set)).collect();
    let mut text = String::new();
    for set in sets.into_iter().rev() {
        let mut separator = ",";
        for (oid, value) in attributes(set) {
            if !text.is_empty() {
                text.push_str(separator);
            }
            separator = "+";
            push_type(&mut text, oid);
            text.push('=');
            push_escaped(&mut text, &value);
            if text.chars().count() > LONGEST {
                return text.chars().take(LONGEST).chain(['…']).collect();
            }
        }
    }
    if text.is_empty() { "an empty name".into() } else { text }
}

/// Returns the default label of a CA: its common name, or its whole name if it has no common name.
pub(crate) fn label(subject: &[u8]) -> String {
    let mut rest = subject;
    let sets = iter::from_fn(|| take(&mut rest, Tag::Set));
    let common = sets.flat_map(attributes).filter(|(oid, _)| *oid == COMMON_NAME).last();
    common.map_or_else(|| name(subject), |(_, value)| value.chars().take(LONGEST).map(printable).collect())
}

/// Returns the attributes of a RelativeDistinguishedName. Each attribute is a type, which is an OBJECT IDENTIFIER in
/// DER, and a value as text.
fn attributes(mut set: &[u8]) -> impl Iterator<Item = (&[u8], String)> {
    iter::from_fn(move || take(&mut set, Tag::Sequence)).filter_map(|mut pair| {
        let oid = take(&mut pair, Tag::ObjectIdentifier)?;
        let value = match element(&mut pair) {
            Some(value) if value.tag() == Tag::BmpString => utf16(value.value()),
            // If der does not know the tag of a value, the value is written whole, with its tag and its length.
            value => String::from_utf8_lossy(value.map_or(pair, AnyRef::value)).into_owned(),
        };
        Some((oid, value))
    })
}

fn utf16(value: &[u8]) -> String {
    let units = value.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

const LONGEST: usize = 160;

/// Returns `?` in place of a character that is unsafe in a log line, and other characters as they are.
pub(crate) fn printable(character: char) -> char {
    if is_printable(character) { character } else { '?' }
}

/// Returns whether a character is safe in a log line. Bidirectional controls are unsafe, because terminals obey them, although
/// Rust does not count them as control characters.
fn is_printable(character: char) -> bool {
    let is_invisible = matches!(character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !is_invisible && !character.is_control()
}

/// Appends at most 161 characters of a value, escaped (RFC 4514 §2.4). A 161st character shows that the value is too
/// long.
fn push_escaped(text: &mut String, value: &str) {
    let mut characters = value.chars().take(LONGEST + 1).enumerate().peekable();
    while let Some((index, character)) = characters.next() {
        let is_at_end = index == 0 || characters.peek().is_none();
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', character]),
            ' ' if is_at_end => text.push_str("\\ "),
            '#' if index == 0 => text.push_str("\\#"),
            character if is_printable(character) => text.push(character),
            character => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String does not fail.
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
        }
    }
}

/// Appends the short name of an attribute type (RFC 4519 §2, and `emailAddress` of RFC 2985 §5.2.1), or its number.
fn push_type(text: &mut String, oid: &[u8]) {
    text.push_str(match oid {
        COMMON_NAME => "CN",
        [0x55, 0x04, 0x05] => "serialNumber",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x09] => "STREET",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => "emailAddress",
        _ => return push_oid(text, oid),
    });
}

/// Appends an OBJECT IDENTIFIER as numbers with dots, such as `2.5.4.3`.
fn push_oid(text: &mut String, oid: &[u8]) {
    let mut number = 0_u64;
    let mut is_first = true;
    for byte in oid.iter().take(LONGEST) {
        number = number.saturating_mul(128).saturating_add(u64::from(byte & 0x7f));
        if byte & 0x80 != 0 {
            continue;
        }
        // The first encoded number stands for two numbers: 40 × first + second. If the first is 0 or 1, the second is
        // below 40.
        let _ = match (std::mem::take(&mut is_first), number / 40) {
            (true, first @ ..2) => write!(text, "{first}.{}", number % 40),
            (true, _) => write!(text, "2.{}", number - 80),
            (false, _) => write!(text, ".{number}"),
        };
        number = 0;
    }
}

/// Returns the time at which a revocation list was issued, and the time of the next update (RFC 5280 §5.1.2.4, §5.1.2.5).
pub(crate) fn crl_updates(crl: &[u8]) -> Option<(UnixTime, UnixTime)> {
    let mut list = sequence(sequence(crl)?)?;
    let _version = take(&mut list, Tag::Integer);
    let _algorithm = take(&mut list, Tag::Sequence)?;
    let _issuer = take(&mut list, Tag::Sequence)?;
    Some((time(&mut list)?, time(&mut list)?))
}

/// Reads a UTCTime or GeneralizedTime with seconds in UTC, as RFC 5280 §4.1.2.5 requires. Returns `None` for other forms and
/// for times before 1970, which webpki refuses too.
fn time(rest: &mut &[u8]) -> Option<UnixTime> {
    let time = element(rest)?;
    let since_epoch = match time.tag() {
        Tag::UtcTime => time.decode_as::<UtcTime>().ok()?.to_unix_duration(),
        _ => time.decode_as::<GeneralizedTime>().ok()?.to_unix_duration(),
    };
    Some(UnixTime::since_unix_epoch(since_epoch))
}

/// Returns a time as text, such as `2026-11-22 07:45:33 UTC`. The last time in a certificate is in the year 9999.
pub(crate) fn date(time: UnixTime) -> String {
    let time = DateTime::from_unix_duration(Duration::from_secs(time.as_secs())).unwrap_or(DateTime::INFINITY);
    // der writes `2026-11-22T07:45:33Z`.
    time.to_string().replace('T', " ").replace('Z', " UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOLEAN: u8 = 0x01;
    const INTEGER: u8 = 0x02;
    const OCTET_STRING: u8 = 0x04;
    const OID: u8 = 0x06;
    const UTF8: u8 = 0x0c;
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    const BMP_STRING: u8 = 0x1e;
    const SEQUENCE: u8 = 0x30;
    const SET: u8 = 0x31;

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
        time(&mut &*element(tag, text.as_bytes())).map(date)
    }

    /// Returns an element in DER. The content must have fewer than 128 bytes.
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    #[test]
    fn times() {
        assert_eq!(parse(UTC_TIME, "261122074533Z").unwrap(), "2026-11-22 07:45:33 UTC");
        assert_eq!(parse(UTC_TIME, "491231235959Z").unwrap(), "2049-12-31 23:59:59 UTC");
        assert_eq!(parse(UTC_TIME, "700101000000Z").unwrap(), "1970-01-01 00:00:00 UTC");
        assert_eq!(parse(GENERALIZED_TIME, "20500101000000Z").unwrap(), "2050-01-01 00:00:00 UTC");
        assert_eq!(parse(UTC_TIME, "240229235959Z").unwrap(), "2024-02-29 23:59:59 UTC");
        assert_eq!(parse(GENERALIZED_TIME, "99991231235959Z").unwrap(), "9999-12-31 23:59:59 UTC");
        assert_eq!(parse(UTC_TIME, "500101000000Z"), None);
        for bad in [
            "2611220745Z",
            "261122074533",
            "26112207453xZ",
            "20261122074533Z",
            "Z",
            "",
            "261322074533Z",
            "260022074533Z",
            "261100074533Z",
            "261132074533Z",
            "261122240000Z",
            "261122076000Z",
            "261122074560Z",
        ] {
            assert_eq!(parse(UTC_TIME, bad), None, "{bad}");
        }
        assert_eq!(parse(GENERALIZED_TIME, "20261122074533+0100"), None);
        assert_eq!(parse(INTEGER, "261122074533Z"), None);
    }

    /// Returns a SET of attributes in DER. Each attribute is given as its type, the tag of its value, and its value.
    fn set(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let pair = |(oid, tag, value): &(&[u8], u8, &[u8])| {
            element(SEQUENCE, &[element(OID, oid), element(*tag, value)].concat())
        };
        element(SET, &attributes.iter().flat_map(pair).collect::<Vec<_>>())
    }

    fn common_name(value: &str) -> Vec<u8> {
        set(&[(COMMON_NAME, UTF8, value.as_bytes())])
    }

    #[test]
    fn a_peer_does_not_write_onto_the_terminal() {
        assert_eq!(name(&common_name("dev\n\x1b[2J\u{202e}x")), r"CN=dev\0A\1B[2J\E2\80\AEx");
        assert_eq!(label(&common_name("dev\n\x1b[2J\u{202e}x")), "dev??[2J?x");
        // The characters with the property Bidi_Control (Unicode Standard Annex 9).
        let controls =
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        assert_eq!(controls.chars().map(printable).collect::<String>(), "?".repeat(12));
        assert_eq!(name(&common_name(&"x".repeat(110))).chars().count(), 113);
        assert_eq!(name(&[]), "an empty name");
    }

    #[test]
    fn a_value_cannot_look_like_another_attribute() {
        for (value, text) in [
            ("a,O=Example", r"CN=a\,O=Example"),
            ("a+O=x", r"CN=a\+O=x"),
            (r#"say "hi"; <\>"#, r#"CN=say \"hi\"\; \<\\\>"#),
            (" #a ", r"CN=\ #a\ "),
            ("#a", r"CN=\#a"),
            (" ", r"CN=\ "),
            ("Zürich", "CN=Zürich"),
        ] {
            assert_eq!(name(&common_name(value)), text);
        }
    }

    #[test]
    fn a_name_has_its_last_attribute_first() {
        let country: &[u8] = &[0x55, 4, 6];
        let organisation: &[u8] = &[0x55, 4, 0x0a];
        // The OBJECT IDENTIFIERs 1.3.6.1.4.1.99999.1 and 2.999, which have no short name.
        let (private, example): (&[u8], &[u8]) = (&[0x2b, 6, 1, 4, 1, 0x86, 0x8d, 0x1f, 1], &[0x88, 0x37]);
        let whole = [
            set(&[(country, 0x13, b"CH")]),
            set(&[(organisation, BMP_STRING, b"\0B\0\xe4\xd8")]),
            set(&[(COMMON_NAME, UTF8, b"old"), (private, UTF8, b"x"), (example, UTF8, b"y")]),
            common_name("new"),
        ]
        .concat();
        assert_eq!(name(&whole), "CN=new,CN=old+1.3.6.1.4.1.99999.1=x+2.999=y,O=Bä,C=CH");
        assert_eq!(label(&whole), "new");
        assert_eq!(label(&set(&[(organisation, UTF8, b"Example")])), "O=Example");
        assert_eq!(name(&set(&[(&[0xff; 20], UTF8, b"x"), (&[0xff, 0x7f], UTF8, b"y")])), "=x+2.16303=y");
        // The tag 0x1c is a UniversalString.
        assert_eq!(name(&set(&[(COMMON_NAME, 0x1c, b"x")])), r"CN=\1C\01x");
    }

    #[test]
    fn a_long_name_is_cut() {
        let der = set(&[(&[0x55, 4, 0x0a], UTF8, &[b'y'; 100])]).repeat(3);
        let text = name(&der);
        assert_eq!(text.chars().count(), LONGEST + 1);
        assert!(text.starts_with("O=yyy") && text.contains(",O=") && text.ends_with('…'));
    }

    #[test]
    fn truncated_or_changed_certificates_never_panic() {
        let name = element(SEQUENCE, &common_name("a"));
        let times = [element(UTC_TIME, b"261122074533Z"), element(GENERALIZED_TIME, b"20501122074533Z")].concat();
        let names = element(SEQUENCE, &[element(0x87, &[192, 0, 2, 1]), element(0x81, b"a@example")].concat());
        let extension = element(
            SEQUENCE,
            &[element(OID, &[0x55, 0x1d, 0x11]), element(BOOLEAN, &[255]), element(OCTET_STRING, &names)].concat(),
        );
        let parts = [
            element(0xa0, &element(INTEGER, &[2])),
            element(INTEGER, &[7; 20]),
            element(SEQUENCE, &[]),
            name.clone(),
            element(SEQUENCE, &times),
            name,
            element(SEQUENCE, &[]),
            element(0xa3, &element(SEQUENCE, &extension)),
        ];
        // The outer length and the first inner length each have two bytes.
        let long = |content: &[u8]| [&[SEQUENCE, 0x81, content.len() as u8], content].concat();
        let whole = long(&long(&parts.concat()));
        let walk = |der: &[u8]| {
            let fields = fields(der)?;
            let names: Vec<_> = [7, 1].map(|kind| fields.alt_names(kind).map(<[u8]>::to_vec).collect()).into();
            Some((
                super::name(fields.issuer),
                label(fields.subject),
                fields.validity().map(|(_, end)| date(end)),
                names,
            ))
        };
        let names: Vec<Vec<Vec<u8>>> = vec![vec![vec![192, 0, 2, 1]], vec![b"a@example".to_vec()]];
        assert_eq!(walk(&whole).unwrap(), ("CN=a".into(), "a".into(), Some("2050-11-22 07:45:33 UTC".into()), names));
        for end in 0..whole.len() {
            assert_eq!(walk(&whole[..end]), None);
            for byte in 0..=255 {
                let mut changed = whole.clone();
                changed[end] = byte;
                let _ = walk(&changed);
            }
        }
    }
}
