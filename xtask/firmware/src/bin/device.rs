//! A small device. It has readings, a switch, ten readings in chunks, an upload whose bytes are counted, and figures of its
//! memory. With the feature `echo`, it answers all other requests with their body. With the feature `client`, it also sends
//! a request to another device over the second UART, and passes the response on.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::time::Duration;

use cortex_m_rt::entry;
use degu_firmware::page::{self, Page};
use degu_firmware::{PAUSE, Ticks, Uart, now, run};
use degu_wire::embedded::{Error, Line, Memory, Options, Request, Server};
use degu_wire::{Framing, Method};

/// The memory of the server.
type Buffers = Memory<2048, 16, 512>;

type Outcome = Result<(), Error<Infallible>>;

const TEXT: (&str, &str) = ("content-type", "text/plain");
const JSON: (&str, &str) = ("content-type", "application/json");

/// The state of the device.
struct Device {
    is_on: bool,
    readings: usize,
    /// The buffer for bodies.
    #[cfg(any(feature = "client", feature = "echo"))]
    body: &'static mut [u8],
    #[cfg(feature = "client")]
    peer: peer::Peer,
}

impl Device {
    async fn answer(&mut self, request: &mut Request<'_, Line<'_, Uart, Ticks>, Ticks>) -> Outcome {
        let head = request.head();
        match (head.method(), head.path()) {
            (Method::Get | Method::Head, "/readings") => {
                self.readings += 1;
                let mut page = Page::new();
                page.text("{\"milliseconds\":").number(now() as usize).text(",\"readings\":").number(self.readings);
                request.reply(200, &[JSON], page.text("}").as_str().as_bytes()).await
            }
            (Method::Get, "/switch") => request.reply(200, &[TEXT], if self.is_on { b"on" } else { b"off" }).await,
            (Method::Put, "/switch") => {
                let mut text = [0; 8];
                self.is_on = match request.body().read_all(&mut text).await? {
                    b"on" => true,
                    b"off" => false,
                    _ => return request.reply(422, &[TEXT], b"on or off").await,
                };
                request.reply(204, &[], b"").await
            }
            (Method::Get, "/feed") => {
                let mut feed = request.respond(200, &[TEXT], Framing::Chunked).await?;
                for number in 0..10 {
                    let mut page = Page::new();
                    feed.write_chunk(page.text("reading ").number(number).as_str().as_bytes(), &[]).await?;
                }
                Ok(())
            }
            (Method::Post, "/upload") => {
                let (mut length, mut piece) = (0, [0; 64]);
                while let read @ 1.. = request.body().read(&mut piece).await? {
                    length += read;
                }
                request.reply(200, &[TEXT], Page::new().number(length).as_str().as_bytes()).await
            }
            (Method::Get, "/figures") => request.reply(200, &[TEXT], page::figures().as_str().as_bytes()).await,
            #[cfg(feature = "client")]
            (Method::Get, "/peer") => match self.peer.ask(self.body).await {
                Ok((status, text)) => request.reply(status, &[TEXT], text).await,
                Err(_) => request.reply(502, &[], b"").await,
            },
            (_, "/readings" | "/switch" | "/feed" | "/upload" | "/figures") => request.reply(405, &[], b"").await,
            // The conformance probes need a server that sends the request's body back.
            #[cfg(feature = "echo")]
            _ => {
                let body = request.body().read_all(self.body).await?;
                request.reply(200, &[], body).await
            }
            #[cfg(not(feature = "echo"))]
            _ => request.reply(404, &[], b"").await,
        }
    }
}

/// The other device.
#[cfg(feature = "client")]
mod peer {
    use super::*;
    use degu_wire::embedded::Client;

    pub(super) struct Peer {
        pub(super) uart: Uart,
        pub(super) memory: &'static mut Memory<512, 16, 256>,
    }

    impl Peer {
        /// Sends a request to the other device. Returns the status and the text of the response. The text is in `body`.
        pub(super) async fn ask<'d>(&mut self, body: &'d mut [u8]) -> Result<(u16, &'d [u8]), Error<Infallible>> {
            let mut client = Client::new(&mut self.uart, &Ticks, self.memory.buffers(), &Options::DEFAULT);
            let mut call = client.request(Method::Post, "/", "peer", &[], Framing::Length(5)).await?;
            call.body().write(b"hello").await?;
            let mut response = call.response().await?;
            Ok((response.head().status(), response.body().read_all(body).await?))
        }
    }
}

async fn serve(mut uart: Uart, memory: &'static mut Buffers, mut device: Device) {
    let mut line = Line::new(&mut uart, &Ticks, PAUSE);
    let options = Options { linger: Duration::from_millis(500), ..Options::DEFAULT };
    let mut server = Server::new(memory.buffers(), &options);
    loop {
        let handler = async |request: &mut Request<'_, _, _>| device.answer(request).await;
        // After an error, the server has already answered. A line cannot be closed, so there is nothing to do.
        let _ = server.serve(&mut line, &Ticks, handler).await;
        let _ = line.wait_for_pause().await;
    }
}

#[entry]
fn main() -> ! {
    static mut MEMORY: Buffers = Buffers::new();
    #[cfg(any(feature = "client", feature = "echo"))]
    static mut BODY: [u8; 1024] = [0; 1024];
    #[cfg(feature = "client")]
    static mut PEER_MEMORY: Memory<512, 16, 256> = Memory::new();
    let device = Device {
        is_on: false,
        readings: 0,
        #[cfg(any(feature = "client", feature = "echo"))]
        body: BODY,
        #[cfg(feature = "client")]
        peer: peer::Peer { uart: Uart::new(1), memory: PEER_MEMORY },
    };
    run(serve(Uart::new(0), MEMORY, device))
}
