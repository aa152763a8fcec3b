//! The shared vocabulary: what errors, phrases, bodies and fields say, and to whom.

use core::future::ready;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::collections::HashSet;
use std::error::Error;

use degu_wire::machine::Content;
use degu_wire::{
    Address, AddressError, AddressFault, Body, ByteRange, Chunk, Fault, Headers, LocalBody, LocalError, Method, Part,
    RangeError, RemoteError, Source, Trailers, reason_phrase,
};

/// Texts that are there, differ, and read as parts of a sentence.
fn tell_apart<'t>(texts: impl IntoIterator<Item = &'t str>) {
    let mut seen = HashSet::new();
    for text in texts {
        assert!(text.len() > 10 && !text.ends_with('.'), "{text:?}");
        assert!(seen.insert(text), "{text:?} twice");
    }
}

#[test]
fn every_fault_has_a_text_and_a_status() {
    tell_apart(Fault::ALL.iter().map(|fault| fault.explain()));
    for &fault in Fault::ALL {
        assert!(matches!(fault.status(), 400 | 413 | 414 | 417 | 431 | 501 | 505), "{fault:?}");
        assert!(!reason_phrase(fault.status()).is_empty());
        let error: &dyn Error = &RemoteError::from(fault);
        assert_eq!(error.to_string(), fault.to_string());
        assert_eq!(RemoteError::at(fault, 7).to_string(), format!("{} (at byte 7)", fault.explain()));
    }
}

#[test]
fn every_error_of_ours_has_a_text() {
    use LocalError::*;
    let errors = [
        Method,
        Target,
        Status,
        Reason,
        FieldName,
        FieldValue,
        HeadTooLarge,
        FieldRepeated,
        FieldNotAllowed,
        ContentLength,
        TrailerForbidden,
        ChunkExtension,
        BodyNotAllowed,
        BodyTooLong,
        BodyTooShort,
        ChunkLength,
        Protocol,
        NotOffered,
        BufferTooSmall,
        State,
    ];
    tell_apart(errors.iter().map(|error| error.explain()));
    assert!(errors.iter().all(|error| error.to_string() == error.explain()));
}

#[test]
fn every_fault_of_an_address_has_a_text() {
    use AddressFault::*;
    let faults = [
        Empty,
        PortMissing,
        HostMissing,
        Scheme,
        Port,
        Brackets,
        Ipv4,
        Ipv6,
        Zone,
        HostCharacter,
        HostLabel,
        HostTooLong,
        HostReserved,
        PathEmpty,
        PathNul,
        PathTooLong,
        AbstractEmpty,
        AbstractTooLong,
        Escape,
        Control,
        NotIp,
        ZoneUnresolved,
        NotUnix,
        NotBound,
        Unnamed,
        AbstractUnsupported,
    ];
    tell_apart(faults.iter().map(|fault| fault.explain()));
    for fault in faults {
        assert!(AddressError::from(fault).to_string().starts_with(fault.explain()));
    }
}

#[test]
fn every_error_of_a_range_has_a_text() {
    use RangeError::*;
    let errors = [Unit, Several, Syntax, Overflow, Empty, BeyondTotal];
    tell_apart(errors.iter().map(|error| error.explain()));
    assert!(errors.iter().all(|error| error.to_string() == error.explain()));
}

