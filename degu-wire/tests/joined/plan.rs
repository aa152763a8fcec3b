//! Plans of exchanges to send, with bodies of every kind.

use degu_wire::machine::Content;
use degu_wire::{Chunk, ChunkExtensions, Headers, Method, Part, Trailers};
use proptest::collection::vec;
use proptest::prelude::*;

/// One request and its response.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Plan,
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) answer_fields: Vec<(String, String)>,
    pub(crate) answer: Plan,
    /// The response is begun before the request's body is read.
    pub(crate) early: bool,
    /// The client waits for 100 Continue.
    pub(crate) expects: bool,
    pub(crate) client_closes: bool,
    pub(crate) server_closes: bool,
}

/// A body.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    None,
    Bytes(Vec<u8>),
    Length(Vec<Vec<u8>>),
    Chunked { chunks: Vec<Piece>, last: Extensions, trailers: Vec<(String, String)> },
}

pub(crate) type Extensions = Vec<(String, Option<String>)>;

/// A chunk, and after how many bytes of it the first part ends.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    data: Vec<u8>,
    extensions: Extensions,
    cut: prop::sample::Index,
}

/// A message as the other end sees it: start line, fields, and the body as chunks, or all data in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    pub(crate) start: Vec<String>,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) data: Vec<u8>,
    pub(crate) chunks: Vec<(u64, Vec<u8>, Vec<u8>)>,
    pub(crate) last: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Message {
    /// Takes note of a part that was received.
    pub(crate) fn push(&mut self, part: Part) {
        match (part, self.chunks.last_mut()) {
            (Part::Chunk { size, extensions, data }, _) => {
                self.chunks.push((size, extensions.as_extensions().as_bytes().to_vec(), data.to_vec()));
            }
            (Part::Data(data), Some(chunk)) => chunk.2.extend_from_slice(&data),
            (Part::Data(data), None) => self.data.extend_from_slice(&data),
            (Part::Last { extensions, trailers }, _) => {
                self.last = extensions.as_extensions().as_bytes().to_vec();
                let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("it was sent as text");
                self.trailers = trailers.iter().map(|(name, value)| (name.to_owned(), text(value))).collect();
            }
        }
    }
}

impl Exchange {
    pub(crate) fn request(&self) -> Message {
        let start = vec![self.method.to_owned(), self.target.clone()];
        self.body.message(start, &self.fields, false)
    }

    pub(crate) fn response(&self) -> Message {
        let start = vec![self.status.to_string(), self.reason.clone()];
        self.answer.message(start, &self.answer_fields, self.method == "HEAD")
    }

    pub(crate) fn closes(&self) -> bool {
        self.client_closes || self.server_closes
    }

    pub(crate) fn request_headers(&self) -> Headers {
        let expect = self.expects.then_some(("expect", "100-continue"));
        let close = self.client_closes.then_some(("connection", "close"));
        headers(&self.fields, expect.into_iter().chain(close))
    }

    pub(crate) fn response_headers(&self) -> Headers {
        headers(&self.answer_fields, self.server_closes.then_some(("connection", "close")).into_iter())
    }

    pub(crate) fn method(&self) -> Method<'_> {
        Method::from(self.method)
    }
}

