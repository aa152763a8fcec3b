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

use degu_client::{Address, Body, BoxError, Chunk, Client, Error, Method, Part, blocking};
use degu_server::{Exchange as Ended, Server};
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::app::app;
use crate::clients::{Connection, at_once};
use crate::content::{chunks, random};
use crate::exchange::{Content, Exchange, Outcome};

/// The longest time that client and server wait for bytes of a body. `hosts.sh` has the same limit.
const LIMIT: Duration = Duration::from_secs(2);

/// The length of the large body in bytes. It needs many packets, so some of them are lost or reordered.
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
    runtime()?.block_on(perform_with::<degu_client::Connection>(&client))?;
    at_once(perform_with::<blocking::Connection>(&client))
}

async fn perform_with<C: Connection>(client: &Client) -> Result {
    let mut connection = C::connect(client).await?;
    let exchanges = [
        Exchange::make(Method::Get, 1, 100),
        Exchange::echo(Content::Bytes(random(1, LARGE))),
        Exchange::echo(Content::Chunks(chunks(1), Duration::ZERO)),
    ];
    for exchange in exchanges {
        let (expected, target) = (exchange.expected, exchange.target.clone());
        let outcome = expected.judge(connection.perform(exchange).await);
        if outcome != Outcome::Right {
            return Err(format!("{target}: {outcome:?}").into());
        }
    }
    Ok(())
}

/// Performs an endless exchange with either client. `$wait` is `.await` or nothing.
macro_rules! endless {
    ($connection:expr, $way:expr, $upload:expr, [$($wait:tt)*]) => {{
        if $way == "upload" {
            $connection.request(Method::Post, "/discard", (), $upload)$($wait)*?;
        } else {
            let mut body = $connection.get("/endless")$($wait)*?.body;
            body.next_data()$($wait)*?;
            let _ = say("begun");
            while body.next_data()$($wait)*?.is_some() {}
        }
        Ok::<_, Error>(())
    }};
}

pub(crate) fn stall(way: &str, client: &str, address: Address) -> Result {
    let options = Client::options().body_timeout(LIMIT).client(address);
    let result = if client == "async" {
        let mut parts = endless_parts();
        let source = move |_: &mut Context<'_>| Poll::Ready(parts.next().map(Ok::<_, BoxError>));
        runtime()?.block_on(async {
            let mut connection = options.connect().await?;
            endless!(connection, way, Body::chunks_from_source(Box::pin(source)), [.await])
        })
    } else {
        let exchange = || {
            let mut connection = blocking::Client::from(options).connect()?;
            endless!(connection, way, blocking::Body::from_chunks(endless_parts()), [])
        };
        exchange()
    };
    match result {
        Ok(()) => Err("an endless body has ended".into()),
        Err(error) => say(&format!("{} {error}", now())),
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
