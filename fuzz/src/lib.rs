//! Parts that several fuzz targets share: applications that the fuzzer's bytes control, and readers that check the
//! output of a machine.

use arbitrary::{Arbitrary, Unstructured};
use degu_wire::chunk::{Decoder, Event};
use degu_wire::head::{FieldSpan, Fields, RequestHead, ResponseHead, parse_request, parse_response, parse_trailers};
use degu_wire::machine::{Connection, Content};
use degu_wire::{
    Chunk, ChunkExtensions, Fault, Framing, Headers, Limits, LocalError, Method, Part, RemoteError, Trailers,
};

/// The largest number of fields in a head.
pub const FIELDS: usize = 512;

/// Limits that the output of a machine never exceeds.
pub const WIDE: Limits = Limits {
    max_head: Limits::MAX_HEAD,
    max_fields: FIELDS,
    max_trailers: Limits::MAX_HEAD,
    max_trailer_fields: FIELDS,
    extension_budget: usize::MAX,
    ..Limits::DEFAULT
};

/// Splits the input into bytes of the wire and operations. The operations are made from the last quarter of the input.
/// A seed is a text of the corpus, so most of a seed becomes bytes of the wire.
pub fn split<O: for<'a> Arbitrary<'a>>(input: &[u8]) -> (&[u8], Vec<O>) {
    let (wire, operations) = input.split_at(input.len() - input.len() / 4);
    (
        wire,
        Unstructured::new(operations).arbitrary_iter().into_iter().flatten().map_while(Result::ok).take(64).collect(),
    )
}

/// The head of a message and the kind of its body, as an application sets them.
#[derive(Arbitrary, Debug)]
pub struct Head {
    pub status: u16,
    pub text: String,
    fields: Vec<(u8, String)>,
    body: Body,
}

#[derive(Arbitrary, Debug)]
enum Body {
    None,
    Bytes(u16),
    Length(u16),
    Chunked,
}

impl Head {
    /// Returns the fields. Fields that cannot be set are left out.
    pub fn headers(&self) -> Headers {
        let names = [
            "x",
            "content-length",
            "transfer-encoding",
            "connection",
            "host",
            "expect",
            "date",
            "upgrade",
            "content-type",
            "",
        ];
        let values = ["5", "0", "chunked", "close", "100-continue", "a"];
        let mut headers = Headers::new();
        for (pick, value) in &self.fields {
            let value = values.get(usize::from(*pick / 16)).copied().unwrap_or(value);
            let _ = headers.append(names[usize::from(*pick) % names.len()], value);
        }
        headers
    }

    pub fn content(&self) -> Content {
        match &self.body {
            Body::None => Content::None,
            Body::Bytes(length) => Content::Bytes(vec![b'x'; usize::from(*length)].into()),
            Body::Length(length) => Content::Length(u64::from(*length)),
            Body::Chunked => Content::Chunked,
        }
    }
}

/// A part of a body. Each of its values may be invalid.
#[derive(Arbitrary, Debug)]
pub enum Piece {
    Data(u16),
    /// A chunk or, with a size, the beginning of a chunk.
    Chunk(Option<u16>, Vec<u8>, Vec<(String, String)>),
    Last(Vec<(String, String)>, Option<String>),
    Finish,
}

/// Gives a part to a machine.
pub fn send<R>(connection: &mut Connection<R>, piece: &Piece) {
    call(connection, |connection| match piece {
        Piece::Data(length) => connection.send_part(Part::Data(vec![b'd'; usize::from(*length)].into())),
        Piece::Chunk(size, data, extensions) => {
            let chunk = Chunk::new(data.clone());
            let chunk = extensions.iter().fold(chunk, |chunk, (name, value)| chunk.with_extension(name, value));
            let size = size.map_or(chunk.data.len() as u64, u64::from);
            connection.send_part(Part::Chunk { size, extensions: chunk.extensions, data: chunk.data })
        }
        Piece::Last(fields, name) => {
            let (mut trailers, mut extensions) = (Trailers::new(), ChunkExtensions::new());
            for (name, value) in fields {
                let _ = trailers.append(name, value);
            }
            if let Some(name) = name {
                extensions.push(name, None);
            }
            connection.send_part(Part::Last { extensions, trailers })
        }
        Piece::Finish => connection.finish_body(),
    });
}

/// Calls a function that writes, and returns whether it succeeded. Checks that it writes nothing if it fails.
pub fn call<R>(
    connection: &mut Connection<R>,
    write: impl FnOnce(&mut Connection<R>) -> Result<(), LocalError>,
) -> bool {
    let before = connection.pending().concat();
    let result = write(connection);
    let after = connection.pending().concat();
    assert!(if result.is_ok() { after.starts_with(&before) } else { after == before }, "{result:?}");
    result.is_ok()
}

/// Gives at most `most` bytes of the wire to a machine.
pub fn receive<R>(connection: &mut Connection<R>, wire: &mut &[u8], most: u8) {
    let (now, later) = wire.split_at(wire.len().min(usize::from(most)));
    connection.receive_buffer().extend_from_slice(now);
    *wire = later;
}

/// Takes at most `most` bytes from the output of a machine, and checks that the rest stays.
pub fn transmit<R>(connection: &mut Connection<R>, most: usize, sent: &mut Vec<u8>) {
    let pending = connection.pending().concat();
    let written = &pending[..most.min(pending.len())];
    sent.extend_from_slice(written);
    connection.transmitted(written.len());
    assert_eq!(connection.pending().concat(), pending[written.len()..]);
}

