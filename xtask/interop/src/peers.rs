//! The peers, each with its test. Most peers are scripts of `peers/`.

use degu_server::Limits;

use crate::exchanges::{ALL, Traits};
use crate::matrix::outcomes;
use crate::peer::{Bench, LIMIT, Where};
use crate::steps::{Unsupported, columns};
use crate::tunnel::terminal;
use crate::{Result, autobahn, deployment, engine, events, server, websocket};

use Test::{Other, Script};

/// The name of a peer in the matrix, a shell command that prints the version, and the test. The version replaces `{}` in the
/// name. The command fails if the peer is not installed.
pub(crate) type Peer = (&'static str, &'static str, Test);

pub(crate) enum Test {
    /// A shell command that runs a script of `peers/`, without its last argument, which is the address. The script runs
    /// once for each kind of address.
    Script(&'static str, &'static [Where], Role),
    /// Another test. The second argument is the version.
    Other(fn(&mut Bench<'_>, &str) -> Result),
}

/// The role of a script.
pub(crate) enum Role {
    Server(Traits),
    /// A client that performs the exchanges with our server, which has these limits.
    Client(Limits),
    /// A server that echoes messages of WebSocket.
    SocketServer,
    /// A client that performs the exchanges of WebSocket with `terminal`.
    SocketClient,
    /// A reader of server-sent events.
    Reader,
    /// A client that checks our server in its own way, and prints the result.
    Checker,
}

const CLIENT: Role = Role::Client(Limits::DEFAULT);
/// A client that may omit Host.
const CLIENT_WITHOUT_HOST: Role = Role::Client(Limits { allow_missing_host: true, ..Limits::DEFAULT });
const SERVER: Role = Role::Server(Traits::ALL);
const AIOHTTP: Role = server_without(&[("extensions", "aiohttp drops them")]);
const HTTP_SERVER: Role = server_without(&[("extensions", "http.server leaves chunks to the handler")]);
const NODE: Role = server_without(&[("extensions", "Node drops them")]);

const fn server_without(unsupported: Unsupported) -> Role {
    Role::Server(Traits { unsupported, ..Traits::ALL })
}

/// A file server over HTTP/1.0.
const FILES: Role = Role::Server(Traits {
    files: true,
    unsupported: &[
        ("keep-alive", "HTTP/1.0 closes"),
        ("chunks", "HTTP/1.0 has no chunks"),
        ("extensions", "HTTP/1.0 has no chunks"),
    ],
    ..Traits::ALL
});

/// Node pads the names of abstract sockets with zeros to the full length, so it is tested without abstract sockets.
const NODE_KINDS: &[Where] = &[Where::Ipv4, Where::Ipv6, Where::Unix];
const IPV4: &[Where] = &[Where::Ipv4];

pub(crate) const PEERS: &[Peer] = &[
    ("nginx {}", "/usr/sbin/nginx -v 2>&1", Other(deployment::nginx)),
    ("HAProxy {}", "/usr/sbin/haproxy -v", Other(deployment::haproxy)),
    ("ab {} -k:", "ab -V", Script("bash ab_client.sh", IPV4, Role::Checker)),
    ("MicroPython's requests of HTTP/1.0,", "echo 1.0", Script("bash micropython_client.sh", IPV4, Role::Checker)),
    ("Podman {}", "ls /bin/busybox && podman --version", Other(engine::run_podman)),
    ("Docker {}", "ls /bin/busybox && dockerd --version", Other(engine::run_docker)),
    ("systemd {}", "systemd-socket-activate --version", Other(deployment::systemd)),
    (
        "http.server {}, files",
        "python3 --version",
        Script("python3 http_server.py --files $FOLDER/files", &[Where::Ipv4, Where::Unix], FILES),
    ),
    ("http.server {}", "python3 --version", Script("python3 http_server.py", Where::ALL, HTTP_SERVER)),
    ("http.client {}", "python3 --version", Script("python3 http_client.py", Where::ALL, CLIENT)),
    ("requests {}", "pypi requests requests_unixsocket", Script("$PYTHON requests_client.py", Where::ALL, CLIENT)),
    ("aiohttp {}", "pypi aiohttp", Script("$PYTHON aiohttp_server.py", Where::ALL, AIOHTTP)),
    ("aiohttp {}", "pypi aiohttp", Script("$PYTHON aiohttp_client.py", Where::ALL, CLIENT)),
    ("Node {}", "node --version", Script("node node_server.mjs", NODE_KINDS, NODE)),
    ("Node {}", "node --version", Script("node node_client.mjs", NODE_KINDS, CLIENT)),
    ("undici {}", "npm undici", Script("node undici_client.mjs $NODE", NODE_KINDS, CLIENT)),
    ("websockets {}", "pypi websockets", Script("$PYTHON websocket_server.py", Where::ALL, Role::SocketServer)),
    ("websockets {}", "pypi websockets", Script("$PYTHON websocket_client.py", Where::ALL, Role::SocketClient)),
    ("Autobahn {}", autobahn::VERSION, Other(autobahn::run)),
    ("ws {}", "npm ws", Script("node websocket_server.mjs $NODE", NODE_KINDS, Role::SocketServer)),
    ("ws {}", "npm ws", Script("node websocket_client.mjs $NODE", NODE_KINDS, Role::SocketClient)),
    ("Degu {}", "PYTHON=$PYTHON36 pypi degu degu.base", Script("$PYTHON36 degu_server.py", Where::ALL, SERVER)),
    // Over a Unix socket, Degu 0.18 sends no Host.
    (
        "Degu {}",
        "PYTHON=$PYTHON36 pypi degu degu.base",
        Script("$PYTHON36 degu_client.py", Where::ALL, CLIENT_WITHOUT_HOST),
    ),
    ("curl {}", "curl --version", Script("bash curl_client.sh $FOLDER/files", Where::ALL, CLIENT)),
    ("curl {} -N", "curl --version", Script("bash events_curl.sh", IPV4, Role::Reader)),
    ("sseclient {}", "pypi sseclient", Script("$PYTHON events_client.py", IPV4, Role::Reader)),
    ("Chromium {}", "chromium --version", Script("bash events_chromium.sh $FOLDER", IPV4, Role::Reader)),
];

/// Tests a peer of this version.
pub(crate) fn test(bench: &mut Bench<'_>, (name, _, test): &Peer, version: &str) -> Result {
    let name = &name.replace("{}", version);
    let (line, kinds, role) = match test {
        Script(line, kinds, role) => (line, kinds, role),
        Other(run) => return run(bench, version),
    };
    for &kind in *kinds {
        let address = bench.address(kind);
        match role {
            Role::Server(traits) => {
                let server = bench.start(&format!("{line} {address}"))?;
                bench.perform(name, server.address(), traits)?;
            }
            Role::SocketServer => {
                let server = bench.start(&format!("{line} {address}"))?;
                websocket::perform(bench, name, server.address())?;
            }
            Role::Client(limits) => {
                let ours = server::start(&address, *limits)?;
                bench.run_client(line, (name, "Degu"), &ours.address().to_string(), &columns(ALL), outcomes);
            }
            Role::SocketClient => {
                let terminal = terminal(bench, kind)?;
                let columns = columns(websocket::STEPS);
                bench.run_client(line, (name, "terminal"), terminal.address(), &columns, outcomes);
            }
            Role::Reader => {
                let ours = events::serve(&address)?;
                let address = ours.address().to_string();
                bench.run_client(line, (name, "Degu"), &address, events::COLUMNS, events::outcomes);
            }
            Role::Checker => {
                let ours = server::start(&address, Limits::DEFAULT)?;
                let said = bench.run(&format!("{line} {}", ours.address()), LIMIT)?;
                bench.matrix.note(&format!("{name} {said}"));
            }
        }
    }
    Ok(())
}
