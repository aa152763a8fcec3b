//! Heads: the corpora of requests and responses, read by the parsers and by the machines, however they are cut.

use core::task::Poll;

use crate::corpus::{self, Case, escaped};
use degu_wire::head::{FieldSpan, encode_request, parse_request, parse_response, parse_trailers};
use degu_wire::machine::{Awaits, Client, Connection, Content, Server};
use degu_wire::{Fault, Framing, Headers, Limits, Method, RemoteError};

/// The outcome of parsing a head, in the form of the corpora. `None`: more input is needed.
type Outcome = Option<Vec<String>>;

#[test]
fn requests_are_read_as_the_corpus_says() {
    let cases = corpus::parse(include_str!("corpus/requests.txt"));
    assert!(cases.len() >= 200, "only {} cases", cases.len());
    check(&cases, request, server);
}

#[test]
fn responses_are_read_as_the_corpus_says() {
    let cases = corpus::parse(include_str!("corpus/responses.txt"));
    assert!(cases.len() >= 90, "only {} cases", cases.len());
    check(&cases, response, client);
}

/// Reads every case with the parser, each prefix of its input too, and with a machine that receives it whole, in two
/// pieces cut at every byte, and a byte at a time.
fn check(
    cases: &[Case],
    parse: impl Fn(&Case, &[u8]) -> Outcome,
    machine: impl Fn(&Case, &mut dyn Iterator<Item = &[u8]>) -> Vec<String>,
) {
    let mut failures = Vec::new();
    for case in cases {
        let (name, input, expected) = (&case.name, case.input(), case.expected());
        let expected = (expected != ["more"]).then_some(expected);
        let found = parse(case, &input);
        if found != expected {
            let found = found.unwrap_or(vec!["more".to_owned()]).join("\n< ");
            failures.push(format!("line {}: {name}\n< {found}\n", case.line));
            continue;
        }
        for length in cuts(input.len()) {
            if let Some(lines) = parse(case, &input[..length]) {
                let mut expected = expected.clone().unwrap_or_default();
                if length < input.len() {
                    // What stands after the head may not have come yet.
                    expected.retain(|line| !line.starts_with("rest "));
                }
                let found = lines.iter().filter(|line| length == input.len() || !line.starts_with("rest "));
                assert!(found.eq(&expected), "{name}: the first {length} bytes give {lines:?}");
            }
        }
        if let Some(needed) = expected.as_ref().and_then(|lines| bytes_that_tell(&lines[0])) {
            assert_eq!(parse(case, &input[..needed.min(input.len())]), expected, "{name}: it could be told");
        }
        let expected = expected.map(|lines| lines.iter().map(|line| without_zone(line)).collect::<Vec<_>>());
        let whole = machine(case, &mut [input.as_slice()].into_iter());
        if let Some(expected) = expected.filter(|lines| !lines[0].starts_with("response 1")) {
            let known = expected.iter().filter(|line| whole.contains(line) || !is_unknown_to_clients(line));
            assert!(known.eq(&whole), "{name}: {expected:?} is {whole:?} to the machine");
        }
        assert_eq!(machine(case, &mut input.chunks(1)), whole, "{name}: a byte at a time");
        for cut in cuts(input.len()) {
            let (front, back) = input.split_at(cut);
            assert_eq!(machine(case, &mut [front, back].into_iter()), whole, "{name}: cut at {cut}");
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// A machine that has read a head keeps it, since the next one may be the same.
#[test]
fn what_was_read_before_changes_nothing() {
    let plain = |text: &str| -> Vec<Vec<u8>> {
        corpus::parse(text).iter().filter(|case| case.options.is_empty()).map(Case::input).collect()
    };
    let (requests, responses) =
        (plain(include_str!("corpus/requests.txt")), plain(include_str!("corpus/responses.txt")));
    let case = Case::default();
    let mut pairs = 0;
    for first in &requests {
        let mut server = Connection::<Server>::new(case.limits());
        let alone = next_request(&mut server, &mut [first.as_slice()].into_iter());
        if server.awaits() != Awaits::Nothing || !server.is_persistent() || !server.buffered().is_empty() {
            continue;
        }
        for second in &requests {
            let mut server = Connection::<Server>::new(case.limits());
            for _ in 0..2 {
                assert_eq!(next_request(&mut server, &mut [first.as_slice()].into_iter()), alone);
                server.respond(204, "", &Headers::new(), Content::None, None).unwrap();
            }
            let found = next_request(&mut server, &mut [second.as_slice()].into_iter());
            assert_eq!(found, self::server(&case, &mut [second.as_slice()].into_iter()), "after {}", escaped(first));
            pairs += 1;
        }
    }
    assert!(pairs > 5_000, "only {pairs} pairs of requests");
    for first in &responses {
        let mut client = Connection::<Client>::new(case.limits());
        let alone = next_response(&mut client, Method::Get, &mut [first.as_slice()].into_iter());
        if !client.is_reusable() || !client.buffered().is_empty() {
            continue;
        }
        for second in &responses {
            let mut client = Connection::<Client>::new(case.limits());
            for _ in 0..2 {
                assert_eq!(next_response(&mut client, Method::Get, &mut [first.as_slice()].into_iter()), alone);
            }
            let found = next_response(&mut client, Method::Get, &mut [second.as_slice()].into_iter());
            assert_eq!(found, self::client(&case, &mut [second.as_slice()].into_iter()), "after {}", escaped(first));
            pairs += 1;
        }
    }
    assert!(pairs > 5_500, "{pairs} pairs with those of responses");
}

/// Every place to cut an input of this length; of a long one, those near its ends.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..=length).filter(move |&cut| cut < 300 || length - cut < 100)
}

/// With how many bytes a fault is there that a single byte is to blame for.
fn bytes_that_tell(line: &str) -> Option<usize> {
    let mut words = line.strip_prefix("fault ")?.split(' ');
    let (fault, offset) = (words.next()?, words.next()?.parse::<usize>().ok()?);
    match fault {
        "Method" | "TargetFragment" | "FieldName" | "FieldValue" | "ObsFold" | "Reason" | "Status" => Some(offset + 1),
        // LF, or CR and a byte that is not LF.
        "LineEnd" => Some(offset + 2),
        _ => None,
    }
}

/// Returns a line as a server's machine gives it: without the zone that a client has sent in Host.
fn without_zone(line: &str) -> String {
    let is_host = line.starts_with("authority [") || line.starts_with("field Host: [");
    match (line.find('%'), line.find(']')) {
        (Some(from), Some(to)) if is_host => line[..from].to_owned() + &line[to..],
        _ => line.to_owned(),
    }
}

/// A client's machine acts on them and does not tell.
fn is_unknown_to_clients(line: &str) -> bool {
    ["length ", "chunked", "until close", "close"].iter().any(|start| line.starts_with(start))
}

fn request(case: &Case, input: &[u8]) -> Outcome {
    let mut slots = [FieldSpan::EMPTY; 200];
    let head = match parse_request(input, &mut slots, &case.limits()) {
        Ok(head) => head?,
        Err(error) => return Some(vec![fault(error)]),
    };
    let mut lines = vec![format!("request {} {}", head.method(), head.target())];
    lines.extend(target(head.target(), head.path(), head.query(), head.authority()));
    lines.extend(head.fields().iter().map(field));
    lines.extend(framing(head.framing()));
    let flags = [(head.is_http10(), "http10"), (!head.keep_alive(), "close"), (head.expects_continue(), "continue")];
    lines.extend(set(flags));
    lines.extend(rest(&input[head.head_len()..]));
    Some(lines)
}

/// The first request that a server finds in these pieces, after which the connection ends.
fn server(case: &Case, pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<String> {
    next_request(&mut Connection::<Server>::new(case.limits()), pieces)
}

fn next_request(server: &mut Connection<Server>, pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<String> {
    let head = match receive(server, pieces, Connection::<Server>::poll_request) {
        Ok(Some(head)) => head,
        Ok(None) => return vec!["end".to_owned()],
        Err(error) => return vec![fault(error)],
    };
    let mut lines = vec![format!("request {} {}", head.method(), head.target())];
    lines.extend(target(head.target(), head.path(), head.query(), head.authority()));
    lines.extend(head.headers().iter().map(field));
    lines.extend(framing(head.framing()));
    let flags =
        [(head.is_http10(), "http10"), (!server.is_persistent(), "close"), (head.expects_continue(), "continue")];
    lines.extend(set(flags));
    lines.extend(rest(server.buffered()));
    lines
}

fn response(case: &Case, input: &[u8]) -> Outcome {
    let mut slots = [FieldSpan::EMPTY; 200];
    let mut copy = input.to_vec();
    let head = match parse_response(&mut copy, &mut slots, &case.limits()) {
        Ok(head) => head?,
        Err(error) => return Some(vec![fault(error)]),
    };
    let mut lines = vec![format!("response {} {}", head.status(), escaped(head.reason())).trim_end().to_owned()];
    lines.extend(head.fields().iter().map(field));
    lines.extend(framing(head.framing(method(case))));
    lines.extend(set([(head.is_http10(), "http10"), (!head.keep_alive(), "close")]));
    lines.extend(rest(&input[head.head_len()..]));
    Some(lines)
}

/// The final response that a client finds in these pieces, after which the connection ends.
fn client(case: &Case, pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<String> {
    next_response(&mut Connection::<Client>::new(case.limits()), method(case), pieces)
}

fn next_response(
    client: &mut Connection<Client>,
    method: Method<'_>,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> Vec<String> {
    client.request(method, "/", "a", &Headers::new(), Content::None).unwrap();
    let head = match receive(client, pieces, Connection::<Client>::poll_response) {
        Ok(head) => head,
        Err(error) => return vec![fault(error)],
    };
    let mut lines =
        vec![format!("response {} {}", head.status(), escaped(head.reason().as_bytes())).trim_end().to_owned()];
    lines.extend(head.headers().iter().map(field));
    lines.extend(set([(head.is_http10(), "http10")]));
    lines.extend(rest(client.buffered()));
    lines
}

fn receive<R, H>(
    connection: &mut Connection<R>,
    pieces: &mut dyn Iterator<Item = &[u8]>,
    mut poll: impl FnMut(&mut Connection<R>) -> Result<Poll<H>, RemoteError>,
) -> Result<H, RemoteError> {
    let mut head = None;
    for piece in pieces {
        connection.receive_buffer().extend_from_slice(piece);
        if head.is_none()
            && let Poll::Ready(ready) = poll(connection)?
        {
            head = Some(ready);
        }
    }
    if let Some(head) = head {
        return Ok(head);
    }
    connection.receive_eof();
    let Poll::Ready(head) = poll(connection)? else { panic!("nothing more will come") };
    Ok(head)
}

fn method(case: &Case) -> Method<'_> {
    Method::from(case.option("method").unwrap_or("GET"))
}

/// Path and query where they are not the target itself, and the authority.
fn target(target: &str, path: &str, query: Option<&str>, authority: &str) -> Vec<String> {
    let path = (path != target).then(|| format!("path {path}"));
    let query = query.map(|query| format!("query {query}").trim_end().to_owned());
    path.into_iter().chain(query).chain([format!("authority {authority}").trim_end().to_owned()]).collect()
}

fn field((name, value): (&str, &[u8])) -> String {
    format!("field {name}: {}", escaped(value)).trim_end().to_owned()
}

fn framing(framing: Framing) -> Option<String> {
    match framing {
        Framing::None => None,
        Framing::Length(length) => Some(format!("length {length}")),
        Framing::Chunked => Some("chunked".to_owned()),
        Framing::UntilClose => Some("until close".to_owned()),
    }
}

fn set<const N: usize>(flags: [(bool, &str); N]) -> impl Iterator<Item = String> {
    flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.to_owned())
}

fn rest(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| format!("rest {}", escaped(bytes)))
}

fn fault(error: RemoteError) -> String {
    format!("fault {:?} {} {}", error.fault, error.offset, error.status())
}

#[test]
fn fields_are_found_and_their_values_not_shown() {
    let mut slots = [FieldSpan::EMPTY; 4];
    let fields = parse_trailers(b"A: 1\r\nb:\r\na: secret\r\n", &mut slots, &Limits::DEFAULT).unwrap();
    assert_eq!((fields.len(), fields.is_empty()), (3, false));
    assert_eq!((fields.get("a"), fields.get("B"), fields.get("c")), (Some(&b"1"[..]), Some(&b""[..]), None));
    assert_eq!(format!("{fields:?}"), r#"["A", "b", "a"]"#);
    assert!(parse_trailers(b"", &mut slots, &Limits::DEFAULT).unwrap().is_empty());
}

#[test]
fn trailer_sections_are_whole_lines_and_have_a_bound() {
    let section = |length: usize| [b"x:", vec![b'v'; length - 4].as_slice(), b"\r\n"].concat();
    let parse = |section: &[u8]| {
        parse_trailers(section, &mut [FieldSpan::EMPTY; 4], &Limits::DEFAULT).map(|fields| fields.len())
    };
    assert_eq!(parse(&section(Limits::MAX_HEAD)), Ok(1));
    assert_eq!(parse(&section(Limits::MAX_HEAD + 1)), Err(Fault::TrailersTooLarge.into()));
    for part in ["x", "x:", "x: y", "x: y\r", "x: y\r\nz"] {
        assert_eq!(parse(part.as_bytes()), Err(Fault::LineEnd.into()), "{part:?}");
    }
    // The empty line is the decoder's.
    assert_eq!(parse(b"x: y\r\n\r\n"), Err(RemoteError::at(Fault::FieldName, 6)));
}

#[test]
fn a_content_type_of_json_is_known_with_suffix_and_parameters() {
    let is_json = |fields: &str| {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}content-length: 0\r\n\r\n");
        let mut response = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n").into_bytes();
        let mut slots = [FieldSpan::EMPTY; 4];
        let request =
            parse_request(request.as_bytes(), &mut slots, &Limits::DEFAULT).map(|head| head.unwrap().is_json());
        let response = parse_response(&mut response, &mut slots, &Limits::DEFAULT).unwrap().unwrap().is_json();
        assert_eq!(request.unwrap_or(response), response, "{fields}");
        response
    };
    for of_json in
        ["application/json", "APPLICATION/Json", "application/json;charset=utf-8", "a/b+json \t; x=\"+xml\"", "a/+json"]
    {
        assert!(is_json(&format!("content-type: {of_json}\r\n")), "{of_json}");
    }
    for other in [
        "",
        "json",
        "+json",
        "application/jsonp",
        "application/json, text/html",
        "text/json",
        "text/plain; a=application/json",
    ] {
        assert!(!is_json(&format!("content-type: {other}\r\n")), "{other}");
    }
    assert!(!is_json(""));
    // A response may have several. Then it is JSON by each of them.
    let (json, text) = ("content-type: a/b+json\r\n", "content-type: text/plain\r\n");
    assert!(is_json(&[json, json].concat()));
    assert!(!is_json(&[json, text].concat()) && !is_json(&[text, json].concat()));
}

/// The fields that may stand once in a request, with a value that each may have.
const SINGLE: [(&str, &str); 8] = [
    ("host", "a"),
    ("range", "bytes=0-1"),
    ("expect", "100-continue"),
    ("content-type", "a/b"),
    ("authorization", "x"),
    ("content-range", "bytes 0-1/2"),
    ("content-length", "5"),
    ("transfer-encoding", "chunked"),
];

#[test]
fn a_field_is_known_by_every_byte_of_its_name_and_in_any_case() {
    let parse = |name: &str, value: &str, other: &str| {
        let host = if name == "host" { "" } else { "Host: a\r\n" };
        let input = format!("GET / HTTP/1.1\r\n{host}{name}: {value}\r\n{other}: {value}\r\n\r\n");
        parse_request(input.as_bytes(), &mut [FieldSpan::EMPTY; 4], &Limits::DEFAULT).map(|head| head.is_some())
    };
    let response = |name: &str, value: &str, other: &str| {
        let mut input = format!("HTTP/1.1 200 OK\r\n{name}: {value}\r\n{other}: {value}\r\n\r\n").into_bytes();
        parse_response(&mut input, &mut [FieldSpan::EMPTY; 4], &Limits::DEFAULT).map(|head| head.is_some())
    };
    for (name, value) in SINGLE {
        for at in 0..name.len() {
            let with = |byte: &str| format!("{}{byte}{}", &name[..at], &name[at + 1..]);
            let in_upper_case = with(&name[at..=at].to_uppercase());
            if name.as_bytes()[at] != b'-' {
                assert_eq!(parse(name, value, &in_upper_case).unwrap_err().fault, Fault::Repeated, "{in_upper_case}");
            }
            for byte in ["_", "x", "-", "~"].into_iter().filter(|byte| *byte != &name[at..=at]) {
                let other = with(byte);
                assert_eq!(parse(name, value, &other), Ok(true), "{other}");
                let fields = [("host", "b"), (&other, value), (&other, value)];
                let skip = usize::from(name == "host");
                let sent = encode_request(&mut [0; 256], Method::Get, "/", fields[skip..].to_vec(), Framing::None);
                assert!(sent.is_ok(), "{other}");
            }
        }
        let is_unique = ["content-length", "transfer-encoding", "content-range"].contains(&name);
        let expected = if is_unique { Err(Fault::Repeated) } else { Ok(true) };
        assert_eq!(response(name, value, &name.to_uppercase()).map_err(|error| error.fault), expected, "{name}");
    }
}

#[test]
fn only_connection_closes() {
    let closes = |name: &str| {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: close\r\n\r\n");
        let mut slots = [FieldSpan::EMPTY; 4];
        !parse_request(input.as_bytes(), &mut slots, &Limits::DEFAULT).unwrap().unwrap().keep_alive()
    };
    assert!(closes("Connection") && closes("CONNECTION") && closes("connection"));
    for at in 0.."connection".len() {
        let other = format!("{}_{}", &"connection"[..at], &"connection"[at + 1..]);
        assert!(!closes(&other), "{other}");
    }
    assert!(!closes("connections") && !closes("onnection"));
}

#[test]
fn a_method_decides_whether_its_response_has_a_body() {
    let framing = |status: u16, method: &str| {
        let mut input = format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n").into_bytes();
        let mut slots = [FieldSpan::EMPTY; 4];
        let head = parse_response(&mut input, &mut slots, &Limits::DEFAULT).unwrap().unwrap();
        assert_eq!(head.framing(Method::from(method)), head.framing(Method::Extension(method)));
        head.framing(Method::from(method))
    };
    // RFC 9112 §6.3: a tunnel begins, whatever the fields say; a refusal is a response like others.
    for (status, method, expected) in [
        (200, "GET", Framing::Length(5)),
        (200, "HEAD", Framing::None),
        (404, "HEAD", Framing::None),
        (200, "CONNECT", Framing::None),
        (299, "CONNECT", Framing::None),
        (300, "CONNECT", Framing::Length(5)),
        (407, "CONNECT", Framing::Length(5)),
        (304, "GET", Framing::None),
        (204, "POST", Framing::None),
    ] {
        assert_eq!(framing(status, method), expected, "{status} to {method}");
    }
}
