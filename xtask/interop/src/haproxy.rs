//! HAProxy in front of our server, with health checks.
//!
//! The page about deployment has two configurations: one for two copies of a server, and one for tunnels. A third proxy
//! uses the request that HAProxy sends by default as a health check.

use crate::child::{START, Server};
use crate::exchanges::Traits;
use crate::matrix::Matrix;
use crate::peer::{Bench, Where, documented, free_port, put, tied, wait_for};
use crate::{Result, tunnel, websocket};

pub(crate) const PROGRAM: &str = "/usr/sbin/haproxy";

pub(crate) fn run(bench: &Bench<'_>, haproxy: &str, matrix: &mut Matrix) -> Result {
    let [first, second] = ["app-1", "app-2"].map(|name| bench.address(Where::Unix, name));
    let terminal = tunnel::terminal(bench, &bench.address(Where::Unix, "terminal-behind-haproxy"))?;
    let plain = free_port()?;
    let proxy = [free_port()?, bench.address(Where::Unix, "haproxy")];
    let tunnels = [free_port()?, bench.address(Where::Unix, "haproxy-tunnels")];

    // HAProxy has its own notation for the address of a Unix socket.
    let unix = |address: &str| address.replacen("unix:", "unix@", 1);
    let bind = |[tcp, path]: &[String; 2]| format!("bind {tcp}\n    bind {}", unix(path));
    let config = documented(bench.shell, "haproxy", 0)?;
    let config = put(&config, "unix@/run/app-1.sock", &unix(&first))?;
    let config = put(&config, "unix@/run/app-2.sock", &unix(&second))?;
    let mut config = put(&config, "bind :80", &bind(&proxy))?;
    // The default check is `OPTIONS / HTTP/1.0` without Host. A server that answers it with 404 or 505 counts as down.
    config += &format!("\nlisten plain\n    bind {plain}\n    option httpchk\n    server app {} check\n", unix(&first));
    let deployed = documented(bench.shell, "haproxy", 1)?;
    let deployed = put(&deployed, "unix@/run/terminal.sock", &unix(terminal.address()))?;
    config += &put(&deployed, "bind :80", &bind(&tunnels))?;
    let file = bench.folder.join("haproxy.cfg");
    bench.shell.write_file(&file, config)?;
    let (shell, line) = tied(&format!("{PROGRAM} -db -f {}", file.display()));
    // HAProxy listens before its first check, and assumes until then that every server is up. Our servers do not run
    // yet. So HAProxy first marks the server of `plain` as down, and marks it as up only after the server has passed a
    // check.
    let is_down = |line: &str| (line.contains("'plain'") && line.contains("no server available")).then(String::new);
    let _haproxy = Server::start_within(&shell, &line, START, is_down)?;
    wait_for(&proxy[0], "/health", 503)?;
    wait_for(&plain, "/hello", 503)?;

    let ours = bench.serve(&first)?;
    wait_for(&proxy[0], "/health", 200)?;
    wait_for(&plain, "/hello", 200)?;
    matrix.note(&format!("HAProxy {haproxy}, its default check: passed"));
    for address in &proxy {
        let server = format!("HAProxy {haproxy} in front of Degu");
        let unsupported = &[("extensions", "HAProxy drops them")];
        bench.perform(&server, address, &Traits { proxied: true, unsupported, ..Traits::default() }, matrix)?;
    }
    for address in &tunnels {
        tunnel::perform(&format!("HAProxy {haproxy} in front of terminal"), address, &[], matrix)?;
        websocket::perform(&format!("HAProxy {haproxy} in front of terminal, WebSocket"), address, matrix)?;
    }

    let other = bench.serve(&second)?;
    drop(ours);
    wait_for(&proxy[0], "/health", 200)?;
    drop(other);
    wait_for(&proxy[0], "/health", 503)?;
    matrix.note(&format!(
        "HAProxy {haproxy}, health checks: 503 while no server runs, 200 once one does, and the second copy takes over when \
         the first stops"
    ));
    Ok(())
}
