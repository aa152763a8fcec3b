//! A server that switches protocols: `terminal [--tls-cert FILE --tls-key FILE [--tls-clients CA]] ADDRESS`
//!
//! If a client offers `tcp` with `POST /attach`, the server sends the client's bytes back until the client half-closes.
//! The server then sends `bye` and ends the connection. If a client offers `websocket` with `GET /socket`, the server
//! sends messages back, with tokio-tungstenite. The first line of output is `listening on ADDRESS`.

use degu_server::{Address, BoxError, Method, Request, Response, Server, Session, Tunnel};
use futures_util::{SinkExt, StreamExt};
use lexopt::{Arg, ValueExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, handshake::derive_accept_key, protocol::Role},
};

mod tls;

const USAGE: &str = "usage: terminal [--tls-cert FILE --tls-key FILE [--tls-clients CA]] ADDRESS";

async fn echo(_: &mut Session, tunnel: Tunnel<'_>) -> Result<(), BoxError> {
    let (mut from, mut to) = tokio::io::split(tunnel);
    tokio::io::copy(&mut from, &mut to).await?;
    to.write_all(b"bye").await?;
    Ok(to.flush().await?)
}

async fn echo_messages(_: &mut Session, tunnel: Tunnel<'_>) -> Result<(), BoxError> {
    let mut socket = WebSocketStream::from_raw_socket(tunnel, Role::Server, None).await;
    while let Some(message) = socket.next().await {
        match message {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message).await?,
            // tokio-tungstenite answers pings and makes the closing handshake.
            Ok(_) => {}
            Err(Error::ConnectionClosed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn app(_: &mut Session, request: Request<'_>) -> Response {
    match (request.method(), request.segments()) {
        (Method::Post, ["attach"]) => match request.upgrade("tcp") {
            Some(offer) => offer.accept((), echo),
            None => (426, [("upgrade", "tcp")], ()).into(),
        },
        (Method::Get, ["socket"]) => match (request.upgrade("websocket"), request.headers().get("sec-websocket-key")) {
            (Some(offer), Some(key)) => {
                offer.accept([("sec-websocket-accept", derive_accept_key(key.as_bytes()))], echo_messages)
            }
            _ => (426, [("upgrade", "websocket")], ()).into(),
        },
        (_, ["attach"]) => (405, [("allow", "POST")], ()).into(),
        (_, ["socket"]) => (405, [("allow", "GET")], ()).into(),
        _ => 404.into(),
    }
}

fn run() -> Result<(), BoxError> {
    let mut address = None;
    let mut files = tls::Files::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long(name @ ("tls-cert" | "tls-key" | "tls-clients")) => {
                let name = name.to_owned();
                files.take(&name, &mut arguments)?;
            }
            Arg::Value(value) if address.is_none() => address = Some(value.parse::<Address>()?),
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    let server = files.on_server(Server::options())?.bind(address.ok_or(USAGE)?, app)?;
    println!("listening on {}", server.address());
    Ok(server.serve_forever()?)
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("terminal: {error}");
        std::process::exit(1)
    });
}
