//! WebSocket over a tunnel: the libraries of others with `terminal`, and both of our clients with their servers. Over our
//! clients, tokio-tungstenite speaks it.

use std::path::Path;

use degu_client::{Address, BoxError, Client, Headers, Method, Tunnel, Upgrade, blocking};
use futures_util::{SinkExt, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket};
use xshell::Shell;

use crate::Result;
use crate::child::Server;
use crate::exchanges::{large, same, wanted};
use crate::matrix::Matrix;
use crate::peer::{Bench, Where, script};
use crate::scripted::{NODE_KINDS, find_node_package, installed_node, python};
use crate::steps::{Step, columns, perform as perform_steps};
use crate::tunnel::terminal;

const STEPS: &[Step<Peer>] = &[("text", text), ("binary", binary), ("ping", ping), ("closing", closing)];

pub(crate) fn run_python(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    run(bench, &python("python"), ".py", &[], &format!("websockets {version}"), Where::ALL, matrix)
}

pub(crate) fn find_node(shell: &Shell) -> std::result::Result<String, String> {
    find_node_package(shell, "ws")
}

pub(crate) fn run_node(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    run(bench, Path::new("node"), ".mjs", &[installed_node()], &format!("ws {version}"), NODE_KINDS, matrix)
}

fn run(
    bench: &Bench<'_>,
    program: &Path,
    extension: &str,
    arguments: &[String],
    name: &str,
    kinds: &[Where],
    matrix: &mut Matrix,
) -> Result {
    let words = |role: &str, address: &str| {
        [&[script(&format!("websocket_{role}{extension}"))], arguments, &[address.to_owned()]].concat()
    };
    for &kind in kinds {
        let server =
            Server::start(program, &words("server", &bench.address(kind, &format!("websocket-server{extension}"))))?;
        perform(name, server.address(), matrix)?;
    }
    for &kind in kinds {
        let ours = terminal(bench, &bench.address(kind, &format!("websocket-terminal{extension}")))?;
        let outcomes = bench.exchanges(&columns(STEPS), program, &words("client", ours.address()));
        matrix.add_row(columns(STEPS), name, "terminal", ours.address(), outcomes);
    }
    Ok(())
}

/// Performs the exchanges with a server that echoes messages at `/socket`, and adds a row for each of our clients.
pub(crate) fn perform(server: &str, address: &str, matrix: &mut Matrix) -> Result {
    for (client, blocking) in [("Degu, async", false), ("Degu, blocking", true)] {
        let behind: Address = address.parse()?;
        let outcomes = perform_steps(STEPS, move || Ok(Peer { client: Client::new(behind), blocking }));
        matrix.add_row(columns(STEPS), client, server, address, outcomes);
    }
    Ok(())
}

/// A server, and with which of our clients it is asked.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) blocking: bool,
}

type Done<T = ()> = std::result::Result<T, BoxError>;

fn text(peer: &mut Peer) -> Done {
    let mut socket = Socket::connect(peer, "/socket")?;
    for message in ["some text", "", "more"].map(Message::text) {
        socket.send(message.clone())?;
        let echoed = socket.read()?;
        wanted(echoed == message, || format!("{echoed:?} instead of {message:?}"))?;
    }
    Ok(())
}

/// 1 MiB, which the peer may send back in fragments.
fn binary(peer: &mut Peer) -> Done {
    let mut socket = Socket::connect(peer, "/socket")?;
    socket.send(Message::binary(large()))?;
    let echoed = socket.read()?;
    wanted(echoed.is_binary(), || "no binary message".into())?;
    same("message", &echoed.into_data(), &large())
}

fn ping(peer: &mut Peer) -> Done {
    let mut socket = Socket::connect(peer, "/socket")?;
    socket.send(Message::Ping("some text".into()))?;
    let answer = socket.read()?;
    wanted(answer == Message::Pong("some text".into()), || format!("{answer:?}"))
}

/// The closing handshake, after which the server ends the connection.
fn closing(peer: &mut Peer) -> Done {
    let mut socket = Socket::connect(peer, "/socket")?;
    socket.send(Message::Close(None))?;
    let answer = socket.read()?;
    wanted(answer.is_close(), || format!("{answer:?}"))?;
    let end = socket.read();
    wanted(end.is_err_and(|error| error.to_string() == "Connection closed normally"), || "it goes on".into())
}

/// A WebSocket over a tunnel of either client.
pub(crate) enum Socket {
    Blocking(Box<WebSocket<blocking::Tunnel>>),
    Async(Runtime, Box<WebSocketStream<Tunnel>>),
}

impl Socket {
    pub(crate) fn connect(peer: &Peer, target: &str) -> Done<Self> {
        let key = generate_key();
        let headers = Headers::try_from([("sec-websocket-version", "13"), ("sec-websocket-key", &key)])?;
        let accepted = |headers: &Headers| {
            let accept = headers.get("sec-websocket-accept");
            wanted(accept == Some(&derive_accept_key(key.as_bytes())), || format!("accept is {accept:?}"))
        };
        if peer.blocking {
            let mut connection = blocking::Client::from(peer.client.clone()).connect()?;
            return match connection.upgrade(Method::Get, target, "websocket", headers, ())? {
                blocking::Upgrade::Switched { response, tunnel } => {
                    accepted(&response.headers)?;
                    Ok(Self::Blocking(Box::new(WebSocket::from_raw_socket(tunnel, Role::Client, None))))
                }
                blocking::Upgrade::Declined(response) => Err(format!("status {}", response.status).into()),
            };
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let socket = runtime.block_on(async {
            let mut connection = peer.client.connect().await?;
            match connection.upgrade(Method::Get, target, "websocket", headers, ()).await? {
                Upgrade::Switched { response, tunnel } => {
                    accepted(&response.headers)?;
                    Ok(WebSocketStream::from_raw_socket(tunnel, Role::Client, None).await)
                }
                Upgrade::Declined(response) => Err(BoxError::from(format!("status {}", response.status))),
            }
        })?;
        Ok(Self::Async(runtime, Box::new(socket)))
    }

    pub(crate) fn send(&mut self, message: Message) -> Done {
        match self {
            Self::Blocking(socket) => Ok(socket.send(message)?),
            Self::Async(runtime, socket) => Ok(runtime.block_on(socket.send(message))?),
        }
    }

    pub(crate) fn read(&mut self) -> Done<Message> {
        match self {
            Self::Blocking(socket) => Ok(socket.read()?),
            // The end of the stream of messages is what an error says in the other case.
            Self::Async(runtime, socket) => {
                Ok(runtime.block_on(socket.next()).ok_or("Connection closed normally")??)
            }
        }
    }
}
