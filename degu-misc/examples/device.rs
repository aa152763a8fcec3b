//! Degu's server for microcontrollers (`degu_wire::embedded`), with small buffers, on TCP sockets of this host. The
//! server echoes bodies, so the tests of other servers can be run against this server.
//!
//! `device IP:PORT`
//!
//! The head of a request may have 6 KiB and 64 fields. Chunk lines and trailers may have 2 KiB, and a body 128 KiB. The
//! server reads the whole body before it answers. The first line of output is `listening on IP:PORT`.

use std::future::Future;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use degu_wire::embedded::{Clock, End, Error, Memory, Options, Request, Server};
use embedded_io_async::{ErrorType, Read, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// The longest body, in bytes.
const MAX_BODY: usize = 128 * 1024;

/// A socket of tokio with the traits that the network stacks of microcontrollers implement.
struct Socket(TcpStream);

impl ErrorType for Socket {
    type Error = io::Error;
}

impl Read for Socket {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }
}

impl Write for Socket {
    async fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }
}

/// A clock that uses the time of tokio.
struct Time;

impl Clock for Time {
    async fn limit<F: Future>(&self, left: &mut Duration, future: F) -> Option<F::Output> {
        let since = Instant::now();
        let output = tokio::time::timeout(*left, future).await.ok();
        *left = left.saturating_sub(since.elapsed());
        output
    }
}

async fn echo(request: &mut Request<'_, Socket, Time>, body: &mut [u8]) -> Result<(), Error<io::Error>> {
    let body = request.body().read_all(body).await?;
    request.reply(200, &[], body).await
}

async fn serve(socket: TcpStream) {
    let mut socket = Socket(socket);
    let mut memory = Memory::<{ 8 * 1024 }, 64, 1024>::new();
    let mut body = vec![0; MAX_BODY];
    let mut server = Server::new(memory.buffers(), &Options::DEFAULT);
    let handler = async |request: &mut Request<'_, _, _>| echo(request, &mut body).await;
    match server.serve(&mut socket, &Time, handler).await {
        Ok(End::Done) => {}
        Ok(End::Refused(error)) => eprintln!("refused: {error}"),
        Err(error) => {
            eprintln!("aborted: {error}");
            // Without linger time, closing the socket resets the connection. A response that was cut short then does
            // not look complete.
            let _ = socket.0.set_zero_linger();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> io::Result<()> {
    let address = std::env::args().nth(1).ok_or_else(|| io::Error::other("usage: device IP:PORT"))?;
    let listener = TcpListener::bind(address).await?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    io::stdout().flush()?;
    LocalSet::new()
        .run_until(async {
            loop {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                spawn_local(serve(socket));
            }
        })
        .await
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("device: {error}");
        std::process::exit(1)
    });
}
