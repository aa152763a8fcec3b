//! A server with one page.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use degu_firmware::line::{Buffers, LineRequest, Outcome, serve};
use degu_firmware::{page, run};
use degu_wire::embedded::Options;

async fn hello(request: &mut LineRequest<'_, '_>) -> Outcome {
    match request.head().path() {
        "/" => request.reply(200, &[("content-type", "text/plain")], b"Hello").await,
        "/figures" => request.reply(200, &[], page::figures().as_str().as_bytes()).await,
        _ => request.reply(404, &[], b"").await,
    }
}

#[entry]
fn main() -> ! {
    static mut MEMORY: Buffers = Buffers::new();
    run(serve(MEMORY, &Options::DEFAULT, hello))
}
