//! The least that can be called HTTP: httparse over blocking sockets, and a loop that searches for `content-length`.

use std::io::{Read, Write};
use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Request, Response, Status};
use socket2::Socket;

use super::{Client, Dial, Ready, Setup, check};
use crate::Result;
use crate::message::{TRACE, post};
use crate::socket::{connect, listen};

/// A socket with a buffer for each direction. One message is in the input at a time.
struct Connection {
    socket: Socket,
    input: Box<[u8]>,
    output: Vec<u8>,
    next: usize,
}

impl Connection {
    fn new(socket: Socket) -> Self {
        Self { socket, input: vec![0; 4096].into(), output: Vec::with_capacity(4096), next: 0 }
    }

    /// Reads one message into the start of the input; returns the lengths of its head and its body, or `None` at EOF.
    fn receive(&mut self, parse: fn(&[u8]) -> Result<Option<(usize, usize)>>) -> Result<Option<(usize, usize)>> {
        let (mut filled, mut lengths) = (0, None);
        loop {
            if lengths.is_none() {
                lengths = parse(&self.input[..filled])?;
            }
            if lengths.is_some_and(|(head, body)| filled >= head + body) {
                return Ok(lengths);
            }
            match self.socket.read(&mut self.input[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err("a message that ends early".into()),
                count => filled += count,
            }
        }
    }
}

pub(super) fn serve(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    let (listener, bound) = listen(&setup.address)?;
    ready(bound)?;
    loop {
        let mut connection = Connection::new(listener.accept()?.0);
        while let Some((head, length)) = connection.receive(request_head)? {
            connection.output.clear();
            write!(connection.output, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")?;
            connection.output.extend_from_slice(&connection.input[head..head + length]);
            connection.socket.write_all(&connection.output)?;
        }
    }
}

pub(super) fn client(setup: &Setup) -> Result<Dial> {
    let address = setup.address.clone();
    Ok(Box::new(move || Ok(Box::new(Connection::new(connect(&address)?)))))
}

impl Client for Connection {
    fn trips(&mut self, count: u64) -> Result {
        for _ in 0..count {
            let post = post(self.next);
            self.next += 1;
            self.output.clear();
            write!(
                self.output,
                "POST {} HTTP/1.1\r\nhost: localhost\r\n{TRACE}: {}\r\ncontent-length: {}\r\n\r\n",
                post.path,
                post.trace,
                post.body.len()
            )?;
            self.output.extend_from_slice(&post.body);
            self.socket.write_all(&self.output)?;
            let (_, length) = self.receive(response_head)?.ok_or("the server closed the connection")?;
            check(200, length, post.body.len())?;
        }
        Ok(())
    }
}

fn request_head(input: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut headers = [MaybeUninit::uninit(); 16];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(input, &mut headers)? {
        Status::Complete(head) => Ok(Some((head, content_length(request.headers)?))),
        Status::Partial => Ok(None),
    }
}

pub(crate) fn response_head(input: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut headers = [MaybeUninit::uninit(); 16];
    let mut response = Response::new(&mut []);
    match ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut headers)? {
        Status::Complete(head) if response.code == Some(200) => Ok(Some((head, content_length(response.headers)?))),
        Status::Complete(_) => Err("a status other than 200".into()),
        Status::Partial => Ok(None),
    }
}

fn content_length(headers: &[Header<'_>]) -> Result<usize> {
    let length = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    Ok(length.map_or(Ok(0), |length| std::str::from_utf8(length.value).unwrap_or_default().parse())?)
}
