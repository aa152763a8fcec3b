//! HAProxy in front of our server, with health checks.
//!
//! The page about deployment has two configurations: one for two copies of a server, and one for tunnels. This
//! test adds a third proxy, which checks our server with the default health check of HAProxy, `OPTIONS /`.

use degu_server::Limits;

use crate::exchanges::Traits;
use crate::peer::{Bench, Where, documented, free_port, put, wait_for};
use crate::{Result, server, tunnel};

pub(crate) fn run(bench: &mut Bench<'_>, haproxy: &str) -> Result {
    let [first, second] = [Where::Unix; 2].map(|kind| bench.address(kind));
    let terminal = tunnel::terminal(bench, Where::Unix)?;
    let (plain, proxy, tunnels) = (free_port()?, bench.fixed_addresses()?, bench.fixed_addresses()?);

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
    bench.shell.write_file(bench.folder.join("haproxy.cfg"), config)?;
    // HAProxy listens before its first check, and assumes until then that every server is up. Our servers do not run
    // yet. So HAProxy first marks the server of `plain` as down, and marks it as up only after the server has passed a
    // check.
    let is_down = |line: &str| line.contains("'plain'") && line.contains("no server available");
    let _haproxy = bench.start_tied("/usr/sbin/haproxy -db -f $FOLDER/haproxy.cfg", is_down)?;
    wait_for(&proxy[0], "/health", 503)?;
    wait_for(&plain, "/hello", 503)?;

    let ours = server::start(&first, Limits::DEFAULT)?;
    wait_for(&proxy[0], "/health", 200)?;
    wait_for(&plain, "/hello", 200)?;
    bench.matrix.note(&format!("HAProxy {haproxy}, its default check: passed"));
    for address in &proxy {
        let server = format!("HAProxy {haproxy} in front of Degu");
        let unsupported = &[("extensions", "HAProxy drops them")];
        bench.perform(&server, address, &Traits { proxied: true, unsupported, ..Traits::ALL })?;
    }
    for address in &tunnels {
        tunnel::perform(bench, &format!("HAProxy {haproxy} in front of terminal"), address, &[])?;
    }

    let other = server::start(&second, Limits::DEFAULT)?;
    drop(ours);
    wait_for(&proxy[0], "/health", 200)?;
    drop(other);
    wait_for(&proxy[0], "/health", 503)?;
    bench.matrix.note(&format!(
        "HAProxy {haproxy}, health checks: 503 while no server runs, 200 once one does, and the second copy takes over when \
         the first stops"
    ));
    Ok(())
}