#[test]
fn phrases_are_those_of_the_standards() {
    // RFC 9110 §15; 103: RFC 8297; 428, 429, 431, 511: RFC 6585.
    let known = [
        (100, "Continue"),
        (101, "Switching Protocols"),
        (103, "Early Hints"),
        (200, "OK"),
        (201, "Created"),
        (202, "Accepted"),
        (203, "Non-Authoritative Information"),
        (204, "No Content"),
        (205, "Reset Content"),
        (206, "Partial Content"),
        (300, "Multiple Choices"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (304, "Not Modified"),
        (305, "Use Proxy"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (402, "Payment Required"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (406, "Not Acceptable"),
        (407, "Proxy Authentication Required"),
        (408, "Request Timeout"),
        (409, "Conflict"),
        (410, "Gone"),
        (411, "Length Required"),
        (412, "Precondition Failed"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (415, "Unsupported Media Type"),
        (416, "Range Not Satisfiable"),
        (417, "Expectation Failed"),
        (421, "Misdirected Request"),
        (422, "Unprocessable Content"),
        (426, "Upgrade Required"),
        (428, "Precondition Required"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (505, "HTTP Version Not Supported"),
        (511, "Network Authentication Required"),
    ];
    for status in 0..1000 {
        let phrase = known.iter().find(|(known, _)| *known == status).map_or("", |(_, phrase)| phrase);
        assert_eq!(reason_phrase(status), phrase, "{status}");
    }
}

#[test]
fn headers_are_made_from_lists_of_fields() {
    let expected = Headers::try_from([("a", "1"), ("b", "x")]).unwrap();
    assert_eq!(Headers::try_from((("a", 1), ("b", "x"))).unwrap(), expected);
    assert_eq!(Headers::try_from(vec![("a".to_owned(), '1'), ("b".to_owned(), 'x')]).unwrap(), expected);
    assert_eq!(Headers::try_from(&[("a", "1"), ("b", "x")][..]).unwrap(), expected);
    assert_eq!(Headers::try_from_iter(expected.iter().map(|(name, value)| (name, value.escape_ascii()))), Ok(expected));
    let eight =
        (("a", 1), ("b", 2.5), ("c", "3"), ("d", 'd'), ("e", true), ("f", 6_u8), ("g", String::new()), ("h", &8));
    let headers = Headers::try_from(eight).unwrap();
    assert_eq!((headers.len(), headers.get("b"), headers.get("h")), (8, Some("2.5"), Some("8")));
    let error = Headers::try_from((("a", 1), ("b c", 2), ("d", "\n"))).unwrap_err();
    assert_eq!((error.name(), error.rule()), ("b c", LocalError::FieldName));
}

#[test]
fn methods_are_what_the_standard_says() {
    // Name, idempotent (RFC 9110 §9.2.2), expected to have content.
    for (name, idempotent, content) in [
        ("GET", true, false),
        ("HEAD", true, false),
        ("PUT", true, true),
        ("POST", false, true),
        ("DELETE", true, false),
        ("PATCH", false, true),
        ("OPTIONS", true, false),
        ("CONNECT", false, false),
        ("TRACE", true, false),
        ("get", false, false),
        ("PROPFIND", false, false),
    ] {
        let method = Method::from(name);
        assert_eq!((method.as_str(), method.to_string().as_str()), (name, name));
        assert_eq!((method.is_idempotent(), method.expects_content()), (idempotent, content), "{name}");
        let is_known = !matches!(method, Method::Extension(_));
        assert_eq!(is_known, !matches!(name, "get" | "PROPFIND"), "{name}");
    }
}

#[test]
fn bodies_know_their_length_and_do_not_show_their_content() {
    let source = || Box::pin(NoParts);
    let bodies: [(Body, _, _); 7] = [
        (().into(), Some(0), "no body"),
        (Body::default(), Some(0), "no body"),
        ("hello".into(), Some(5), "5 bytes"),
        (String::from("hello!").into(), Some(6), "6 bytes"),
        (b"".into(), Some(0), "0 bytes"),
        (Body::from_source(7, source()), Some(7), "7 bytes from a source"),
        (Body::chunks_from_source(source()), None, "chunks from a source"),
    ];
    for (body, length, shown) in bodies {
        assert_eq!((body.length(), format!("{body:?}").as_str()), (length, shown));
        assert_eq!(body.is_none(), shown == "no body");
        let local = LocalBody::from(body);
        assert_eq!((local.length(), format!("{local:?}").as_str()), (length, shown));
        match local.split() {
            (Content::None, None) => assert_eq!(shown, "no body"),
            (Content::Bytes(bytes), None) => assert_eq!(Some(bytes.len() as u64), length),
            (Content::Length(announced), Some(_)) => assert_eq!(Some(announced), length),
            (Content::Chunked, Some(_)) => assert_eq!(length, None),
            (content, source) => panic!("{content:?}, {}", source.is_some()),
        }
    }
}

struct NoParts;

impl Source for NoParts {
    fn poll_part(
        self: core::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, degu_wire::BoxError>>> {
        Poll::Ready(None)
    }
}

#[test]
fn an_unfolded_body_gives_parts_until_its_function_does_not() {
    let next = |n: u32| ready(Ok((n < 3).then(|| (Chunk::new("tick").with_extension("n", n), n + 1))));
    for body in [LocalBody::try_unfold(0, next), Body::try_unfold(0, next).into()] {
        let (Content::Chunked, Some(mut source)) = body.split() else { panic!("chunks") };
        let mut context = Context::from_waker(Waker::noop());
        for n in 0..3 {
            let Poll::Ready(Some(Ok(Part::Chunk { size: 4, extensions, .. }))) =
                source.as_mut().poll_part(&mut context)
            else {
                panic!("chunk {n}")
            };
            assert_eq!(extensions.get("n").as_deref(), Some(n.to_string().as_str()));
        }
        for _ in 0..2 {
            assert!(matches!(source.as_mut().poll_part(&mut context), Poll::Ready(None)));
        }
    }
}

#[test]
fn an_unfolded_body_fails_with_its_function() {
    let body = LocalBody::try_unfold(0, async |n| match n {
        0 => Ok(Some((Chunk::new("x"), 1))),
        _ => Err("out of ticks".into()),
    });
    let (Content::Chunked, Some(mut source)) = body.split() else { panic!("chunks") };
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(source.as_mut().poll_part(&mut context), Poll::Ready(Some(Ok(_)))));
    let Poll::Ready(Some(Err(error))) = source.as_mut().poll_part(&mut context) else { panic!("no error") };
    assert_eq!(error.to_string(), "out of ticks");
    assert!(matches!(source.as_mut().poll_part(&mut context), Poll::Ready(None)));
}

#[test]
fn an_unfolded_body_waits_for_its_function() {
    let body = LocalBody::try_unfold(false, |done| async move {
        let mut waited = done;
        core::future::poll_fn(|_| if core::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending })
            .await;
        Ok((!done).then(|| (Chunk::new("x"), true)))
    });
    let (Content::Chunked, Some(source)) = body.split() else { panic!("chunks") };
    let mut source = pin!(source);
    let mut context = Context::from_waker(Waker::noop());
    assert!(source.as_mut().get_mut().as_mut().poll_part(&mut context).is_pending());
    assert!(matches!(source.as_mut().get_mut().as_mut().poll_part(&mut context), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(source.as_mut().get_mut().as_mut().poll_part(&mut context), Poll::Ready(None)));
}

#[test]
fn fields_are_found_and_their_values_not_shown() {
    let headers =
        Headers::try_from(&[("Vary", "accept, Origin"), ("vary", "x"), ("Authorization", "secret")][..]).unwrap();
    assert!(!headers.is_empty() && Headers::from(()).is_empty() && Headers::new() == Headers::default());
    for (member, is_there) in
        [("accept", true), ("origin", true), ("x", true), ("acc", false), ("accept, origin", false)]
    {
        assert_eq!(headers.has_member("VARY", member), is_there, "{member}");
    }
    assert!(headers.contains("authorization") && !headers.contains("secret"));
    assert_eq!(format!("{headers:?}"), r#"["Vary", "vary", "Authorization"]"#);
    assert_eq!(Headers::from(&headers), headers);
    for other in [[("vary", "x")], [("vary", "y")], [("vari", "x")]].map(|fields| Headers::try_from(fields).unwrap()) {
        assert_ne!(other, headers);
        assert_eq!(other == Headers::try_from([("VARY", "x")]).unwrap(), other.get("vary") == Some("x"));
    }
    let mut bytes = Headers::new();
    bytes.append_bytes("x", b"\xff").unwrap();
    assert_eq!((bytes.get("x"), bytes.get_bytes("x")), (None, Some(&b"\xff"[..])));

    let trailers = Trailers::try_from([("digest", "x"), ("y", "z")]).unwrap();
    assert_eq!((trailers.len(), trailers.is_empty(), trailers.get("Y")), (2, false, Some("z")));
    assert_eq!(trailers.iter().collect::<Vec<_>>(), [("digest", &b"x"[..]), ("y", b"z")]);
    assert_eq!(Trailers::try_from([("host", "x")]), Err(LocalError::TrailerForbidden));
    assert!(Trailers::new().is_empty() && Trailers::new().get("y").is_none());
}

#[test]
fn a_value_that_goes_on_forever_is_refused() {
    struct Endless;
    impl core::fmt::Display for Endless {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            loop {
                f.write_str("0123456789")?;
            }
        }
    }
    assert_eq!(Headers::new().append("x", Endless), Err(LocalError::HeadTooLarge));
}

#[test]
fn debug_of_an_error_is_its_sentence() {
    let sentences = [
        (format!("{:?}", "127.0.0.1".parse::<Address>().unwrap_err()), "the port is missing"),
        (format!("{:?}", Headers::new().append("x", "\n").unwrap_err()), "a field value"),
        (format!("{:?}", Headers::try_from([("x", "\n")]).unwrap_err()), "field \"x\": a field value"),
        (format!("{:?}", "bytes=1-0".parse::<ByteRange>().unwrap_err()), "the range"),
        (
            format!("{:?}", RemoteError::at(Fault::ObsFold, 7)),
            "a field value that is folded over several lines (at byte 7)",
        ),
    ];
    for (sentence, begins) in sentences {
        assert!(sentence.starts_with(begins), "{sentence}");
    }
}
