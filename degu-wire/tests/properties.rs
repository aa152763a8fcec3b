//! Heads and trailers: what is encoded is read as it was meant, and nothing that comes makes a parser stumble.

use degu_wire::chunk::{Decoder, Step};
use degu_wire::head::{
    FieldSpan, Fields, encode_request, encode_response, encode_trailers, find_head_end, parse_request, parse_response,
    parse_trailers,
};
use degu_wire::{Framing, Limits, LocalError, Method};
use proptest::collection::vec;
use proptest::prelude::*;

const TOKEN: &str = "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}";

type Field = (String, Vec<u8>);

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => 0x20..0x7f_u8, 1 => 0x80..=0xff_u8, 1 => Just(b'\t')];
    vec(byte, 0..60).prop_map(|value| value.trim_ascii().to_vec())
}

/// Fields of any name but those that the codec itself understands.
fn fields() -> impl Strategy<Value = Vec<Field>> {
    let known = ["host", "range", "expect", "connection"];
    let name = TOKEN.prop_filter("known", move |name| !known.iter().any(|known| name.eq_ignore_ascii_case(known)));
    vec((name, value()), 0..24)
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "([a-z0-9_.~-]{1,12}(:[0-9]{0,6})?)?",
        Just("[fe80::1]:80".to_owned()),
        Just("%61!$&'()*+;=".to_owned())
    ]
}

fn method() -> impl Strategy<Value = String> {
    prop_oneof![prop::sample::select(vec!["GET", "HEAD", "PUT", "OPTIONS", "TRACE"]).prop_map(str::to_owned), TOKEN]
}

fn framing() -> impl Strategy<Value = Framing> {
    let length = prop_oneof![0..100_u64, any::<u64>()];
    prop_oneof![Just(Framing::None), Just(Framing::Chunked), length.prop_map(Framing::Length)]
}

fn borrowed(fields: &[Field]) -> impl Iterator<Item = (&str, &[u8])> + Clone {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
}

/// The fields that were read begin with those that were written; the framing field may follow.
fn same(read: Fields, written: &[Field], framing: Framing) -> bool {
    let more = usize::from(framing != Framing::None);
    read.len() == written.len() + more && read.iter().zip(borrowed(written)).all(|(one, another)| one == another)
}

/// The buffer is too small for each prefix of what is written, and nothing stands after it.
fn encoded(encode: impl Fn(&mut [u8]) -> Result<usize, LocalError>) -> Vec<u8> {
    let mut out = vec![0xaa; 8192];
    let length = encode(&mut out).unwrap();
    assert!(out[length..].iter().all(|&byte| byte == 0xaa), "written beyond the end");
    for short in [0, 1, length / 2, length - 1] {
        assert_eq!(encode(&mut vec![0; short]), Err(LocalError::BufferTooSmall), "{short} of {length}");
    }
    assert_eq!(encode(&mut vec![0; length]), Ok(length));
    out.truncate(length);
    out
}

/// Bytes that often are heads, or nearly heads.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "GET http://b/ HTTP/1.1\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 204\r\n",
        "HTTP/1.0 404 \r\n",
        "Host: a\r\n",
        "host:\r\n",
        "X: y\r\n",
        "X:\t \r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
    ]);
    let scrap = prop::sample::select(vec![
        "\r\n", "\r", "\n", " ", "\t", ":", "\0", "\u{7f}", "é", "a", "/", "1", "HTTP/1.1", "#",
    ]);
    let piece = prop_oneof![6 => line.prop_map(str::as_bytes), 2 => scrap.prop_map(str::as_bytes)];
    let cut =
        (vec(piece, 0..10), any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    cut.prop_map(|(pieces, end, place, byte, damage)| {
        let mut wire = pieces.concat();
        wire.extend_from_slice(b"\r\n");
        if damage {
            let place = place.index(wire.len());
            wire[place] = byte;
            wire.truncate(end.index(wire.len() + 1));
        }
        wire
    })
}