/// Checks that httparse parses the same request.
pub fn compare_request(head: &RequestHead, wire: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut other = httparse::Request::new(&mut fields);
    let parsed = other.parse(wire);
    if !(parsed == Err(httparse::Error::Version) && is_later(wire)) {
        assert_eq!(parsed, Ok(httparse::Status::Complete(head.head_len())));
        assert_eq!((other.method, other.path), (Some(head.method().as_str()), Some(head.target())));
        assert_eq!(other.version, Some(u8::from(!head.is_http10())));
        same(head.fields(), other.headers);
    }
}

/// Checks that httparse parses the same response.
pub fn compare_response(head: &ResponseHead, wire: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut other = httparse::Response::new(&mut fields);
    let parsed = other.parse(wire);
    if !(parsed == Err(httparse::Error::Version) && is_later(wire)) {
        assert_eq!(parsed, Ok(httparse::Status::Complete(head.head_len())));
        assert_eq!(other.code, Some(head.status()));
        let reason = if head.reason().is_ascii() { head.reason() } else { b"" };
        assert_eq!(other.reason.map(str::as_bytes), Some(reason));
        same(head.fields(), other.headers);
    }
}

/// Returns whether the input has a version that httparse rejects.
fn is_later(input: &[u8]) -> bool {
    input.windows(8).any(|word| word.starts_with(b"HTTP/1.") && (b'2'..=b'9').contains(&word[7]))
}

fn same(ours: Fields, theirs: &[httparse::Header]) {
    let theirs = theirs.iter().map(|field| (field.name, field.value));
    assert!(ours.iter().eq(theirs), "{ours:?}");
}

/// Reads the requests that a machine sent, with Degu's parser and with httparse. Returns the number of requests.
pub fn read_requests(mut wire: &[u8]) -> usize {
    let mut requests = 0;
    while !wire.is_empty() {
        let mut slots = [FieldSpan::EMPTY; FIELDS];
        let head = match parse_request(wire, &mut slots, &WIDE) {
            // A client may send an expectation that no server supports.
            Err(error) if error.fault == Fault::Expectation => return requests + 1,
            head => head.expect("sent bytes can be parsed").expect("heads are written whole"),
        };
        compare_request(&head, wire);
        requests += 1;
        wire = after_body(&wire[head.head_len()..], head.framing());
    }
    requests
}

/// Reads the responses that a machine sent to requests with these methods. Returns the number of final responses.
pub fn read_responses(mut wire: &[u8], methods: &[String]) -> usize {
    let mut responses = 0;
    while !wire.is_empty() {
        let mut slots = [FieldSpan::EMPTY; FIELDS];
        let mut copy = wire.to_vec();
        let head = parse_response(&mut copy, &mut slots, &WIDE)
            .expect("sent bytes can be parsed")
            .expect("heads are written whole");
        compare_response(&head, wire);
        wire = &wire[head.head_len()..];
        if head.status() == 101 {
            assert!(wire.is_empty(), "nothing is written after a switch");
            responses += 1;
        } else if head.status() >= 200 {
            // A request that could not be parsed has no method. The response to it has no body.
            let method = methods.get(responses).map_or(Method::Get, |method| Method::from(method.as_str()));
            wire = after_body(wire, head.framing(method));
            responses += 1;
        }
    }
    responses
}

/// Checks that the framing follows from the fields, and that the fields are not ambiguous. Without fields for framing,
/// the framing must be `expected`.
pub fn check_framing(fields: Fields, framing: Framing, expected: Framing) {
    let values = |name: &str| -> Vec<&[u8]> {
        fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    };
    let said = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => expected,
        ([digits], []) if digits.iter().all(u8::is_ascii_digit) => {
            Framing::Length(std::str::from_utf8(digits).expect("ASCII digits").parse().expect("it fits in 64 bits"))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        other => panic!("ambiguous fields for framing, {other:?}, were parsed as {framing:?}"),
    };
    assert_eq!(framing, said);
}

/// Returns the bytes after a body. The body may be incomplete.
fn after_body(mut wire: &[u8], framing: Framing) -> &[u8] {
    match framing {
        Framing::None => wire,
        Framing::Length(length) => &wire[wire.len().min(length as usize)..],
        Framing::UntilClose => &[],
        Framing::Chunked => {
            let mut decoder = Decoder::new(&WIDE);
            while !decoder.is_done() {
                let step = decoder.decode(wire).expect("sent bytes can be parsed");
                if let Some(Event::End { trailers }) = step.event {
                    parse_trailers(trailers, &mut [FieldSpan::EMPTY; FIELDS], &WIDE)
                        .expect("sent trailers can be parsed");
                }
                wire = &wire[step.consumed..];
                if step.event.is_none() && step.consumed == 0 {
                    return &[];
                }
            }
            wire
        }
    }
}

/// Checks that a parser returns the same result for a beginning of the input as for the whole input, or asks for more.
/// `parse` returns the length of the head.
pub fn check_cuts(input: &[u8], mut parse: impl FnMut(&[u8]) -> Result<Option<usize>, RemoteError>) {
    let whole = parse(input);
    for cut in [input.len() / 3, input.len() / 2, input.len().saturating_sub(1)] {
        match (parse(&input[..cut]), &whole) {
            (Ok(None), Ok(Some(length))) => assert!(cut < *length),
            (Ok(None), _) => {}
            (cut, whole) => assert_eq!(&cut, whole),
        }
    }
}
