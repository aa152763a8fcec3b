//! An HTTP server on a serial line, in 3 KiB of memory, without an allocator.
//!
//! [`device`] and [`serve`] run on a microcontroller. They use only the traits of rust-embedded, and no operating system.
//! The rest of the example simulates the serial line, the client and the clock, so the example runs on any host.

use core::convert::Infallible;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;

use degu_wire::Method;
use degu_wire::embedded::{Clock, Error, Line, Memory, Options, Request, Server};
use embedded_io_async::{ErrorType, Read, Write};

/// All memory of the server: for heads of up to 1.5 KiB with 32 fields, and after the head for the body or the next
/// request.
type Buffers = Memory<2048, 32, 512>;

const _: () = assert!(size_of::<Buffers>() <= 3072);

/// The state of the device: the text that it shows.
struct Display {
    text: [u8; 64],
    length: usize,
}

/// Answers one request.
async fn device<S: Read + Write, C: Clock>(
    request: &mut Request<'_, S, C>,
    display: &mut Display,
) -> Result<(), Error<S::Error>> {
    let head = request.head();
    match (head.method(), head.path()) {
        (Method::Get | Method::Head, "/display") => {
            let text = &display.text[..display.length];
            request.reply(200, &[("content-type", "text/plain")], text).await
        }
        (Method::Put, "/display") => {
            // A longer text is refused with 413.
            display.length = request.body().read_all(&mut display.text).await?.len();
            request.reply(204, &[], b"").await
        }
        _ => request.reply(404, &[], b"").await,
    }
}

/// Serves a serial line. Such a line has no EOF. So each pause ends a connection, and the next byte begins a new
/// connection.
async fn serve<S: Read + Write, C: Clock>(uart: &mut S, clock: &C, display: &mut Display, connections: usize) {
    let mut memory = Buffers::new();
    let mut server = Server::new(memory.buffers(), &Options::DEFAULT);
    let mut line = Line::new(uart, clock, Duration::from_millis(50));
    for _ in 0..connections {
        let handler = async |request: &mut Request<'_, _, _>| device(request, display).await;
        match server.serve(&mut line, clock, handler).await {
            Ok(end) => println!("[{end:?}]"),
            Err(error) => println!("[{error:?}]"),
        }
        if line.wait_for_pause().await.is_err() {
            return;
        }
    }
}

/// A simulated UART. Each read returns at most seven bytes, as from a FIFO. The written bytes are kept.
struct Uart {
    /// The pieces of the input. There is a pause after each piece.
    input: VecDeque<&'static [u8]>,
    output: Vec<u8>,
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        core::future::poll_fn(|_| {
            let Some(piece) = self.input.front_mut() else { return Poll::Ready(Ok(0)) };
            if piece.is_empty() {
                self.input.pop_front();
                return Poll::Pending;
            }
            let (now, later) = piece.split_at(buffer.len().min(piece.len()).min(7));
            buffer[..now.len()].copy_from_slice(now);
            *piece = later;
            Poll::Ready(Ok(now.len()))
        })
        .await
    }
}

impl Write for Uart {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A simulated clock. A wait either ends at once, or lasts as long as its limit.
struct Impatient;

impl Clock for Impatient {
    async fn limit<F: Future>(&self, left: &mut Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        core::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                *left = Duration::ZERO;
                Poll::Ready(None)
            }
        })
        .await
    }
}

fn main() {
    let input = [
        &b"PUT /display HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello\
            GET /display HTTP/1.1\r\nHost: d\r\n\r\n"[..],
        // This client stops in the middle of a request. The other pieces are from further clients.
        b"GET /disp",
        b"PUT /display HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n6;line=1\r\ngood, \r\n3\r\nbye\r\n0\r\n\r\n\
            GET /display HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /display HTTP/1.1\r\nHost : d\r\n\r\n",
    ];
    let mut uart = Uart { input: input.into(), output: Vec::new() };
    let mut display = Display { text: [0; 64], length: 0 };
    {
        let future = pin!(serve(&mut uart, &Impatient, &mut display, input.len()));
        assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    let output = String::from_utf8_lossy(&uart.output);
    println!("{output}\n\nall of it in {} bytes of memory", size_of::<Buffers>() + size_of::<Display>());
    for expected in ["204 No Content", "hello", "good, bye", "400 Bad Request"] {
        assert!(output.contains(expected), "{expected:?} was not answered");
    }
}
