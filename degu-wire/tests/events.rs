//! Lines and server-sent events, split everywhere.

use std::time::Duration;

use bytes::Bytes;
use degu_wire::sse::{Decoder, Event};
use degu_wire::{Fault, Lines, LocalError};

/// Reads all events of a stream that comes in pieces of `step` bytes.
fn events(stream: &str, step: usize) -> (Vec<Event>, Decoder) {
    let mut decoder = Decoder::new(64);
    let mut events = Vec::new();
    for piece in stream.as_bytes().chunks(step) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event().unwrap() {
            events.push(event);
        }
    }
    (events, decoder)
}

#[test]
fn events_are_the_same_however_the_stream_is_cut() {
    // The examples of the HTML Standard §9.2.6, and what browsers agree on.
    for (stream, expected) in [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", vec![Event::new("YHOO\n+2\n10")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            vec![Event::new("first event").id(1), Event::new("second event"), Event::new(" third event")],
        ),
        ("data\n\ndata\ndata\n\ndata:", vec![Event::new(""), Event::new("\n")]),
        ("data:test\n\ndata: test\n\n", vec![Event::new("test"), Event::new("test")]),
        (
            "\u{feff}data: a\r\n\r\ndata: b\r\rid: 2\revent: x\rdata: c\n\r",
            vec![Event::new("a"), Event::new("b"), Event::new("c").id(2).name("x")],
        ),
        ("id: 5\n\ndata: a\n\ndata: b\nid: 6\0\n\n", vec![Event::new("a").id(5), Event::new("b").id(5)]),
        ("event: a\n\ndata: x\nfoo: bar\nevent: \n\n", vec![Event::new("x")]),
        ("data: cut\n", vec![]),
    ] {
        for step in 1..=stream.len() {
            assert_eq!(events(stream, step).0, expected, "{stream:?} by {step}");
        }
    }
}

#[test]
fn a_retry_is_kept_and_must_be_digits() {
    let (_, decoder) = events("retry: 250\n\nretry: 1x\n\nretry: -1\n\n", 3);
    assert_eq!(decoder.retry(), Some(Duration::from_millis(250)));
}

#[test]
fn an_event_that_is_encoded_is_decoded_to_itself() {
    for data in ["", "\n", "one", "one\ntwo", " spaced ", "ends\n", ": no comment", "data: x"] {
        let event = Event::new(data).id(9).name("kind");
        let text = event.encode().unwrap();
        assert_eq!(events(std::str::from_utf8(&text).unwrap(), 5).0, [event], "{text:?}");
    }
    for event in [Event::new("").id("a\nb"), Event::new("").id("a\0"), Event::new("").name("a\rb")] {
        assert!(event.encode().is_err(), "{event:?}");
    }
}

#[test]
fn each_cr_lf_or_crlf_of_an_event_is_one_line_end() {
    // A receiver cannot tell a CR from another line end.
    for (data, read) in [
        ("a\rb\r\nc", "a\nb\nc"),
        ("a\r", "a\n"),
        ("a\r\n", "a\n"),
        ("\r", "\n"),
        ("a\n\r", "a\n\n"),
        ("a\r\r\nb", "a\n\nb"),
        ("\r\r", "\n\n"),
    ] {
        let text = Event::new(data).encode().unwrap();
        assert_eq!(events(std::str::from_utf8(&text).unwrap(), 5).0, [Event::new(read)], "{data:?} as {text:?}");
    }
}

#[test]
fn an_identifier_that_cannot_be_formatted_is_refused() {
    let event = Event::new("x").id(std::fmt::from_fn(|_| Err(std::fmt::Error)));
    let error = event.encode().unwrap_err();
    assert_eq!((error.name(), error.rule()), ("id", LocalError::FieldValue));
    assert_eq!(event.id(7).encode().unwrap(), "id: 7\ndata: x\n\n");
}

#[test]
fn a_line_or_an_event_without_end_stops_at_the_limit() {
    let mut lines = Lines::new(10);
    lines.push("0123456789\r\n01234".into());
    assert_eq!(lines.next_line().unwrap().unwrap(), "0123456789");
    assert_eq!(lines.next_line(), Ok(None));
    lines.push("56789".into());
    assert_eq!(lines.next_line(), Ok(None));
    lines.push("01".into());
    assert_eq!(lines.next_line(), Err(Fault::LineTooLong));

    let mut decoder = Decoder::new(10);
    let mut read = 0;
    let fault = loop {
        decoder.push("data: 1\n".into());
        match decoder.next_event() {
            Ok(event) => assert_eq!(event, None),
            Err(fault) => break fault,
        }
        read += 1;
        assert!(read < 20, "an event grows without a bound");
    };
    assert_eq!(fault, Fault::LineTooLong);

    let mut decoder = Decoder::new(7);
    decoder.push("data:ab\ndata:ab\n\ndata:ab\ndata:ab\ndata:ab\n".into());
    assert_eq!(decoder.next_event(), Ok(Some(Event::new("ab\nab"))));
    assert_eq!(decoder.next_event(), Err(Fault::LineTooLong), "data of eight bytes");
}

#[test]
fn a_line_is_never_over_the_limit_whatever_the_limit() {
    let mut lines = Lines::new(3);
    lines.push("abc\r".into());
    assert_eq!(lines.next_line(), Ok(None));
    lines.push("\nabcd".into());
    assert_eq!(lines.next_line().unwrap().unwrap(), "abc");
    assert_eq!(lines.next_line(), Err(Fault::LineTooLong), "before its end is known");
    let mut lines = Lines::new(usize::MAX);
    lines.push("abc\n".into());
    assert_eq!(lines.next_line().unwrap().unwrap(), "abc");
}

#[test]
fn a_cut_event_leaves_the_identifier_of_the_one_before() {
    let (_, mut decoder) = events("id: 1\ndata: a\n\nid: 2\ndata: cut", 7);
    decoder.reset();
    decoder.push("\u{feff}data: b\n\n".into());
    assert_eq!(decoder.next_event(), Ok(Some(Event::new("b").id(1))));
}

#[test]
fn lines_are_the_same_however_they_are_cut() {
    let text = "one\r\n\ntwo\rthree\nfour\r";
    for step in 1..=text.len() {
        let mut lines = Lines::new(20);
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            lines.push(Bytes::copy_from_slice(piece));
            while let Some(line) = lines.next_line().unwrap() {
                found.push(line);
            }
        }
        found.extend(lines.finish());
        assert_eq!(found, ["one", "", "two\rthree", "four\r"], "by {step}");
    }
}
