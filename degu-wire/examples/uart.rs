//! An HTTP server on a serial line, in 4 KiB of memory: the core level of the codec, without an allocator.
//!
//! [`serve`] is what runs on a device: it knows `embedded_io` and nothing of an operating system. `main` plays the wire
//! and the other end, so that the example runs on any host.

use degu_wire::chunk::{Decoder, Event};
use degu_wire::head::{self, FieldSpan};
use degu_wire::{Fault, Framing, Limits, Method, RemoteError, reason_phrase};
use embedded_io::{Read, Write};

/// All the memory there is.
struct Memory {
    received: [u8; 2048],
    output: [u8; 1024],
    fields: [FieldSpan; 32],
    /// What the application keeps: the text that the device shows.
    display: [u8; 64],
    shown: usize,
}

const _: () = assert!(size_of::<Memory>() <= 4096);

impl Memory {
    const fn new() -> Self {
        Self { received: [0; 2048], output: [0; 1024], fields: [FieldSpan::EMPTY; 32], display: [0; 64], shown: 0 }
    }
}

/// A head must fit into the buffer with room for a chunk line behind it.
const LIMITS: Limits =
    Limits { max_head: 1024, max_fields: 32, max_chunk_line: 256, max_trailers: 512, ..Limits::DEFAULT };

/// Why an exchange came to nothing.
enum Stop<E> {
    /// The line failed.
    Line(E),
    /// The peer sent what is no request; it is told so.
    Peer(RemoteError),
}

impl<E> From<RemoteError> for Stop<E> {
    fn from(error: RemoteError) -> Self {
        Self::Peer(error)
    }
}

/// What is left to read of a request's body.
enum Body {
    Length(u64),
    Chunked(Decoder),
}

/// Answers requests until the line goes quiet.
fn serve<U: Read + Write>(uart: &mut U, memory: &mut Memory) -> Result<(), U::Error> {
    let mut len = 0;
    loop {
        let (status, keep) = match exchange(uart, memory, &mut len) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(()),
            Err(Stop::Peer(error)) => (error.status(), false),
            Err(Stop::Line(error)) => return Err(error),
        };
        let text = if status == 200 { &memory.display[..memory.shown] } else { b"" };
        let fields = [("connection", if keep { "keep-alive" } else { "close" })];
        let framing = if status == 204 { Framing::None } else { Framing::Length(text.len() as u64) };
        // A head of our own with two fields fits into 1 KiB; nothing would be written if it did not.
        let head = head::encode_response(&mut memory.output, status, reason_phrase(status), fields, framing);
        uart.write_all(&memory.output[..head.unwrap_or(0)])?;
        uart.write_all(text)?;
        if !keep {
            return Ok(());
        }
    }
}

/// Reads one request and does what it says: the status, and whether another may follow. `None`: the line is quiet.
fn exchange<U: Read>(
    uart: &mut U,
    memory: &mut Memory,
    len: &mut usize,
) -> Result<Option<(u16, bool)>, Stop<U::Error>> {
    let (status, body, keep) = loop {
        if let Some(request) = head::parse_request(&memory.received[..*len], &mut memory.fields, &LIMITS)? {
            let status = match (request.method(), request.path()) {
                (Method::Get, "/display") => 200,
                (Method::Put, "/display") => 204,
                _ => 404,
            };
            let body = match request.framing() {
                Framing::Chunked => Body::Chunked(Decoder::new(&LIMITS)),
                Framing::Length(length) => Body::Length(length),
                _ => Body::Length(0),
            };
            let (head, keep) = (request.head_len(), request.keep_alive());
            memory.received.copy_within(head..*len, 0);
            *len -= head;
            break (status, body, keep);
        }
        match receive(uart, memory, len)? {
            0 if *len == 0 => return Ok(None),
            0 => return Err(RemoteError::from(Fault::TruncatedHead).into()),
            _ => {}
        }
    };
    let shown = read_body(uart, memory, len, body, status == 204)?;
    if status == 204 {
        memory.shown = shown;
    }
    Ok(Some((status, keep)))
}

/// Reads a body to its end and shows it, if it is to be shown.
fn read_body<U: Read>(
    uart: &mut U,
    memory: &mut Memory,
    len: &mut usize,
    mut body: Body,
    show: bool,
) -> Result<usize, Stop<U::Error>> {
    let mut shown = 0;
    loop {
        let (data, consumed) = match &mut body {
            Body::Length(0) => return Ok(shown),
            Body::Length(left) => {
                let take = (*len as u64).min(*left) as usize;
                *left -= take as u64;
                (&memory.received[..take], take)
            }
            Body::Chunked(decoder) => {
                let step = decoder.decode(&memory.received[..*len])?;
                match step.event {
                    Some(Event::Data(data)) => (data, step.consumed),
                    _ => (&[][..], step.consumed),
                }
            }
        };
        if show {
            let end = shown + data.len();
            let place = memory.display.get_mut(shown..end).ok_or(RemoteError::from(Fault::BodyTooLarge))?;
            place.copy_from_slice(data);
            shown = end;
        }
        memory.received.copy_within(consumed..*len, 0);
        *len -= consumed;
        match &body {
            Body::Chunked(decoder) if decoder.is_done() => return Ok(shown),
            _ if consumed > 0 => {}
            _ if receive(uart, memory, len)? == 0 => return Err(RemoteError::from(Fault::TruncatedBody).into()),
            _ => {}
        }
    }
}

fn receive<U: Read>(uart: &mut U, memory: &mut Memory, len: &mut usize) -> Result<usize, Stop<U::Error>> {
    let read = uart.read(&mut memory.received[*len..]).map_err(Stop::Line)?;
    *len += read;
    Ok(read)
}

/// A line that gives seven bytes at a time, as the FIFO of a UART does, and remembers what was written.
struct Line {
    input: &'static [u8],
    output: Vec<u8>,
}

impl embedded_io::ErrorType for Line {
    type Error = core::convert::Infallible;
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let take = buffer.len().min(self.input.len()).min(7);
        let (now, later) = self.input.split_at(take);
        buffer[..take].copy_from_slice(now);
        self.input = later;
        Ok(take)
    }
}

impl Write for Line {
    fn write(&mut self, octets: &[u8]) -> Result<usize, Self::Error> {
        self.output.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {
    let input = b"PUT /display HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello\
        GET /display HTTP/1.1\r\nHost: d\r\n\r\n\
        PUT /display HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n6;line=1\r\ngood, \r\n3\r\nbye\r\n0\r\n\r\n\
        GET /display HTTP/1.1\r\nHost: d\r\n\r\n\
        GET /display HTTP/1.1\r\nHost : d\r\n\r\n";
    let mut line = Line { input, output: Vec::new() };
    let Ok(()) = serve(&mut line, &mut Memory::new());

    let output = String::from_utf8_lossy(&line.output);
    println!("{output}\n\nall of it in {} bytes of memory", size_of::<Memory>());
    for expected in ["204 No Content", "hello", "good, bye", "400 Bad Request"] {
        assert!(output.contains(expected), "{expected:?} was not answered");
    }
}
