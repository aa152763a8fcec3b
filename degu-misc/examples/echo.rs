//! A server that answers every request with the body that it received. Chunks keep their boundaries, extensions and
//! trailers.
//!
//! `echo ADDRESS [--max-connections N] [--http10] [--date] [--ignore-body | --silent] [--hyper] [--log] [--tls-cert
//! FILE --tls-key FILE [--tls-clients CA]]`
//!
//! With `--silent` every response sends one chunk and then nothing, like a feed without news. The server ends the
//! response 1 s after the client has half-closed the connection. With `--hyper` the server is
//! `degu_server::hyper::serve`, which does not keep chunks and their extensions.
//!
//! The server reads up to 64 KiB of a body before the response begins. A fault in this part of the body is therefore
//! answered with an error status. The rest of the body streams through. The first line of output is `listening on
//! ADDRESS`. SIGINT and SIGTERM end the server gracefully.

use std::io::{self, Write};
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Request as AxumRequest;
use degu_server::{Address, App, Body, BoxError, Chunk, Options, Request, Response, Server, Session};
use futures_util::{StreamExt, stream};
use lexopt::{Arg, ValueExt};

mod tls;

const USAGE: &str = "usage: echo ADDRESS [--max-connections N] [--http10] [--date] [--ignore-body | --silent] \
                     [--hyper] [--log] [--tls-cert FILE --tls-key FILE [--tls-clients CA]]";

/// The number of bytes of a request's body that the server reads before the response begins.
const READ_FIRST: usize = 64 * 1024;

async fn echo(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    request.body.read_ahead(READ_FIRST).await?;
    Ok((200, request.body).into())
}

async fn ignore(_: &mut Session, _: Request<'_>) -> Response {
    "ignored".into()
}

/// The only chunk of a silent response.
const NEWS: &str = "no news\n";

async fn silent(_: &mut Session, _: Request<'_>) -> Response {
    let feed = Body::try_unfold(false, async |has_begun| {
        if has_begun {
            std::future::pending::<()>().await;
        }
        Ok(Some((Chunk::new(NEWS), true)))
    });
    (200, feed).into()
}

/// The way in which the server answers requests.
#[derive(Clone, Copy)]
enum Mode {
    Echo,
    Ignore,
    Silent,
}

fn run() -> Result<(), BoxError> {
    let mut options = Server::options();
    let (mut address, mut mode, mut on_hyper) = (None, Mode::Echo, false);
    let mut files = tls::Files::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(value) if address.is_none() => address = Some(value.parse::<Address>()?),
            Arg::Long("max-connections") => options = options.max_connections(arguments.value()?.parse()?),
            // The server allows HTTP/1.0 by default.
            Arg::Long("http10") => options = options.allow_http10(true),
            Arg::Long("date") => options = options.date(true),
            Arg::Long("ignore-body") => mode = Mode::Ignore,
            Arg::Long("silent") => {
                (mode, options) = (Mode::Silent, options.half_close_timeout(Duration::from_secs(1)));
            }
            Arg::Long("hyper") => on_hyper = true,
            Arg::Long("log") => tracing_subscriber::fmt().with_writer(io::stderr).init(),
            Arg::Long(name @ ("tls-cert" | "tls-key" | "tls-clients")) => {
                let name = name.to_owned();
                files.take(&name, &mut arguments)?;
            }
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    options = files.on_server(options)?;
    let address = address.ok_or(USAGE)?;
    match mode {
        _ if on_hyper => serve_on_hyper(address, options, mode),
        Mode::Echo => serve(options.bind(address, echo)?),
        Mode::Ignore => serve(options.bind(address, ignore)?),
        Mode::Silent => serve(options.bind(address, silent)?),
    }
}

/// Serves until a signal comes, and then until every request is answered.
fn serve<A: App>(server: Server<A>) -> Result<(), BoxError> {
    listening_on(server.address())?;
    Ok(server.serve_until_signal()?)
}

/// Serves with `degu_server::hyper` until a signal comes, and then until every request is answered.
#[tokio::main]
async fn serve_on_hyper(address: Address, options: Options, mode: Mode) -> Result<(), BoxError> {
    let answer = async move |request: AxumRequest| match mode {
        Mode::Echo => request.into_body(),
        Mode::Ignore => AxumBody::from("ignored"),
        Mode::Silent => AxumBody::from_stream(stream::iter([Ok::<_, BoxError>(NEWS)]).chain(stream::pending())),
    };
    let listener = options.listener(address)?;
    listening_on(listener.address())?;
    let stop = async { drop(stop_signal().await) };
    degu_server::hyper::serve(listener, options, Router::new().fallback(answer), stop).await?;
    Ok(())
}

fn listening_on(address: &Address) -> io::Result<()> {
    writeln!(io::stdout(), "listening on {address}")?;
    io::stdout().flush()
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

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("echo: {error}");
        std::process::exit(1)
    });
}
