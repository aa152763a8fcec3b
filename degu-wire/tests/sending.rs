//! Heads that an application cannot make the encoders and the machines send: each try is a [`LocalError`], and nothing
//! of it is written.

use core::task::Poll;

use degu_wire::head::{encode_request, encode_response, encode_trailers};
use degu_wire::machine::{Client, Connection, Content, Server};
use degu_wire::{Framing, Headers, Limits, LocalError, Method, Trailers};

/// Bytes that end a line, a string, or what they stand in.
const HOSTILE: [&str; 9] = ["\r\n", "\r", "\n", "\0", "\x0b", "\x1b", "\x7f", "a\r\nb: c", "a\r\n\r\nGET / HTTP/1.1"];
/// Further texts that are not tokens.
const NO_TOKENS: [&str; 12] = ["", " ", "a b", "a:", "a\t", "é", "a,b", "a/b", "(a)", "a=b", "a;b", "\"a\""];

fn no_tokens() -> impl Iterator<Item = &'static str> {
    HOSTILE.into_iter().chain(NO_TOKENS)
}

fn client() -> Connection<Client> {
    Connection::<Client>::new(Limits::DEFAULT)
}

/// A server that has this request to answer.
fn server(request: &[u8]) -> Connection<Server> {
    let mut server = Connection::<Server>::new(Limits { allow_http10: true, ..Limits::DEFAULT });
    server.receive_buffer().extend_from_slice(request);
    assert!(matches!(server.poll_request(), Ok(Poll::Ready(Some(_)))));
    server
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";

fn request(method: Method, target: &str, host: &str, headers: &Headers, content: Content) -> Result<(), LocalError> {
    let mut client = client();
    let result = client.request(method, target, host, headers, content);
    assert_eq!(client.is_flushed(), result.is_err(), "nothing is written after an error");
    assert_eq!(client.is_reusable(), result.is_err(), "another request can be sent after an error");
    result
}

fn respond(to: &[u8], status: u16, reason: &str, headers: &Headers, content: Content) -> Result<(), LocalError> {
    let mut server = server(to);
    let result = server.respond(status, reason, headers, content, None);
    assert_eq!(server.is_flushed(), result.is_err(), "nothing is written after an error");
    assert_eq!(server.has_responded(), result.is_ok());
    if result.is_err() {
        server.respond(500, "x", &Headers::new(), Content::None, None).expect("another response can be sent");
    }
    result
}

fn one(name: &str, value: &str) -> Headers {
    Headers::try_from([(name, value)]).unwrap()
}

fn several<const N: usize>(fields: [(&str, &str); N]) -> Headers {
    Headers::try_from(fields).unwrap()
}

/// The core's encoder for a request with one field.
fn encode(method: Method, target: &str, name: &str, value: &[u8]) -> Result<usize, LocalError> {
    encode_request(&mut [0; 256], method, target, [("host", &b"a"[..]), (name, value)], Framing::None)
}

#[test]
fn methods_are_tokens() {
    for method in no_tokens().map(Method::Extension) {
        assert_eq!(request(method, "/", "a", &Headers::new(), Content::None), Err(LocalError::Method), "{method:?}");
        assert_eq!(encode(method, "/", "x", b"y"), Err(LocalError::Method), "{method:?}");
    }
    assert_eq!(request(Method::Connect, "a:1", "a", &Headers::new(), Content::None), Err(LocalError::Method));
    assert_eq!(request(Method::Extension("M"), "/", "a", &Headers::new(), Content::None), Ok(()));
}

#[test]
fn a_known_method_is_known_however_it_was_written() {
    let head = Method::Extension("HEAD");
    let mut client = client();
    client.request(head, "/", "a", &Headers::new(), Content::None).unwrap();
    client.receive_buffer().extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert!(client.poll_response().unwrap().is_ready());
    assert!(!client.is_receiving() && client.is_reusable());

    let (connect, options) = (Method::Extension("CONNECT"), Method::Extension("OPTIONS"));
    assert_eq!(request(connect, "/", "a", &Headers::new(), Content::None), Err(LocalError::Method));
    assert_eq!(encode(connect, "/", "a", b"b"), Err(LocalError::Method));
    assert_eq!(encode(Method::Connect, "/", "a", b"b"), Err(LocalError::Method));
    assert!(encode(options, "*", "a", b"b").is_ok());
}

#[test]
fn targets_are_visible_ascii_in_one_of_three_forms() {
    let bad = ["", " ", "a", "*a", "/a b", "/a#b", "/é", "?a", "//\r", "a:80", "http:", "http://", "http://u@a/"];
    let hostile = HOSTILE.iter().map(|bytes| format!("/{bytes}"));
    for target in bad.iter().map(|target| (*target).to_owned()).chain(hostile) {
        let sent = request(Method::Get, &target, "a", &Headers::new(), Content::None);
        assert_eq!(sent, Err(LocalError::Target), "{target:?}");
        assert_eq!(encode(Method::Get, &target, "x", b"y"), Err(LocalError::Target), "{target:?}");
    }
    assert_eq!(request(Method::Get, "*", "a", &Headers::new(), Content::None), Err(LocalError::Target));
    for (method, target) in
        [(Method::Options, "*"), (Method::Get, "http://b/c"), (Method::Get, "//?%00"), (Method::Get, "/{")]
    {
        assert_eq!(request(method, target, "a", &Headers::new(), Content::None), Ok(()), "{target}");
    }
}

#[test]
fn hosts_are_hosts() {
    for host in HOSTILE.into_iter().chain([" ", "a b", "u@a", "a/b", "a,b", "[::1%25x]", "::1", "é", "a:b"]) {
        let sent = request(Method::Get, "/", host, &Headers::new(), Content::None);
        assert_eq!(sent, Err(LocalError::FieldValue), "{host:?}");
        assert_eq!(
            encode_request(&mut [0; 99], Method::Get, "/", [("Host", host)], Framing::None).unwrap_err(),
            LocalError::FieldValue
        );
    }
    let sent = request(Method::Get, "/", "a", &one("host", "b c"), Content::None);
    assert_eq!(sent, Err(LocalError::FieldValue));
    assert_eq!(request(Method::Get, "/", "not read: the headers have one", &one("host", "b"), Content::None), Ok(()));
    assert_eq!(request(Method::Get, "/", "", &Headers::new(), Content::None), Ok(()));
}

#[test]
fn host_of_a_target_that_is_a_uri_is_its_authority() {
    for (target, headers, host) in [
        ("http://b:80/c?d", Headers::new(), "b:80"),
        ("HTTPS://[::1]", Headers::new(), "[::1]"),
        ("http://b/", one("Host", "c"), "c"),
        ("/http://b/", Headers::new(), "a"),
    ] {
        let mut client = client();
        client.request(Method::Get, target, "a", &headers, Content::None).unwrap();
        let expected = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(client.pending().concat().to_ascii_lowercase(), expected.to_ascii_lowercase().into_bytes());
    }
}

#[test]
fn expect_is_sent_only_with_content() {
    let headers = several([("expect", "100-continue"), ("x", "y")]);
    for (method, content, is_sent) in [
        (Method::Get, Content::None, false),
        (Method::Put, Content::None, false),
        (Method::Put, Content::Bytes("".into()), false),
        (Method::Put, Content::Bytes("x".into()), true),
        (Method::Put, Content::Chunked, true),
    ] {
        let mut client = client();
        client.request(method, "/", "a", &headers, content.clone()).unwrap();
        let head = String::from_utf8(client.pending().concat()).unwrap();
        assert_eq!(head.contains("expect: 100-continue\r\n"), is_sent, "{method} {content:?}");
        assert_eq!(client.may_send_body(), !is_sent, "{method} {content:?}");
    }
}

#[test]
fn reasons_have_no_controls() {
    for reason in HOSTILE {
        let sent = respond(GET, 200, reason, &Headers::new(), Content::None);
        assert_eq!(sent, Err(LocalError::Reason), "{reason:?}");
        let none: [(&str, &str); 0] = [];
        let encoded = encode_response(&mut [0; 99], 200, reason, none, Framing::None);
        assert_eq!(encoded, Err(LocalError::Reason), "{reason:?}");
    }
    for reason in ["", "OK", "a\tb", " ", "é"] {
        assert_eq!(respond(GET, 200, reason, &Headers::new(), Content::None), Ok(()), "{reason:?}");
    }
}

#[test]
fn statuses_are_final_and_have_three_digits() {
    for status in [0, 1, 99, 100, 101, 199, 1000, u16::MAX] {
        assert_eq!(respond(GET, status, "x", &Headers::new(), Content::None), Err(LocalError::Status), "{status}");
    }
    for status in [200, 599, 600, 999] {
        assert_eq!(respond(GET, status, "x", &Headers::new(), Content::None), Ok(()), "{status}");
    }
    let none: [(&str, &str); 0] = [];
    for status in [0, 99, 1000] {
        let encoded = encode_response(&mut [0; 99], status, "x", none, Framing::None);
        assert_eq!(encoded, Err(LocalError::Status), "{status}");
    }
    assert_eq!(encode_response(&mut [0; 99], 100, "x", none, Framing::None), Ok(18));
}

#[test]
fn field_names_are_tokens() {
    for name in no_tokens() {
        let mut headers = one("a", "b");
        assert_eq!(headers.append(name, "x"), Err(LocalError::FieldName), "{name:?}");
        assert_eq!(headers.set(name, "x"), Err(LocalError::FieldName), "{name:?}");
        assert_eq!(headers.append_bytes(name, b"x"), Err(LocalError::FieldName), "{name:?}");
        assert_eq!(headers, one("a", "b"), "{name:?}");
        assert_eq!(Trailers::new().append(name, "x"), Err(LocalError::FieldName), "{name:?}");
        assert_eq!(encode(Method::Get, "/", name, b"x"), Err(LocalError::FieldName), "{name:?}");
        assert_eq!(encode_trailers(&mut [0; 99], [(name, "x")]), Err(LocalError::FieldName), "{name:?}");
    }
}

#[test]
fn field_values_have_no_controls_and_no_blanks_around_them() {
    for value in HOSTILE.into_iter().chain([" ", "\t", " a", "a ", "\ta", "a\t"]) {
        let mut headers = one("a", "b");
        assert_eq!(headers.append("x", value), Err(LocalError::FieldValue), "{value:?}");
        assert_eq!(headers.set("a", value), Err(LocalError::FieldValue), "{value:?}");
        assert_eq!(headers.append_bytes("x", value.as_bytes()), Err(LocalError::FieldValue), "{value:?}");
        assert_eq!(headers, one("a", "b"), "{value:?}");
        let mut trailers = Trailers::new();
        assert_eq!(trailers.append("x", value), Err(LocalError::FieldValue), "{value:?}");
        assert!(trailers.is_empty());
        assert_eq!(encode(Method::Get, "/", "x", value.as_bytes()), Err(LocalError::FieldValue), "{value:?}");
        assert_eq!(encode_trailers(&mut [0; 99], [("x", value)]), Err(LocalError::FieldValue), "{value:?}");
    }
    let mut headers = Headers::new();
    headers.append_bytes("x", b"a \t\xff").unwrap();
    assert_eq!(request(Method::Get, "/", "a", &headers, Content::None), Ok(()));
}

#[test]
fn fields_that_may_stand_once_are_sent_once() {
    let singles = ["Host", "Content-Type", "Authorization", "Range", "Content-Range", "Expect"];
    for name in singles {
        let mut headers = one(name, "a");
        headers.append(&name.to_uppercase(), "b").unwrap();
        let sent = request(Method::Get, "/", "a", &headers, Content::None);
        assert_eq!(sent, Err(LocalError::FieldRepeated), "{name}");
        assert_eq!(respond(GET, 200, "x", &headers, Content::None), Err(LocalError::FieldRepeated), "{name}");
        let fields = [(name, "a"), (name, "a")];
        let encoded = encode_request(&mut [0; 99], Method::Get, "/", fields, Framing::None);
        assert_eq!(encoded, Err(LocalError::FieldRepeated), "{name}");
        let encoded = encode_response(&mut [0; 99], 200, "x", fields, Framing::None);
        assert_eq!(encoded, Err(LocalError::FieldRepeated), "{name}");
    }
    let repeated = several([("set-cookie", "a"), ("set-cookie", "b"), ("vary", "a"), ("vary", "b")]);
    assert_eq!(respond(GET, 200, "x", &repeated, Content::None), Ok(()));
}

#[test]
fn framing_fields_say_what_the_body_is() {
    let text = || Content::Bytes("hello".into());
    for (fields, content, error) in [
        (one("content-length", "6"), text(), LocalError::ContentLength),
        (one("content-length", "+5"), text(), LocalError::ContentLength),
        (one("content-length", "5"), Content::Chunked, LocalError::ContentLength),
        (one("content-length", "5"), Content::None, LocalError::ContentLength),
        (one("transfer-encoding", "chunked"), text(), LocalError::FieldNotAllowed),
        (one("transfer-encoding", "gzip"), Content::Chunked, LocalError::FieldNotAllowed),
        (one("connection", "upgrade"), text(), LocalError::FieldNotAllowed),
        (one("connection", "close, te"), text(), LocalError::FieldNotAllowed),
        (several([("content-length", "5"), ("content-length", "5")]), text(), LocalError::FieldRepeated),
    ] {
        let shown = format!("{:?} {content:?}", fields.iter().collect::<Vec<_>>());
        assert_eq!(request(Method::Put, "/", "a", &fields, content.clone()), Err(error), "{shown}");
        assert_eq!(respond(GET, 200, "x", &fields, content), Err(error), "{shown}");
    }
    for (fields, content) in [
        (one("content-length", "5"), text()),
        (one("content-length", "0005"), Content::Length(5)),
        (one("Transfer-Encoding", "Chunked"), Content::Chunked),
        (one("connection", "close"), text()),
        (one("connection", " , keep-alive,".trim()), text()),
    ] {
        assert_eq!(request(Method::Put, "/", "a", &fields, content.clone()), Ok(()));
        assert_eq!(respond(GET, 200, "x", &fields, content), Ok(()));
    }
    for name in ["content-length", "Transfer-Encoding"] {
        assert_eq!(encode(Method::Get, "/", name, b"5"), Err(LocalError::FieldNotAllowed), "{name}");
        let encoded = encode_response(&mut [0; 99], 200, "x", [(name, "5")], Framing::None);
        assert_eq!(encoded, Err(LocalError::FieldNotAllowed), "{name}");
    }
}

#[test]
fn a_response_to_head_is_described_once_and_well() {
    let describe = |fields| respond(HEAD, 200, "x", &fields, Content::None);
    assert_eq!(describe(one("content-length", "5")), Ok(()));
    assert_eq!(describe(one("transfer-encoding", "chunked")), Ok(()));
    assert_eq!(describe(one("content-length", "x")), Err(LocalError::ContentLength));
    assert_eq!(describe(one("transfer-encoding", "gzip")), Err(LocalError::FieldNotAllowed));
    for (fields, error) in [
        ([("content-length", "5"), ("transfer-encoding", "chunked")], LocalError::FieldNotAllowed),
        ([("transfer-encoding", "chunked"), ("content-length", "5")], LocalError::FieldNotAllowed),
        ([("content-length", "5"), ("content-length", "5")], LocalError::FieldRepeated),
    ] {
        assert_eq!(describe(several(fields)), Err(error), "{fields:?}");
    }
    // RFC 9110 §15.4.5: 304 may say it as well.
    assert_eq!(respond(GET, 304, "x", &one("content-length", "5"), Content::None), Ok(()));
    // RFC 9110 §8.6: 204 may not, whatever was asked.
    for to in [GET, HEAD] {
        let sent = respond(to, 204, "x", &one("content-length", "5"), Content::None);
        assert_eq!(sent, Err(LocalError::ContentLength));
    }
}

#[test]
fn http10_gets_no_transfer_encoding_even_if_it_is_set() {
    const GET: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
    const HEAD: &[u8] = b"HEAD / HTTP/1.0\r\n\r\n";
    let coding = one("transfer-encoding", "chunked");
    for (to, status, content) in [
        (GET, 200, Content::Chunked),
        (HEAD, 200, Content::Chunked),
        (HEAD, 200, Content::None),
        (GET, 304, Content::None),
    ] {
        let mut server = server(to);
        server.respond(status, "x", &coding, content, None).unwrap();
        let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n\r\n");
        assert_eq!(String::from_utf8(server.pending().concat()).unwrap(), head);
    }
    assert_eq!(respond(GET, 200, "x", &coding, Content::Bytes("x".into())), Err(LocalError::FieldNotAllowed));
    for fields in [
        [("content-length", "5"), ("transfer-encoding", "chunked")],
        [("transfer-encoding", "chunked"), ("content-length", "5")],
    ] {
        assert_eq!(respond(HEAD, 200, "x", &several(fields), Content::None), Err(LocalError::FieldNotAllowed));
    }
}

#[test]
fn bodies_where_there_are_none_are_refused() {
    for content in [Content::Bytes("x".into()), Content::Length(1), Content::Chunked] {
        for status in [204, 205, 304] {
            let sent = respond(GET, status, "x", &Headers::new(), content.clone());
            assert_eq!(sent, Err(LocalError::BodyNotAllowed), "{status} {content:?}");
        }
        let sent = request(Method::Trace, "/", "a", &Headers::new(), content);
        assert_eq!(sent, Err(LocalError::BodyNotAllowed));
    }
    for content in [Content::None, Content::Bytes("".into()), Content::Length(0)] {
        for status in [204, 205, 304] {
            assert_eq!(respond(GET, status, "x", &Headers::new(), content.clone()), Ok(()), "{status} {content:?}");
        }
    }
    assert_eq!(request(Method::Trace, "/", "a", &Headers::new(), Content::None), Ok(()));
    let none: [(&str, &str); 0] = [];
    for status in [100, 199, 204] {
        for framing in [Framing::Chunked, Framing::Length(0)] {
            let encoded = encode_response(&mut [0; 99], status, "x", none, framing);
            assert_eq!(encoded, Err(LocalError::BodyNotAllowed), "{status}");
        }
    }
}

#[test]
fn heads_have_a_bound_whatever_they_hold() {
    let mut headers = Headers::new();
    for name in ["a", "b", "c"] {
        headers.append(name, "x".repeat(21_840)).unwrap();
    }
    assert_eq!(request(Method::Get, "/", "a", &headers, Content::None), Err(LocalError::HeadTooLarge));
    assert_eq!(respond(GET, 200, "x", &headers, Content::None), Err(LocalError::HeadTooLarge));
    let long = "x".repeat(Limits::MAX_HEAD);
    assert_eq!(headers.append("e", &long), Err(LocalError::HeadTooLarge));
    let mut out = vec![0; 2 * Limits::MAX_HEAD];
    let encoded = encode_request(&mut out, Method::Get, "/", [("host", "a"), ("x", &long)], Framing::None);
    assert_eq!(encoded, Err(LocalError::HeadTooLarge));
    assert_eq!(encode_trailers(&mut out, [("x", &long)]), Err(LocalError::HeadTooLarge));
    // One byte below the bound, and at it.
    let exact = "x".repeat(Limits::MAX_HEAD - "x: \r\n\r\n".len());
    assert_eq!(encode_trailers(&mut out, [("x", &exact)]), Ok(Limits::MAX_HEAD));
    assert_eq!(encode_trailers(&mut out, [("xx", &exact)]), Err(LocalError::HeadTooLarge));
}

#[test]
fn heads_are_written_to_the_byte() {
    let mut out = [0; 128];
    let fields = [("x", "y")];
    for (status, reason, framing, wire) in [
        (200, "OK", Framing::None, "HTTP/1.1 200 OK\r\nx: y\r\n\r\n"),
        (200, "Fine", Framing::Length(0), "HTTP/1.1 200 Fine\r\nx: y\r\ncontent-length: 0\r\n\r\n"),
        (404, "OK", Framing::Length(1), "HTTP/1.1 404 OK\r\nx: y\r\ncontent-length: 1\r\n\r\n"),
        (100, "", Framing::None, "HTTP/1.1 100 \r\nx: y\r\n\r\n"),
        (987, "x", Framing::Chunked, "HTTP/1.1 987 x\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n"),
    ] {
        let length = encode_response(&mut out, status, reason, fields, framing).unwrap();
        assert_eq!(str::from_utf8(&out[..length]).unwrap(), wire);
    }
    for (length, digits) in [(9, "9"), (10, "10"), (1_234_567_890, "1234567890"), (u64::MAX, "18446744073709551615")] {
        let wire = format!("PUT /a HTTP/1.1\r\nx: y\r\ncontent-length: {digits}\r\n\r\n");
        let length = encode_request(&mut out, Method::Put, "/a", fields, Framing::Length(length)).unwrap();
        assert_eq!(str::from_utf8(&out[..length]).unwrap(), wire);
    }
}

#[test]
fn a_request_is_the_same_whatever_was_sent_before() {
    let (none, own) = (Headers::new(), one("Host", "c"));
    let requests = [
        (Method::Get, "/", "a", &none),
        (Method::Get, "/", "b", &none),
        (Method::Get, "/", "", &none),
        (Method::Get, "/", "a", &own),
        (Method::Get, "/a", "a", &none),
        (Method::Post, "/", "a", &none),
        (Method::Extension("G"), "/", "a", &none),
        (Method::Extension("GET /"), "", "a", &none),
        (Method::Extension(""), "GET /", "a", &none),
        (Method::Get, "/ HTTP/1.1\r\nhost: a\r\n", "a", &none),
        (Method::Get, "/", "a\r\n", &none),
        (Method::Get, "", "a", &none),
        (Method::Options, "*", "a", &none),
    ];
    for (before, request) in requests.iter().flat_map(|before| requests.iter().map(move |request| (before, request))) {
        let send = |client: &mut Connection<Client>, &(method, target, host, headers): &(_, _, _, _)| {
            let result = client.request(method, target, host, headers, Content::None);
            (result, client.pending().concat())
        };
        let mut client = client();
        let (sent, bytes) = send(&mut client, before);
        if sent.is_ok() {
            client.transmitted(bytes.len());
            client.receive_buffer().extend_from_slice(b"HTTP/1.1 204 x\r\n\r\n");
            assert!(matches!(client.poll_response(), Ok(Poll::Ready(_))));
        }
        assert_eq!(send(&mut client, request), send(&mut self::client(), request), "{request:?} after {before:?}");
    }
}

#[test]
fn calls_out_of_turn_are_refused() {
    let none = Headers::new();
    let mut idle = Connection::<Server>::new(Limits::DEFAULT);
    assert_eq!(idle.respond(200, "x", &none, Content::None, None), Err(LocalError::State));
    let mut server = server(GET);
    server.respond(200, "x", &none, Content::None, None).unwrap();
    let once = server.pending().concat();
    assert_eq!(server.respond(200, "x", &none, Content::None, None), Err(LocalError::State));
    assert_eq!(server.pending().concat(), once, "an exchange has one response");
    server.cut();
    assert_eq!(server.respond(200, "x", &none, Content::None, None), Err(LocalError::State));

    let mut client = client();
    client.request(Method::Get, "/", "a", &none, Content::None).unwrap();
    let once = client.pending().concat();
    assert_eq!(client.request(Method::Get, "/", "a", &none, Content::None), Err(LocalError::State));
    assert_eq!(client.pending().concat(), once, "one request at a time");
}
