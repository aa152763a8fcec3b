//! A server with one page.
#![no_std]
#![no_main]

use core::convert::Infallible;

use cortex_m_rt::entry;
use degu_firmware::{PAUSE, Ticks, Uart, page, run};
use degu_wire::embedded::{Error, Line, Memory, Options, Request, Server};

type Buffers = Memory<2048, 16, 512>;

async fn hello(request: &mut Request<'_, Line<'_, Uart, Ticks>, Ticks>) -> Result<(), Error<Infallible>> {
    match request.head().path() {
        "/" => request.reply(200, &[("content-type", "text/plain")], b"Hello").await,
        "/figures" => request.reply(200, &[], page::figures().as_str().as_bytes()).await,
        _ => request.reply(404, &[], b"").await,
    }
}

async fn serve(mut uart: Uart, memory: &'static mut Buffers) {
    let mut line = Line::new(&mut uart, &Ticks, PAUSE);
    let mut server = Server::new(memory.buffers(), &Options::DEFAULT);
    loop {
        // After an error, the server has already answered. A line cannot be closed, so there is nothing to do.
        let _ = server.serve(&mut line, &Ticks, hello).await;
        let _ = line.wait_for_pause().await;
    }
}

#[entry]
fn main() -> ! {
    static mut MEMORY: Buffers = Buffers::new();
    run(serve(Uart::new(0), MEMORY))
}
