//! WebSocket through a tunnel. Other clients are tested with the example `terminal`, and both of our clients with other
//! servers. Our clients only open the tunnel. The crate tungstenite speaks WebSocket through it.

use degu_client::{BoxError, Headers, Method};
use tungstenite::handshake::{client::generate_key, derive_accept_key};
use tungstenite::protocol::{Message, Role, WebSocket};

use crate::Result;
use crate::child::Server;
use crate::exchanges::{large, same, wanted};
use crate::matrix::Matrix;
use crate::ours::{Ours, Tunnel};
use crate::peer::{Bench, Where, interpreter, script};
use crate::scripted::{NODE_KINDS, VENV, installed_node};
use crate::steps::{Step, columns, perform as perform_steps};
use crate::tunnel::terminal;

const STEPS: &[Step<()>] = &[("text", text), ("binary", binary), ("ping", ping), ("closing", closing)];

pub(crate) fn run_python(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    run(bench, VENV, ".py", &[], &format!("websockets {version}"), Where::ALL, matrix)
}

pub(crate) fn run_node(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    run(bench, "node", ".mjs", &[installed_node()], &format!("ws {version}"), NODE_KINDS, matrix)
}

fn run(
    bench: &Bench<'_>,
    program: &str,
    extension: &str,
    arguments: &[String],
    name: &str,
    kinds: &[Where],
    matrix: &mut Matrix,
) -> Result {
    let program = interpreter(program);
    let words = |role: &str, address: &str| {
        [&[script(&format!("websocket_{role}{extension}"))], arguments, &[address.to_owned()]].concat()
    };
    for &kind in kinds {
        let address = bench.address(kind, &format!("websocket-server{extension}"));
        let server = Server::start(&program, &words("server", &address))?;
        perform(name, server.address(), matrix)?;
    }
    for &kind in kinds {
        let ours = terminal(bench, &bench.address(kind, &format!("websocket-terminal{extension}")))?;
        let outcomes = bench.exchanges(&columns(STEPS), &program, &words("client", ours.address()));
        matrix.add_row(columns(STEPS), name, "terminal", ours.address(), outcomes);
    }
    Ok(())
}

/// Performs the exchanges with a server that echoes messages at `/socket`, with both of our clients.
pub(crate) fn perform(server: &str, address: &str, matrix: &mut Matrix) -> Result {
    perform_steps(STEPS, &[], server, address, matrix, |_, _| Ok(()))
}

type Done<T = ()> = std::result::Result<T, BoxError>;

/// Opens a WebSocket through a tunnel.
pub(crate) fn connect(ours: &mut Ours, target: &str) -> Done<WebSocket<Tunnel>> {
    let key = generate_key();
    let headers = Headers::try_from([("sec-websocket-version", "13"), ("sec-websocket-key", &key)])?;
    let switch = ours.upgrade(Method::Get, target, "websocket", headers, None)?;
    let tunnel = switch.tunnel.ok_or_else(|| format!("status {}", switch.status))?;
    let accept = switch.headers.get("sec-websocket-accept");
    wanted(accept == Some(&derive_accept_key(key.as_bytes())), || format!("accept is {accept:?}"))?;
    Ok(WebSocket::from_raw_socket(tunnel, Role::Client, None))
}

fn text(ours: &mut Ours, (): &mut ()) -> Done {
    let mut socket = connect(ours, "/socket")?;
    for message in ["some text", "", "more"].map(Message::text) {
        socket.send(message.clone())?;
        let echoed = socket.read()?;
        wanted(echoed == message, || format!("{echoed:?} instead of {message:?}"))?;
    }
    Ok(())
}

/// Sends a message of 1 MiB. The server may send it back in fragments.
fn binary(ours: &mut Ours, (): &mut ()) -> Done {
    let mut socket = connect(ours, "/socket")?;
    socket.send(Message::binary(large()))?;
    let echoed = socket.read()?;
    wanted(echoed.is_binary(), || "no binary message".into())?;
    same("message", &echoed.into_data(), &large())
}

fn ping(ours: &mut Ours, (): &mut ()) -> Done {
    let mut socket = connect(ours, "/socket")?;
    socket.send(Message::Ping("some text".into()))?;
    let answer = socket.read()?;
    wanted(answer == Message::Pong("some text".into()), || format!("{answer:?}"))
}

/// Performs the closing handshake. After it, the server must close the connection.
fn closing(ours: &mut Ours, (): &mut ()) -> Done {
    let mut socket = connect(ours, "/socket")?;
    socket.send(Message::Close(None))?;
    let answer = socket.read()?;
    wanted(answer.is_close(), || format!("{answer:?}"))?;
    let end = socket.read();
    wanted(matches!(end, Err(tungstenite::Error::ConnectionClosed)), || format!("{end:?} after the closing handshake"))
}
