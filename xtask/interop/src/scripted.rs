//! Peers that run a script of `peers/`.

use degu_server::Limits;

use crate::child::Server;
use crate::exchanges::{ALL, Traits};
use crate::matrix::Matrix;
use crate::peer::{Bench, Where, installed, interpreter, script};
use crate::steps::{Unsupported, columns};
use crate::{Result, server};

/// A peer in one of its roles, as client or server.
pub(crate) struct Part {
    /// The name in the matrix, without the version.
    name: &'static str,
    /// The interpreter, a script of `xtask/interop/peers`, and its arguments. The address is added as the last
    /// argument. `FILES` and `INSTALLED` are replaced by paths of folders.
    words: &'static [&'static str],
    kinds: &'static [Where],
    role: Role,
}

enum Role {
    Server(Traits),
    /// A client that performs the exchanges with our server.
    Client {
        /// The client may omit Host.
        without_host: bool,
    },
}

/// The Python interpreter with the packages from PyPI, in the folder of installed programs.
pub(crate) const VENV: &str = "python/bin/python3";
pub(crate) const VENV_018: &str = "degu-0.18/bin/python3";

/// The kinds of address for Node. Node pads the names of abstract sockets with zeros to the full length, so it is
/// tested without abstract sockets.
pub(crate) const NODE_KINDS: &[Where] = &[Where::Ipv4, Where::Ipv6, Where::Unix];

const fn server(
    name: &'static str,
    words: &'static [&'static str],
    kinds: &'static [Where],
    unsupported: Unsupported,
) -> Part {
    let traits = Traits { files: false, http10: false, proxied: false, unsupported };
    Part { name, words, kinds, role: Role::Server(traits) }
}

const fn client(name: &'static str, words: &'static [&'static str], kinds: &'static [Where]) -> Part {
    Part { name, words, kinds, role: Role::Client { without_host: false } }
}

/// The exchanges that a file server over HTTP/1.0 does not support.
const HTTP10: Unsupported = &[
    ("keep-alive", "HTTP/1.0 closes"),
    ("chunks", "HTTP/1.0 has no chunks"),
    ("extensions", "HTTP/1.0 has no chunks"),
];

pub(crate) const PYTHON: &[Part] = &[
    Part {
        role: Role::Server(Traits { files: true, http10: true, proxied: false, unsupported: HTTP10 }),
        ..server(
            "http.server, files",
            &["python3", "http_server.py", "--files", "FILES"],
            &[Where::Ipv4, Where::Unix],
            &[],
        )
    },
    server(
        "http.server",
        &["python3", "http_server.py"],
        Where::ALL,
        &[("extensions", "http.server leaves chunks to the handler")],
    ),
    client("http.client", &["python3", "http_client.py"], Where::ALL),
];
pub(crate) const REQUESTS: &[Part] = &[client("requests", &[VENV, "requests_client.py"], Where::ALL)];
pub(crate) const AIOHTTP: &[Part] = &[
    server("aiohttp", &[VENV, "aiohttp_server.py"], Where::ALL, &[("extensions", "aiohttp drops them")]),
    client("aiohttp", &[VENV, "aiohttp_client.py"], Where::ALL),
];
pub(crate) const NODE: &[Part] = &[
    server("Node", &["node", "node_server.mjs"], NODE_KINDS, &[("extensions", "Node drops them")]),
    client("Node", &["node", "node_client.mjs"], NODE_KINDS),
];
pub(crate) const UNDICI: &[Part] = &[client("undici", &["node", "undici_client.mjs", "INSTALLED"], NODE_KINDS)];
pub(crate) const DEGU_018: &[Part] = &[
    server("Degu", &[VENV_018, "degu_server.py"], Where::ALL, &[]),
    // Over a Unix socket, Degu 0.18 sends no Host.
    Part { role: Role::Client { without_host: true }, ..client("Degu", &[VENV_018, "degu_client.py"], Where::ALL) },
];
pub(crate) const CURL: &[Part] = &[client("curl", &["bash", "curl_client.sh", "FILES"], Where::ALL)];

/// Performs the exchanges with a peer in each of its roles, over each kind of address.
pub(crate) fn run(bench: &Bench<'_>, parts: &[Part], version: &str, matrix: &mut Matrix) -> Result {
    for (number, part) in parts.iter().enumerate() {
        let name = match part.name.split_once(", ") {
            Some((name, what)) => format!("{name} {version}, {what}"),
            None => format!("{} {version}", part.name),
        };
        let (program, mut words) = (interpreter(part.words[0]), vec![script(part.words[1])]);
        words.extend(part.words[2..].iter().map(|word| match *word {
            "FILES" => bench.files().display().to_string(),
            "INSTALLED" => installed_node(),
            word => word.to_owned(),
        }));
        for &kind in part.kinds {
            let address = bench.address(kind, &format!("{}-{number}", part.words[1]));
            match &part.role {
                Role::Server(traits) => {
                    let server = Server::start(&program, &[&words[..], &[address]].concat())?;
                    bench.perform(&name, server.address(), traits, matrix)?;
                }
                &Role::Client { without_host } => {
                    let limits = Limits { allow_missing_host: without_host, ..Limits::DEFAULT };
                    let ours = server::start(&address, limits)?;
                    let address = ours.address().to_string();
                    let words = [&words[..], std::slice::from_ref(&address)].concat();
                    let outcomes = bench.exchanges(&columns(ALL), &program, &words);
                    matrix.add_row(columns(ALL), &name, "Degu", &address, outcomes);
                }
            }
        }
    }
    Ok(())
}

/// Returns the folder of the npm packages.
pub(crate) fn installed_node() -> String {
    installed("node").display().to_string()
}
