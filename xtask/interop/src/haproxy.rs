//! HAProxy in front of our server, which it checks.
//!
//! The page about deployment configures it for two copies of the server. A third proxy checks one of them with the request that
//! HAProxy makes by default.

use xshell::Shell;

use crate::child::{START, Server};
use crate::exchanges::Traits;
use crate::matrix::Matrix;
use crate::peer::{Bench, Where, documented, free_port, put, tied, version, wait_for};
use crate::{Result, tunnel, websocket};

pub(crate) fn find(shell: &Shell) -> std::result::Result<String, String> {
    version(shell, PROGRAM, "-v")
}

const PROGRAM: &str = "/usr/sbin/haproxy";

pub(crate) fn run(bench: &Bench<'_>, haproxy: &str, matrix: &mut Matrix) -> Result {
    let (first, second) = (bench.address(Where::Unix, "app-1"), bench.address(Where::Unix, "app-2"));
    let (proxy, proxy_unix) = (free_port()?, bench.address(Where::Unix, "haproxy"));
    // What it calls a Unix socket.
    let unix = |address: &str| address.replacen("unix:", "unix@", 1);

    let config = documented(bench.shell, "haproxy", 0)?;
    let config = put(&config, "unix@/run/app-1.sock", &unix(&first))?;
    let config = put(&config, "unix@/run/app-2.sock", &unix(&second))?;
    let mut config = put(&config, "bind :80", &format!("bind {proxy}\n    bind {}", unix(&proxy_unix)))?;
    let plain = free_port()?;
    // `OPTIONS / HTTP/1.0`, without Host. Neither 404 nor 505 passes.
    config += &format!("\nlisten plain\n    bind {plain}\n    option httpchk\n    server app {} check\n", unix(&first));
    let terminal = tunnel::terminal(bench, &bench.address(Where::Unix, "terminal-behind-haproxy"))?;
    let (tunnels, tunnels_unix) = (free_port()?, bench.address(Where::Unix, "haproxy-tunnels"));
    let deployed = documented(bench.shell, "haproxy", 1)?;
    let deployed = put(&deployed, "unix@/run/terminal.sock", &unix(terminal.address()))?;
    config += &put(&deployed, "bind :80", &format!("bind {tunnels}\n    bind {}", unix(&tunnels_unix)))?;
    let file = bench.folder.join("haproxy.cfg");
    bench.shell.write_file(&file, config)?;
    let (shell, line) = tied(&format!("{PROGRAM} -db -f {}", file.display()));
    // It listens before it checks, and takes every server for good until then. Neither of ours is there yet, so that the one of
    // `listen plain` can only come up by a check that it passes.
    let is_down = |line: &str| (line.contains("'plain'") && line.contains("no server available")).then(String::new);
    let _haproxy = Server::start_within(&shell, &line, START, is_down)?;
    wait_for(&proxy, "/health", 503)?;
    wait_for(&plain, "/hello", 503)?;

    let ours = bench.serve(&first)?;
    wait_for(&proxy, "/health", 200)?;
    wait_for(&plain, "/hello", 200)?;
    matrix.note(&format!("HAProxy {haproxy}, its default check: passed"));
    for address in [&proxy, &proxy_unix] {
        let server = format!("HAProxy {haproxy} in front of Degu");
        let skipped = &[("extensions", "HAProxy drops them")];
        bench.perform(&server, address, &Traits { proxied: true, skipped, ..Traits::default() }, matrix)?;
    }

    for address in [&tunnels, &tunnels_unix] {
        tunnel::perform(&format!("HAProxy {haproxy} in front of terminal"), address, None, matrix)?;
        websocket::perform(&format!("HAProxy {haproxy} in front of terminal, WebSocket"), address, matrix)?;
    }

    let other = bench.serve(&second)?;
    drop(ours);
    wait_for(&proxy, "/health", 200)?;
    drop(other);
    wait_for(&proxy, "/health", 503)?;
    matrix.note(&format!(
        "HAProxy {haproxy}, health checks: 503 while no server runs, 200 once one does, and the second copy takes over when \
         the first stops"
    ));
    Ok(())
}
