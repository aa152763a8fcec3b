//! The driver with one answer.
#![no_std]
#![no_main]

use core::convert::Infallible;

use cortex_m::singleton;
use cortex_m_rt::entry;
use degu_firmware::{PAUSE, Ticks, Uart, page, run};
use degu_wire::embedded::{Error, Exchange, Line, Memory, Options, Server};

type Buffers = Memory<2048, 16, 512>;

async fn hello(exchange: &mut Exchange<'_, Line<'_, Uart, Ticks>, Ticks>) -> Result<(), Error<Infallible>> {
    match exchange.head().path() {
        "/" => exchange.reply(200, &[("content-type", "text/plain")], b"Hello").await,
        "/figures" => exchange.reply(200, &[], page::figures().as_str().as_bytes()).await,
        _ => exchange.reply(404, &[], b"").await,
    }
}

async fn serve(mut uart: Uart, memory: &'static mut Buffers) {
    let mut line = Line::new(&mut uart, &Ticks, PAUSE);
    let mut server = Server::new(memory.buffers(), &Options::DEFAULT);
    loop {
        // What was wrong with a request has been answered, and a line is never closed.
        let _ = server.serve(&mut line, &Ticks, hello).await;
        let _ = line.wait_for_pause().await;
    }
}

#[entry]
fn main() -> ! {
    let Some(memory) = singleton!(: Buffers = Buffers::new()) else { unreachable!() };
    run(serve(Uart::new(0), memory))
}
