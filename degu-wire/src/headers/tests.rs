use super::*;
use crate::head::parse_trailers;
use std::string::ToString;

fn parse(lines: &mut FieldText, text: &[u8]) {
    let parse = |slots: &mut [FieldSpan]| Ok(parse_trailers(text, slots, &Limits::DEFAULT)?.len());
    let fields = lines.scan(text.len(), 128, parse).unwrap();
    lines.keep(text, fields);
}

fn received(text: &[u8]) -> Headers {
    let mut lines = FieldText::default();
    parse(&mut lines, text);
    Headers(Some(Arc::new(lines)))
}

#[test]
fn received_fields_become_our_own_when_changed() {
    let received = received(b"a: 1\r\nB: 2\r\na: 3\r\n");
    let mut headers = received.clone();
    assert_eq!(headers.get_all("A").collect::<Vec<_>>(), [b"1", b"3"]);
    headers.set("a", "x").unwrap();
    assert_eq!(headers.iter().collect::<Vec<_>>(), [("B", &b"2"[..]), ("a", b"x")]);
    assert!(headers.remove("b") && !headers.remove("b"));
    assert_eq!((headers.len(), received.len()), (1, 3));
}

#[test]
fn one_large_head_does_not_hold_its_room_forever() {
    let mut lines = FieldText::default();
    parse(&mut lines, &[b"a: ", &[b'x'; 30_000][..], b"\r\n"].concat());
    assert!(lines.text.capacity() > FieldText::KEPT);
    parse(&mut lines, b"");
    assert!(lines.text.capacity() <= FieldText::KEPT, "{}", lines.text.capacity());
}

#[test]
fn refused_fields_change_nothing() {
    let mut headers = Headers::try_from([("a", "1")]).unwrap();
    for (name, value, error) in [
        ("", "1", LocalError::FieldName),
        ("a b", "1", LocalError::FieldName),
        ("a:", "1", LocalError::FieldName),
        ("a", "1\r\nb: 2", LocalError::FieldValue),
        ("a", "\0", LocalError::FieldValue),
        ("a", " 1", LocalError::FieldValue),
    ] {
        assert_eq!(headers.set(name, value), Err(error), "{name:?} {value:?}");
    }
    assert_eq!(headers.set("b", fmt::from_fn(|_| Err(fmt::Error))), Err(LocalError::FieldValue));
    assert_eq!(headers.set("b", "x".repeat(70_000)), Err(LocalError::HeadTooLarge));
    assert_eq!(headers, Headers::try_from([("A", "1")]).unwrap());
}

#[test]
fn setting_forever_does_not_grow() {
    let mut headers = Headers::new();
    for count in 0..100_000 {
        headers.set("x-count", count).unwrap();
    }
    assert_eq!(headers.get("x-count"), Some("99999"));
    assert!(headers.text().len() <= Limits::MAX_HEAD);
}

#[test]
fn removed_fields_take_no_room_from_others() {
    let letters = |count: usize| fmt::from_fn(move |f| (0..count).try_for_each(|_| f.write_str("x")));
    let full = Limits::MAX_HEAD - "b".len();
    for fill in [1, 30_000, 40_000, full] {
        let mut headers = Headers::new();
        headers.append("a", letters(fill)).unwrap();
        assert!(headers.remove("a"));
        assert_eq!(headers.append("b", letters(full + 1)), Err(LocalError::HeadTooLarge), "{fill}");
        headers.append("b", letters(full)).unwrap();
        assert_eq!(headers.get("b").map(str::len), Some(full));
        assert_eq!(headers.append("a", ""), Err(LocalError::HeadTooLarge));
        assert_eq!((headers.len(), headers.get("b").map(str::len)), (1, Some(full)));
    }
}

#[test]
fn set_fits_without_the_fields_that_it_replaces() {
    let value = |letter: &str, count: usize| letter.repeat(count);
    let mut headers = Headers::new();
    headers.append("a", value("x", 20_000)).unwrap();
    headers.append("b", value("y", 25_000)).unwrap();
    headers.append("A", value("x", 20_000)).unwrap();
    let before = headers.clone();
    let full = Limits::MAX_HEAD - 25_000 - "ba".len();
    assert_eq!(headers.set("a", value("z", full + 1)), Err(LocalError::HeadTooLarge));
    assert_eq!(headers.set("a", value("\0", full)), Err(LocalError::FieldValue));
    let fails = fmt::from_fn(|f| f.write_str(&value("z", full)).and(Err(fmt::Error)));
    assert_eq!(headers.set("a", fails), Err(LocalError::FieldValue));
    assert_eq!(headers.append("a", value("z", full)), Err(LocalError::HeadTooLarge));
    assert_eq!(headers, before);
    for letter in ["z", "w"] {
        headers.set("a", value(letter, full)).unwrap();
        let expected = [("b", value("y", 25_000)), ("a", value(letter, full))];
        assert_eq!(headers, Headers::try_from(expected).unwrap());
    }
}

#[test]
fn trailers_refuse_what_decides_framing() {
    let mut trailers = Trailers::new();
    assert_eq!(trailers.append("Content-Length", 1), Err(LocalError::TrailerForbidden));
    assert_eq!(trailers.append_bytes("host", b"a"), Err(LocalError::TrailerForbidden));
    trailers.append("x-checksum", "abc").unwrap();
    assert_eq!((trailers.len(), trailers.get("X-Checksum")), (1, Some("abc")));
    assert_eq!(std::format!("{trailers:?}"), "[\"x-checksum\"]".to_string());
    trailers.append_bytes("x-raw", b"\xff").unwrap();
    assert_eq!(trailers.iter().nth(1), Some(("x-raw", &b"\xff"[..])));
}
