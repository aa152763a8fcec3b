//! The server and the clients of `cargo xtask netns`, each in a network namespace of its own.
//!
//! ```text
//! degu-soak server ADDRESS                serves until EOF on stdin; prints `listening on ADDRESS`, and `TARGET TIME` when an
//!                                         exchange has ended
//! degu-soak exchanges ADDRESS             performs exchanges of each kind with both clients
//! degu-soak stall WAY CLIENT ADDRESS      begins an endless exchange and prints `begun`; prints `TIME ERROR` when the exchange
//!                                         has failed
//! ```
//!
//! `WAY` is `upload` or `download`, and `CLIENT` is `async` or `blocking`. `TIME` is in milliseconds since 1970.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use degu_client::{Address, Body, Chunk, Client, Error, Headers, Method, Part, blocking};
use degu_server::{Exchange as Ended, Server};
use degu_simulation::{Kind, Message, Seen};
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::app::app;
use crate::clients::Connection;
use crate::exchange::{Exchange, Outcome, message};
use crate::worker::send;

/// The longest time that client and server wait for bytes of a body. `hosts.sh` has the same limit.
const LIMIT: Duration = Duration::from_secs(2);

/// The length of the large piece of a body, in bytes. The piece needs many packets, so some packets are lost or
/// reordered.
const LARGE: usize = 256 * 1024;

pub(crate) fn serve(address: Address) -> Result {
    let report = |ended: &Ended| {
        let target = ended.target().unwrap_or("-");
        // The parent may have closed the pipe.
        let _ = say(&format!("{target} {}", now()));
    };
    let options = Server::options().workers(1).progress(1024, Some(LIMIT)).shutdown_grace(LIMIT).on_response(report);
    let server = options.bind(address, app(Arc::default()))?.spawn()?;
    say(&format!("listening on {}", server.address()))?;
    // The parent closes stdin when it no longer needs the server.
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    server.shutdown_blocking();
    Ok(())
}

pub(crate) fn perform_exchanges(address: Address) -> Result {
    let client = Client::new(address);
    [false, true].into_iter().try_for_each(|is_blocking| runtime()?.block_on(perform_with(&client, is_blocking)))
}

async fn perform_with(client: &Client, is_blocking: bool) -> Result {
    let mut connection = Connection::open(client, is_blocking).await?;
    let data = message(1, LARGE).data();
    let chunks = || data.chunks(10_000).map(|piece| Chunk::new(piece.to_vec()).with_flag("piece"));
    let echo = |kind| Exchange::echo(Message::new(kind, chunks()));
    for exchange in [Exchange::make(Method::Get, 1, 100), echo(Kind::Bytes), echo(Kind::Chunked)] {
        let outcome = exchange.judge(&send(&mut connection, &exchange).await);
        if outcome != Outcome::Right {
            return Err(format!("{}: {outcome:?}", exchange.target).into());
        }
    }
    Ok(())
}

pub(crate) fn stall(way: &str, client: &str, address: Address) -> Result {
    let options = Client::options().body_timeout(LIMIT).client(address);
    match runtime()?.block_on(endless(way, &options, client == "blocking")) {
        Ok(()) => Err("an endless body has ended".into()),
        Err(error) => say(&format!("{} {error}", now())),
    }
}

/// Performs an endless exchange. Prints `begun` when the first part has been received, or when the second part of the
/// request is needed.
async fn endless(way: &str, client: &Client, is_blocking: bool) -> std::result::Result<(), Error> {
    match Connection::open(client, is_blocking).await? {
        mut connection if way == "download" => {
            let (headers, nothing, mut polls) = (Headers::new(), Message::none(), 0);
            let goes_on = |_: &Seen| {
                polls += 1;
                if polls == 2 {
                    let _ = say("begun");
                }
                true
            };
            connection.perform(Method::Get, "/endless", &headers, &nothing, Duration::ZERO, goes_on).await.map(drop)
        }
        Connection::Async(mut connection) => {
            let mut parts = endless_parts();
            let source = move |_: &mut Context<'_>| Poll::Ready(parts.next().map(Ok));
            connection.post("/discard", Body::chunks_from_source(Box::pin(source))).await.map(drop)
        }
        Connection::Blocking(mut connection) => {
            connection.post("/discard", blocking::Body::from_chunks(endless_parts())).map(drop)
        }
    }
}

/// Returns the parts of an endless body. Prints `begun` when the second part is requested.
fn endless_parts() -> impl Iterator<Item = Part> {
    (0_u64..).map(|number| {
        if number == 1 {
            let _ = say("begun");
        }
        Chunk::new(vec![b'.'; 16 * 1024]).into()
    })
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Returns the milliseconds since 1970.
fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// Writes a line to stdout and flushes it.
fn say(line: &str) -> Result {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
