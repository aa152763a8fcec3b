//! Parts that several fuzz targets share: a reader of machines' output, and applications made of a fuzzer's bytes.

use arbitrary::{Arbitrary, Unstructured};
use degu_wire::chunk::{Decoder, Event};
use degu_wire::head::{FieldSpan, Fields, parse_request, parse_response, parse_trailers};
use degu_wire::machine::{Connection, Content};
use degu_wire::{Chunk, ChunkExtensions, Fault, Framing, Headers, Limits, LocalError, Method, Part, Trailers};

/// The most fields that are compared.
pub const FIELDS: usize = 512;

/// Limits that let everything through that a machine can send.
pub const WIDE: Limits = Limits {
    max_head: Limits::MAX_HEAD,
    max_fields: FIELDS,
    max_trailers: Limits::MAX_HEAD,
    max_trailer_fields: FIELDS,
    extension_budget: usize::MAX,
    ..Limits::DEFAULT
};

/// The wire's bytes, and operations on them, which are made of the last quarter of the input: so the seeds, which are
/// bytes of a wire, are of use.
pub fn split<O: for<'a> Arbitrary<'a>>(input: &[u8]) -> (&[u8], Vec<O>) {
    let (wire, operations) = input.split_at(input.len() - input.len() / 4);
    (
        wire,
        Unstructured::new(operations).arbitrary_iter().into_iter().flatten().map_while(Result::ok).take(64).collect(),
    )
}

/// A message's head as an application sets it.
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
    Bytes(Vec<u8>),
    Large(u16),
    Length(u16),
    Chunked,
}

impl Head {
    /// The fields that can be set.
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
            Body::Bytes(bytes) => Content::Bytes(bytes.clone().into()),
            Body::Large(length) => Content::Bytes(vec![b'x'; usize::from(*length)].into()),
            Body::Length(length) => Content::Length(u64::from(*length)),
            Body::Chunked => Content::Chunked,
        }
    }
}

/// A part of a body that may be wrong in every way.
#[derive(Arbitrary, Debug)]
pub enum Piece {
    Data(u16),
    Whole(Vec<u8>, Vec<(String, String)>),
    Begun(u16, Vec<u8>),
    Last(Vec<(String, String)>, Option<String>),
    Finish,
}

/// Gives a part to a machine, and checks that an error leaves no trace.
pub fn send<R>(connection: &mut Connection<R>, piece: &Piece) {
    let before = connection.pending().concat();
    let result = match piece {
        Piece::Data(length) => connection.send_part(Part::Data(vec![b'd'; usize::from(*length)].into())),
        Piece::Whole(data, extensions) => {
            let chunk = Chunk::new(data.clone());
            let chunk = extensions.iter().fold(chunk, |chunk, (name, value)| chunk.with_extension(name, value));
            connection.send_part(chunk.into())
        }
        Piece::Begun(size, data) => {
            let extensions = ChunkExtensions::new();
            connection.send_part(Part::Chunk { size: (*size).into(), extensions, data: data.clone().into() })
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
    };
    unchanged(connection, &before, result);
}

/// After an error nothing has been written.
pub fn unchanged<R>(connection: &Connection<R>, before: &[u8], result: Result<(), LocalError>) {
    let after = connection.pending().concat();
    assert!(if result.is_ok() { after.starts_with(before) } else { after == before }, "{result:?}");
}

/// Moves bytes out of a machine.
pub fn transmit<R>(connection: &mut Connection<R>, most: usize, sent: &mut Vec<u8>) {
    let pending = connection.pending().concat();
    let written = &pending[..most.min(pending.len())];
    sent.extend_from_slice(written);
    connection.transmitted(written.len());
    assert_eq!(connection.pending().concat(), pending[written.len()..]);
}

/// Reads requests that were sent, with this parser and httparse's. Gives how many there are.
pub fn read_requests(mut wire: &[u8]) -> usize {
    let mut requests = 0;
    while !wire.is_empty() {
        let mut slots = [FieldSpan::EMPTY; FIELDS];
        let head = match parse_request(wire, &mut slots, &WIDE) {
            // It is for the server to say that it cannot do what was asked.
            Err(error) if error.fault == Fault::Expectation => return requests + 1,
            head => head.expect("what is sent can be read").expect("heads are written whole"),
        };
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut other = httparse::Request::new(&mut fields);
        assert_eq!(other.parse(wire), Ok(httparse::Status::Complete(head.head_len())));
        assert_eq!((other.method, other.path), (Some(head.method().as_str()), Some(head.target())));
        requests += 1;
        wire = behind_body(&wire[head.head_len()..], head.framing());
    }
    requests
}

/// Reads responses to these methods. Gives how many final ones there are.
pub fn read_responses(mut wire: &[u8], methods: &[String]) -> usize {
    let mut responses = 0;
    while !wire.is_empty() {
        let mut slots = [FieldSpan::EMPTY; FIELDS];
        let mut copy = wire.to_vec();
        let head = parse_response(&mut copy, &mut slots, &WIDE).expect("what is sent can be read").expect("as a whole");
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut other = httparse::Response::new(&mut fields);
        assert_eq!(other.parse(wire), Ok(httparse::Status::Complete(head.head_len())));
        assert_eq!(other.code, Some(head.status()));
        wire = &wire[head.head_len()..];
        if head.status() == 101 {
            assert!(wire.is_empty(), "nothing is written after a switch");
            responses += 1;
        } else if head.status() >= 200 {
            // A request that could not be read has no method, and is answered without a body.
            let method = methods.get(responses).map_or(Method::Get, |method| Method::from(method.as_str()));
            wire = behind_body(wire, head.framing(method));
            responses += 1;
        }
    }
    responses
}

/// The framing is what the fields say, and they say one thing. `expected` is where they say nothing.
pub fn check_framing(fields: Fields, framing: Framing, expected: Framing) {
    let values = |name: &str| -> Vec<&[u8]> {
        fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    };
    let said = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => expected,
        ([digits], []) if digits.iter().all(u8::is_ascii_digit) => {
            Framing::Length(std::str::from_utf8(digits).expect("digits").parse().expect("a number of 64 bits"))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        other => panic!("{other:?} is {framing:?}"),
    };
    assert_eq!(framing, said);
}

/// Returns the input after a body, which may be cut.
fn behind_body(mut wire: &[u8], framing: Framing) -> &[u8] {
    match framing {
        Framing::None => wire,
        Framing::Length(length) => &wire[wire.len().min(length as usize)..],
        Framing::UntilClose => &[],
        Framing::Chunked => {
            let mut decoder = Decoder::new(&WIDE);
            while !decoder.is_done() {
                let step = decoder.decode(wire).expect("what is sent can be read");
                if let Some(Event::End { trailers }) = step.event {
                    parse_trailers(trailers, &mut [FieldSpan::EMPTY; FIELDS], &WIDE).expect("so can trailers");
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