proptest! {
    #[test]
    fn requests_are_read_as_they_were_written(
        method in method(),
        origin in "/[!-\"$-~]{0,40}",
        absolute in prop::option::of(("[hH][tT][tT][pP][sS]?", "[a-z0-9.-]{1,12}(:[0-9]{0,5})?", "(/[!-\"$->@-~]{0,20})?", prop::option::of("[!-\"$-~]{0,12}"))),
        host in host(),
        fields in fields(),
        framing in framing(),
        place in any::<prop::sample::Index>(),
    ) {
        let (target, path, authority) = match &absolute {
            None => (origin.clone(), origin.clone(), host.clone()),
            Some((scheme, authority, path, query)) => {
                let path = if query.is_none() { path.clone() } else { format!("{path}?{}", query.as_deref().unwrap_or_default()) };
                (format!("{scheme}://{authority}{path}"), path, authority.clone())
            }
        };
        prop_assume!(method != "CONNECT");
        let mut fields = fields;
        fields.insert(place.index(fields.len() + 1), ("Host".to_owned(), host.into_bytes()));
        let wire = encoded(|out| encode_request(out, Method::from(method.as_str()), &target, borrowed(&fields), framing));
        prop_assert_eq!(find_head_end(&wire, 0), Some(wire.len()));

        let mut slots = [FieldSpan::EMPTY; 32];
        let head = parse_request(&wire, &mut slots, &Limits::DEFAULT).unwrap().unwrap();
        prop_assert_eq!((head.method().as_str(), head.target()), (method.as_str(), target.as_str()));
        let (path, query) = path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
        prop_assert_eq!((head.path(), head.query()), (if path.is_empty() { "/" } else { path }, query));
        prop_assert_eq!(head.authority(), authority);
        prop_assert_eq!((head.head_len(), head.framing()), (wire.len(), framing));
        prop_assert!(same(head.fields(), &fields, framing), "{:?}", head);
        prop_assert!(head.keep_alive() && !head.is_http10() && !head.expects_continue());
    }

    #[test]
    fn responses_are_read_as_they_were_written(
        status in 100..=999_u16,
        reason in "[ -~\té]{0,30}",
        fields in fields(),
        framing in framing(),
        head in any::<bool>(),
    ) {
        let framing = if status < 200 || status == 204 { Framing::None } else { framing };
        let wire = encoded(|out| encode_response(out, status, &reason, borrowed(&fields), framing));
        prop_assert_eq!(find_head_end(&wire, 0), Some(wire.len()));

        let mut slots = [FieldSpan::EMPTY; 32];
        let mut copy = wire.clone();
        let parsed = parse_response(&mut copy, &mut slots, &Limits::DEFAULT).unwrap().unwrap();
        prop_assert_eq!((parsed.status(), parsed.reason()), (status, reason.as_bytes()));
        let bodiless = head || status < 200 || matches!(status, 204 | 304);
        let expected = match framing {
            _ if bodiless => Framing::None,
            Framing::None => Framing::UntilClose,
            framing => framing,
        };
        prop_assert_eq!(parsed.framing(if head { Method::Head } else { Method::Get }), expected);
        prop_assert_eq!(parsed.head_len(), wire.len());
        prop_assert!(same(parsed.fields(), &fields, framing), "{:?}", parsed);
        prop_assert!(parsed.keep_alive() && !parsed.is_http10());
    }

    #[test]
    fn trailers_are_read_as_they_were_written(fields in vec(("x[!-9A-Za-z]{0,8}".prop_map(|name| name.replace(['"', '(', ')', ',', '/'], "-")), value()), 0..20)) {
        let wire = encoded(|out| encode_trailers(out, borrowed(&fields)));
        let section = wire.strip_suffix(b"\r\n").unwrap();
        let mut slots = [FieldSpan::EMPTY; 32];
        prop_assert!(same(parse_trailers(section, &mut slots, &Limits::DEFAULT).unwrap(), &fields, Framing::None));

        let mut decoder = Decoder::new(&Limits::DEFAULT);
        decoder.decode(b"0\r\n").unwrap();
        prop_assert_eq!(decoder.decode(&wire).unwrap().consumed, wire.len());
        prop_assert!(decoder.is_done());
    }

    #[test]
    fn no_bytes_make_a_parser_stumble(wire in prop_oneof![wire(), vec(any::<u8>(), 0..200)], room in 0..8_usize, max_head in 0..200_usize) {
        let limits = Limits { max_head, max_leading_lines: 2, allow_http10: true, ..Limits::DEFAULT };
        let mut slots = [FieldSpan::EMPTY; 8];
        // What is said of a part is said of the whole.
        let (mut request, mut response) = (None, None);
        for length in 0..=wire.len() {
            let part = &wire[..length];
            let found = parse_request(part, &mut slots[..room], &limits).map(|head| head.map(|head| head.head_len()));
            if request.is_none() && found != Ok(None) {
                request = Some(found);
            }
            prop_assert_eq!(found, request.unwrap_or(Ok(None)));
            let found = parse_response(&mut part.to_vec(), &mut slots[..room], &limits).map(|head| head.map(|head| head.head_len()));
            if response.is_none() && found != Ok(None) {
                response = Some(found);
            }
            prop_assert_eq!(found, response.unwrap_or(Ok(None)));
            prop_assert!(find_head_end(&wire, length) == find_head_end(&wire, 0) || find_head_end(part, 0).is_some());
        }
        let _ = parse_trailers(&wire, &mut slots[..room], &limits);
        let mut decoder = Decoder::new(&limits);
        let mut rest = wire.as_slice();
        while let Ok(Step { consumed, event: Some(_) }) = decoder.decode(rest) {
            rest = &rest[consumed..];
        }
    }
}
