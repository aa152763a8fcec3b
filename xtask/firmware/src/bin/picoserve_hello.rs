//! The program `hello`, on picoserve.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use degu_firmware::{page, pico, run};
use picoserve::Router;
use picoserve::routing::get;

async fn serve(memory: &'static mut [u8]) {
    let app = Router::new().route("/", get(async || "Hello")).route("/figures", get(async || page::figures().0));
    pico::serve(&app, memory).await
}

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; 2048] = [0; 2048];
    run(serve(MEMORY))
}
