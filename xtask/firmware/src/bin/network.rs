//! A server over TCP for three clients at once, which sends the bodies of requests back.
#![no_std]
#![no_main]

use core::time::Duration;

use cortex_m_rt::entry;
use degu_firmware::network::{Network, Tcp};
use degu_firmware::{Ticks, page, run};
use degu_wire::embedded::{Memory, Options, Request, Server};
use futures_util::future::join3;
use smoltcp::iface::SocketStorage;

/// The memory for one client.
struct Room {
    http: Memory<4096, 64, 512>,
    body: [u8; 4096],
    input: [u8; 2048],
    output: [u8; 1024],
}

impl Room {
    const EMPTY: Self = Self { http: Memory::new(), body: [0; 4096], input: [0; 2048], output: [0; 1024] };
}

/// Serves one client after another.
async fn serve(network: &Network, room: &'static mut Room) {
    let Room { http, body, input, output } = room;
    let mut socket = network.socket(input, output);
    let options = Options { linger: Duration::from_millis(500), ..Options::DEFAULT };
    let mut server = Server::new(http.buffers(), &options);
    loop {
        let echo = async |request: &mut Request<'_, Tcp<'_>, Ticks>| match request.head().path() {
            "/figures" => request.reply(200, &[], page::figures().as_str().as_bytes()).await,
            _ => {
                let body = request.body().read_all(body).await?;
                request.reply(200, &[], body).await
            }
        };
        socket.accept(80).await;
        match server.serve(&mut socket, &Ticks, echo).await {
            Ok(_) => socket.close().await,
            Err(_) => socket.abort().await,
        }
    }
}

async fn serve_all(sockets: &'static mut [SocketStorage<'static>], rooms: &'static mut [Room; 3]) {
    let network = Network::start(sockets);
    let [a, b, c] = rooms.each_mut().map(|room| serve(&network, room));
    join3(a, b, c).await;
}

#[entry]
fn main() -> ! {
    static mut SOCKETS: [SocketStorage<'static>; 3] = [SocketStorage::EMPTY; 3];
    static mut ROOMS: [Room; 3] = [Room::EMPTY; 3];
    run(serve_all(SOCKETS, ROOMS))
}
