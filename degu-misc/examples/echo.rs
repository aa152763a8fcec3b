//! A server that answers every request with the body it received, chunks with their boundaries, extensions and trailers.
//!
//! `echo ADDRESS [--max-connections N] [--http10] [--date] [--ignore-body] [--log]
//!     [--tls-cert FILE --tls-key FILE [--tls-clients CA]]`
//!
//! Up to 64 KiB of a body are read before the answer begins, so that a fault in them gets its status; what is beyond
//! streams through. The first line of output is `listening on ADDRESS`. SIGINT and SIGTERM end the server cleanly.

use std::io::{self, Write};

use degu_server::{Address, App, BoxError, IntoResponse, Request, Response, Server, Session};
use lexopt::{Arg, ValueExt};

#[cfg(feature = "tls")]
mod tls;

const USAGE: &str = "usage: echo ADDRESS [--max-connections N] [--http10] [--date] [--ignore-body] [--log] \
                     [--tls-cert FILE --tls-key FILE [--tls-clients CA]]";

/// So much of a body is read before its answer begins.
const READ_FIRST: usize = 64 * 1024;

async fn echo(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    request.body.read_ahead(READ_FIRST).await?;
    Ok((200, "OK", request.body).into_response())
}

async fn ignore(_: &mut Session, _: Request<'_>) -> Response {
    (200, "OK", "ignored").into_response()
}

fn main() -> Result<(), BoxError> {
    let mut options = Server::options();
    let (mut address, mut ignores_body) = (None, false);
    #[cfg(feature = "tls")]
    let mut files = tls::Files::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(value) if address.is_none() => address = Some(value.parse::<Address>()?),
            Arg::Long("max-connections") => options = options.max_connections(arguments.value()?.parse()?),
            Arg::Long("http10") => options = options.allow_http10(true),
            Arg::Long("date") => options = options.date(true),
            Arg::Long("ignore-body") => ignores_body = true,
            Arg::Long("log") => tracing_subscriber::fmt().with_writer(io::stderr).init(),
            #[cfg(feature = "tls")]
            Arg::Long("tls-cert") => files.cert = Some(arguments.value()?.into()),
            #[cfg(feature = "tls")]
            Arg::Long("tls-key") => files.key = Some(arguments.value()?.into()),
            #[cfg(feature = "tls")]
            Arg::Long("tls-clients") => files.clients = Some(arguments.value()?.into()),
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    #[cfg(feature = "tls")]
    if let Some(policy) = files.server()? {
        options = options.tls(policy);
    }
    let address = address.ok_or(USAGE)?;
    match ignores_body {
        true => serve(options.bind(address, ignore)?),
        false => serve(options.bind(address, echo)?),
    }
}

/// Serves until a signal says to stop, and then until every request is answered.
#[tokio::main(flavor = "current_thread")]
async fn serve<A: App>(server: Server<A>) -> Result<(), BoxError> {
    writeln!(io::stdout(), "listening on {}", server.address())?;
    io::stdout().flush()?;
    let handle = server.spawn()?;
    stop_signal().await?;
    handle.shutdown().await;
    Ok(())
}

#[cfg(unix)]
async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn stop_signal() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
