//! The least that one can call HTTP: httparse over blocking sockets, and a loop that looks for `content-length`.

use std::io::{Read, Write};
use std::mem::MaybeUninit;

use httparse::{Header, Request, Response, Status};

use super::{Client, Contestant, Dial};
use crate::Result;
use crate::message::BODY;
use crate::setup::Setup;
use crate::socket::{Address, Listener, Stream};

pub(super) const CONTESTANT: Contestant =
    Contestant { client: Some(prepare), server: Some(serve), ..Contestant::named("httparse") };

fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(&setup.address)?;
    ready(bound)?;
    loop {
        let mut connection = Connection::new(listener.accept()?);
        while let Some((head, length)) = connection.receive(request_head)? {
            connection.output.clear();
            write!(connection.output, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")?;
            connection.output.extend_from_slice(&connection.input[head..head + length]);
            connection.stream.write_all(&connection.output)?;
        }
    }
}

fn prepare(setup: &Setup) -> Result<Dial> {
    let address = setup.address.clone();
    Ok(Box::new(move || Ok(Box::new(Connection::new(Stream::connect(&address)?)))))
}

impl Client for Connection {
    fn trips(&mut self, count: u64) -> Result {
        for _ in 0..count {
            self.output.clear();
            write!(self.output, "POST /example HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", BODY.len())?;
            self.output.extend_from_slice(BODY);
            self.stream.write_all(&self.output)?;
            match self.receive(response_head)? {
                Some((_, length)) if length == BODY.len() => {}
                Some(_) => return Err("a body of another length".into()),
                None => return Err("the server closed the connection".into()),
            }
        }
        Ok(())
    }
}

/// How many octets of head and of body a message has.
type Lengths = (usize, usize);

/// A socket with a buffer for each direction. One message is in the input at a time.
struct Connection {
    stream: Stream,
    input: Box<[u8]>,
    output: Vec<u8>,
}

impl Connection {
    fn new(stream: Stream) -> Self {
        Self { stream, input: vec![0; 4096].into(), output: Vec::with_capacity(4096) }
    }

    /// Reads one message into the start of the input; returns the lengths of its head and its body, or `None` at the
    /// end of the stream.
    fn receive(&mut self, parse: fn(&[u8]) -> Result<Option<Lengths>>) -> Result<Option<Lengths>> {
        let (mut filled, mut lengths) = (0, None);
        loop {
            if lengths.is_none() {
                lengths = parse(&self.input[..filled])?;
            }
            if let Some((head, body)) = lengths
                && filled >= head + body
            {
                return Ok(lengths);
            }
            match self.stream.read(&mut self.input[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err("a message that ends early".into()),
                count => filled += count,
            }
        }
    }
}

fn request_head(input: &[u8]) -> Result<Option<Lengths>> {
    let mut headers = [MaybeUninit::uninit(); 16];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(input, &mut headers)? {
        Status::Complete(head) => Ok(Some((head, content_length(request.headers)?))),
        Status::Partial => Ok(None),
    }
}

fn response_head(input: &[u8]) -> Result<Option<Lengths>> {
    let mut headers = [MaybeUninit::uninit(); 16];
    let mut response = Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, input, &mut headers)? {
        Status::Complete(head) if response.code == Some(200) => Ok(Some((head, content_length(response.headers)?))),
        Status::Complete(_) => Err("a status other than 200".into()),
        Status::Partial => Ok(None),
    }
}

fn content_length(headers: &[Header<'_>]) -> Result<usize> {
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            return Ok(std::str::from_utf8(header.value)?.parse()?);
        }
    }
    Ok(0)
}
