//! A small device with readings, a switch, ten readings in chunks, an upload whose bytes are counted, and figures of
//! its memory. With the feature `client`, it also sends a request to another device over the second UART, and passes
//! the response on. With this feature, the device also answers requests to all other targets with their body, because
//! the conformance probes need this.
#![no_std]
#![no_main]

use core::time::Duration;

use cortex_m_rt::entry;
use degu_firmware::line::{Buffers, LineRequest, Outcome, serve};
use degu_firmware::page::{self, Page};
use degu_firmware::{now, run};
use degu_wire::embedded::Options;
use degu_wire::{Framing, Method};

const TEXT: (&str, &str) = ("content-type", "text/plain");
const JSON: (&str, &str) = ("content-type", "application/json");

const OPTIONS: Options = Options { linger: Duration::from_millis(500), ..Options::DEFAULT };

/// The state of the device.
struct Device {
    is_on: bool,
    readings: usize,
    #[cfg(feature = "client")]
    peer: peer::Peer,
}

impl Device {
    async fn answer(&mut self, request: &mut LineRequest<'_, '_>) -> Outcome {
        let head = request.head();
        match (head.method(), head.path()) {
            (Method::Get | Method::Head, "/readings") => {
                self.readings += 1;
                let mut page = Page::default();
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
                    let mut page = Page::default();
                    feed.write_chunk(page.text("reading ").number(number).as_str().as_bytes(), &[]).await?;
                }
                Ok(())
            }
            (Method::Post, "/upload") => {
                let (mut length, mut piece) = (0, [0; 64]);
                while let read @ 1.. = request.body().read(&mut piece).await? {
                    length += read;
                }
                request.reply(200, &[TEXT], Page::default().number(length).as_str().as_bytes()).await
            }
            (Method::Get, "/figures") => request.reply(200, &[TEXT], page::figures().as_str().as_bytes()).await,
            #[cfg(feature = "client")]
            (Method::Get, "/peer") => match self.peer.ask().await {
                Ok((status, text)) => request.reply(status, &[TEXT], text).await,
                Err(_) => request.reply(502, &[], b"").await,
            },
            (_, "/readings" | "/switch" | "/feed" | "/upload" | "/figures") => request.reply(405, &[], b"").await,
            #[cfg(feature = "client")]
            _ => {
                let body = request.body().read_all(self.peer.body).await?;
                request.reply(200, &[], body).await
            }
            #[cfg(not(feature = "client"))]
            _ => request.reply(404, &[], b"").await,
        }
    }
}

/// The other device.
#[cfg(feature = "client")]
mod peer {
    use core::convert::Infallible;

    use degu_firmware::{Ticks, Uart};
    use degu_wire::embedded::{Client, Error, Memory, Options};
    use degu_wire::{Framing, Method};

    pub(super) type Buffers = Memory<512, 16, 256>;

    pub(super) struct Peer {
        pub(super) uart: Uart,
        pub(super) memory: &'static mut Buffers,
        /// The buffer for bodies.
        pub(super) body: &'static mut [u8],
    }

    impl Peer {
        /// Sends a request to the other device. Returns the status and the text of the response.
        pub(super) async fn ask(&mut self) -> Result<(u16, &[u8]), Error<Infallible>> {
            let mut client = Client::new(&mut self.uart, &Ticks, self.memory.buffers(), &Options::DEFAULT);
            let mut call = client.request(Method::Post, "/", "peer", &[], Framing::Length(5)).await?;
            call.body().write(b"hello").await?;
            let mut response = call.response().await?;
            Ok((response.head().status(), response.body().read_all(self.body).await?))
        }
    }
}

#[entry]
fn main() -> ! {
    static mut MEMORY: Buffers = Buffers::new();
    #[cfg(feature = "client")]
    static mut PEER_MEMORY: peer::Buffers = peer::Buffers::new();
    #[cfg(feature = "client")]
    static mut BODY: [u8; 1024] = [0; 1024];
    let mut device = Device {
        is_on: false,
        readings: 0,
        #[cfg(feature = "client")]
        peer: peer::Peer { uart: degu_firmware::Uart::new(1), memory: PEER_MEMORY, body: BODY },
    };
    run(serve(MEMORY, &OPTIONS, async |request: &mut LineRequest<'_, '_>| device.answer(request).await))
}
