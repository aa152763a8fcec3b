//! WebSocket through a tunnel. Other clients are tested with the example `terminal`, and both of our clients with other
//! servers. Our clients only open the tunnel. The crate tungstenite speaks WebSocket through it.

use degu_client::{Headers, Method};
use tungstenite::handshake::{client::generate_key, derive_accept_key};
use tungstenite::protocol::{Message, Role, WebSocket};

use crate::Result;
use crate::exchanges::{large, same, wanted};
use crate::ours::{Ours, Tunnel, declined};
use crate::peer::Bench;
use crate::steps::{Step, perform as perform_steps};

pub(crate) const STEPS: &[Step<()>] = &[("text", text), ("binary", binary), ("ping", ping), ("closing", closing)];

/// Performs the exchanges with a server that echoes messages at `/socket`, with both of our clients.
pub(crate) fn perform(bench: &mut Bench<'_>, server: &str, address: &str) -> Result {
    perform_steps(STEPS, &[], server, address, &mut bench.matrix, |_, _| Ok(()))
}

/// Opens a WebSocket through a tunnel.
pub(crate) fn connect(ours: &mut Ours, target: &str) -> Result<WebSocket<Box<dyn Tunnel>>> {
    let key = generate_key();
    let headers = Headers::try_from([("sec-websocket-version", "13"), ("sec-websocket-key", &key)])?;
    let (headers, tunnel) = ours.upgrade(Method::Get, target, "websocket", headers, None)?.map_err(declined)?;
    let accept = headers.get("sec-websocket-accept");
    wanted(accept == Some(&derive_accept_key(key.as_bytes())), || {
        format!("sec-websocket-accept is {accept:?}, a wrong hash")
    })?;
    Ok(WebSocket::from_raw_socket(tunnel, Role::Client, None))
}

fn text(ours: &mut Ours, (): &mut ()) -> Result {
    let mut socket = connect(ours, "/socket")?;
    for message in ["some text", "", "more"].map(Message::text) {
        socket.send(message.clone())?;
        let echoed = socket.read()?;
        wanted(echoed == message, || format!("{echoed:?} instead of {message:?}"))?;
    }
    Ok(())
}

/// Sends a message of 1 MiB. The server may send it back in fragments.
fn binary(ours: &mut Ours, (): &mut ()) -> Result {
    let mut socket = connect(ours, "/socket")?;
    socket.send(Message::binary(large()))?;
    let echoed = socket.read()?;
    wanted(echoed.is_binary(), || "no binary message".into())?;
    same("message", &echoed.into_data(), &large())
}

fn ping(ours: &mut Ours, (): &mut ()) -> Result {
    let mut socket = connect(ours, "/socket")?;
    socket.send(Message::Ping("some text".into()))?;
    let answer = socket.read()?;
    wanted(answer == Message::Pong("some text".into()), || format!("{answer:?}"))
}

/// Performs the closing handshake. After it, the server must close the connection.
fn closing(ours: &mut Ours, (): &mut ()) -> Result {
    let mut socket = connect(ours, "/socket")?;
    socket.send(Message::Close(None))?;
    let answer = socket.read()?;
    wanted(answer.is_close(), || format!("{answer:?}"))?;
    let end = socket.read();
    wanted(matches!(end, Err(tungstenite::Error::ConnectionClosed)), || format!("{end:?} after the closing handshake"))
}
