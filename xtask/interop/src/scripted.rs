//! Peers that run a script of ours: each is a server, a client or both, over the kinds of address that it knows.

use std::path::{Path, PathBuf};

use degu_server::Limits;
use xshell::{Shell, cmd};

use crate::child::Server;
use crate::exchanges::Traits;
use crate::matrix::{Matrix, names};
use crate::peer::{Bench, Where, installed, script};
use crate::{Result, server};

/// A part of a peer, and so rows of the matrix.
pub(crate) struct Part {
    /// Without its version.
    name: &'static str,
    /// A script of `xtask/interop/peers` with its arguments; the address follows. `FILES` and `INSTALLED` are folders.
    script: &'static [&'static str],
    kinds: &'static [Where],
    role: Role,
}

enum Role {
    Server(Traits),
    /// Asked by a client that may leave Host out.
    Client {
        without_host: bool,
    },
}

/// Node pads the names of abstract sockets to the full length.
pub(crate) const NODE_KINDS: &[Where] = &[Where::Ipv4, Where::Ipv6, Where::Unix];

const fn server(
    name: &'static str,
    script: &'static [&'static str],
    kinds: &'static [Where],
    skipped: &'static [(&'static str, &'static str)],
) -> Part {
    let traits = Traits { files: false, http10: false, proxied: false, skipped };
    Part { name, script, kinds, role: Role::Server(traits) }
}

const fn client(name: &'static str, script: &'static [&'static str], kinds: &'static [Where]) -> Part {
    Part { name, script, kinds, role: Role::Client { without_host: false } }
}

pub(crate) const PYTHON: &[Part] = &[
    Part {
        name: "http.server, files",
        script: &["http_server.py", "--files", "FILES"],
        kinds: &[Where::Ipv4, Where::Unix],
        role: Role::Server(Traits {
            files: true,
            http10: true,
            proxied: false,
            skipped: &[
                ("keep-alive", "HTTP/1.0 closes"),
                ("chunks", "HTTP/1.0 has no chunks"),
                ("extensions", "HTTP/1.0 has no chunks"),
            ],
        }),
    },
    server(
        "http.server",
        &["http_server.py"],
        Where::ALL,
        &[("extensions", "http.server leaves chunks to the handler")],
    ),
    client("http.client", &["http_client.py"], Where::ALL),
];
pub(crate) const REQUESTS: &[Part] = &[client("requests", &["requests_client.py"], Where::ALL)];
pub(crate) const AIOHTTP: &[Part] = &[
    server("aiohttp", &["aiohttp_server.py"], Where::ALL, &[("extensions", "aiohttp drops them")]),
    client("aiohttp", &["aiohttp_client.py"], Where::ALL),
];
pub(crate) const NODE: &[Part] = &[
    server("Node", &["node_server.mjs"], NODE_KINDS, &[("extensions", "Node drops them")]),
    client("Node", &["node_client.mjs"], NODE_KINDS),
];
pub(crate) const UNDICI: &[Part] = &[client("undici", &["undici_client.mjs", "INSTALLED"], NODE_KINDS)];
pub(crate) const DEGU_018: &[Part] = &[
    server("Degu", &["degu_server.py"], Where::ALL, &[]),
    // It sends no Host over a Unix socket.
    Part { role: Role::Client { without_host: true }, ..client("Degu", &["degu_client.py"], Where::ALL) },
];
pub(crate) const CURL: &[Part] = &[client("curl", &["curl_client.sh", "FILES"], Where::ALL)];

pub(crate) fn run(bench: &Bench<'_>, program: &Path, parts: &[Part], version: &str, matrix: &mut Matrix) -> Result {
    for (number, part) in parts.iter().enumerate() {
        let name = match part.name.split_once(", ") {
            Some((name, what)) => format!("{name} {version}, {what}"),
            None => format!("{} {version}", part.name),
        };
        let mut words = vec![script(part.script[0])];
        words.extend(part.script[1..].iter().map(|word| match *word {
            "FILES" => bench.files().display().to_string(),
            "INSTALLED" => installed_node(),
            word => word.to_owned(),
        }));
        for &kind in part.kinds {
            let address = bench.address(kind, &format!("{}-{number}", part.script[0]));
            match &part.role {
                Role::Server(traits) => {
                    let server = Server::start(program, &[&words[..], &[address]].concat())?;
                    bench.perform(&name, server.address(), traits, matrix)?;
                }
                &Role::Client { without_host } => {
                    let limits = Limits { allow_missing_host: without_host, ..Limits::DEFAULT };
                    let ours = server::start(&address, limits)?;
                    let address = ours.address().to_string();
                    let words = [&words[..], std::slice::from_ref(&address)].concat();
                    let columns: Vec<_> = names().collect();
                    matrix.add(&name, "Degu", &address, bench.exchanges(&columns, program, &words));
                }
            }
        }
    }
    Ok(())
}

/// The Python of an environment of its own, which has packages of PyPI.
pub(crate) fn python(environment: &str) -> PathBuf {
    installed(environment).join("bin/python3")
}

/// Finds the version of what this code imports as `found` in an environment.
pub(crate) fn find_python(shell: &Shell, environment: &str, code: &str) -> std::result::Result<String, String> {
    let (program, code) = (python(environment), format!("{code}; print(found.__version__)"));
    let version = cmd!(shell, "{program} -c {code}").quiet().ignore_stderr().read();
    version.map_err(|_| "it is not installed".into())
}

/// Returns the folder of the npm packages.
pub(crate) fn installed_node() -> String {
    installed("node").display().to_string()
}

/// Finds the version of a package of npm.
pub(crate) fn find_node_package(shell: &Shell, name: &str) -> std::result::Result<String, String> {
    let package = shell.read_file(installed(&format!("node/node_modules/{name}/package.json")));
    let package = package.map_err(|_| "it is not installed")?;
    let package: serde_json::Value = serde_json::from_str(&package).map_err(|error| error.to_string())?;
    package["version"].as_str().map(str::to_owned).ok_or_else(|| "its package has no version".into())
}