impl Plan {
    pub(crate) fn content(&self) -> Content {
        match self {
            Self::None => Content::None,
            Self::Bytes(bytes) => Content::Bytes(bytes.clone().into()),
            Self::Length(pieces) => Content::Length(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Self::Chunked { .. } => Content::Chunked,
        }
    }

    /// Returns the parts that are given to the machine, in reverse.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        match self {
            Self::None | Self::Bytes(_) => {}
            Self::Length(pieces) => parts.extend(pieces.iter().map(|piece| Part::Data(piece.clone().into()))),
            Self::Chunked { chunks, last, trailers } => {
                for Piece { data, extensions, cut } in chunks {
                    let (front, back) = data.split_at(cut.index(data.len() + 1));
                    let extensions = pushed(extensions);
                    parts.push(Part::Chunk { size: data.len() as u64, extensions, data: front.to_vec().into() });
                    parts.extend((!back.is_empty()).then(|| Part::Data(back.to_vec().into())));
                }
                if !last.is_empty() || !trailers.is_empty() {
                    let mut fields = Trailers::new();
                    trailers.iter().for_each(|(name, value)| fields.append(name, value).expect("a good field"));
                    parts.push(Part::Last { extensions: pushed(last), trailers: fields });
                }
            }
        }
        parts.reverse();
        parts
    }

    fn message(&self, start: Vec<String>, fields: &[(String, String)], bodiless: bool) -> Message {
        let mut message = Message { start, fields: fields.to_vec(), ..Message::default() };
        match self {
            _ if bodiless => {}
            Self::None => {}
            Self::Bytes(bytes) => message.data.clone_from(bytes),
            Self::Length(pieces) => message.data = pieces.concat(),
            Self::Chunked { chunks, last, trailers } => {
                let raw = |extensions: &Extensions| pushed(extensions).as_extensions().as_bytes().to_vec();
                let chunk = |piece: &Piece| (piece.data.len() as u64, raw(&piece.extensions), piece.data.clone());
                message.chunks = chunks.iter().map(chunk).collect();
                message.last = raw(last);
                message.trailers.clone_from(trailers);
            }
        }
        message
    }
}

fn headers<'a>(fields: &'a [(String, String)], more: impl Iterator<Item = (&'a str, &'a str)>) -> Headers {
    let mut headers = Headers::new();
    let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    fields.chain(more).for_each(|(name, value)| headers.append(name, value).expect("a good field"));
    headers
}

fn pushed(extensions: &Extensions) -> ChunkExtensions {
    let mut chunk = Chunk::default();
    for (name, value) in extensions {
        match value {
            Some(value) => chunk = chunk.with_extension(name, value),
            None => chunk.extensions.push(name, None),
        }
    }
    chunk.extensions
}

fn data(least: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), least..20),
        2 => vec(prop::sample::select(&b"\r\n0;="[..]), least..20),
        // Beyond what is copied after a head, and beyond one read.
        2 => (4090..9000_usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ]
}

fn fields(prefix: &'static str) -> impl Strategy<Value = Vec<(String, String)>> {
    let value = "([!-~é]([ -~\té]{0,20}[!-~é])?)?";
    vec(("[!#$%&'*+.^_`|~0-9A-Za-z-]{0,8}".prop_map(move |name| prefix.to_owned() + &name), value), 0..4)
}

fn extensions() -> impl Strategy<Value = Extensions> {
    vec(("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}", prop::option::of("[ -~\té]{0,12}")), 0..3)
}

fn plan() -> impl Strategy<Value = Plan> {
    let chunk = (data(1), extensions(), any::<prop::sample::Index>());
    let chunk = chunk.prop_map(|(data, extensions, cut)| Piece { data, extensions, cut });
    prop_oneof![
        Just(Plan::None),
        data(0).prop_map(Plan::Bytes),
        vec(data(0), 0..4).prop_map(Plan::Length),
        (vec(chunk, 0..5), extensions(), fields("z")).prop_map(|(chunks, last, trailers)| Plan::Chunked {
            chunks,
            last,
            trailers
        }),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let methods = vec!["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"];
    let request = (prop::sample::select(methods), "/[!-\"$-~]{0,20}", fields("x"), plan());
    let statuses = vec![200_u16, 201, 204, 205, 203, 304, 404, 500, 999];
    let response = (prop::sample::select(statuses), "[ -~\té]{0,12}", fields("y"), plan());
    (request, response, any::<[bool; 2]>()).prop_map(|(request, response, [early, expects])| Exchange {
        method: request.0,
        target: request.1,
        fields: request.2,
        body: request.3,
        status: response.0,
        reason: response.1,
        answer_fields: response.2,
        answer: if matches!(response.0, 204 | 205 | 304) { Plan::None } else { response.3 },
        early: early && !expects,
        expects,
        client_closes: false,
        server_closes: false,
    })
}

/// Some exchanges. The last exchange may close the connection.
pub(crate) fn exchanges() -> impl Strategy<Value = Vec<Exchange>> {
    (vec(exchange(), 1..5), any::<[bool; 2]>()).prop_map(|(mut exchanges, [client, server])| {
        let last = exchanges.last_mut().expect("at least one");
        (last.client_closes, last.server_closes) = (client, server);
        exchanges
    })
}
