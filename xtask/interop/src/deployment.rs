//! Peers with the configuration from the page about deployment: nginx, HAProxy and systemd.

use std::env;

use degu_server::Limits;
use xshell::cmd;

use crate::exchanges::Traits;
use crate::peer::{Bench, Where, documented, free_port, put, wait_for};
use crate::{Result, server, tunnel};

/// The configuration into which the sites of the page are put. The configuration also has two other sites: files, and
/// the shortest possible proxy.
const NGINX_CONFIG: &str = include_str!("../nginx.conf");

const HALF_CLOSE: &str =
    "nginx closes a tunnel both ways when the client half-closes it, and drops what is still on its way";

/// Tests nginx as a file server, and as a proxy in front of our server.
///
/// The files are requested directly and through our proxy. nginx reaches our server over a Unix socket in two ways. With the
/// configuration of the page, it keeps connections. With `proxy_pass` alone, nginx before 1.29.7 uses HTTP/1.0 and keeps no
/// connections.
pub(crate) fn nginx(bench: &mut Bench<'_>, version: &str) -> Result {
    bench.shell.write_file(bench.files().join("chunks"), "onetwothree")?;
    let ours = server::start(&bench.address(Where::Unix), Limits::DEFAULT)?;
    let terminal = tunnel::terminal(bench, Where::Unix)?;
    let (plain, files) = (free_port()?, bench.fixed_addresses()?);
    let (proxy, tunnels) = (bench.fixed_addresses()?, bench.fixed_addresses()?);

    let folder = bench.folder.join("nginx");
    bench.shell.create_dir(&folder)?;
    let listen = |[tcp, unix]: &[String; 2]| format!("listen {tcp}; listen {unix};");
    let site = |number, name: &str, server: &str, addresses| -> Result {
        let site = documented(bench.shell, "nginx", number)?;
        let site = put(&site, &format!("server unix:/run/{name}.sock;"), &format!("server {server};"))?;
        let site = put(&site, "listen 80;", &listen(addresses))?;
        Ok(bench.shell.write_file(folder.join(format!("{name}.conf")), site)?)
    };
    site(0, "app", &ours.address().to_string(), &proxy)?;
    site(1, "terminal", terminal.address(), &tunnels)?;
    let config = NGINX_CONFIG
        .replace("FOLDER", &folder.display().to_string())
        .replace("ROOT", &bench.files().display().to_string())
        .replace("PLAIN", &plain)
        .replace("OURS", &ours.address().to_string())
        .replace("FILES_ON", &listen(&files));
    bench.shell.write_file(folder.join("nginx.conf"), config)?;
    // Debian installs nginx in a folder that is not in every user's PATH.
    let line = "/usr/sbin/nginx -e stderr -p $FOLDER/nginx -c $FOLDER/nginx/nginx.conf";
    // When nginx prints its method of waiting for events, it already listens.
    let _nginx = bench.start_tied(line, |line| line.contains("event method"))?;

    let traits = Traits { files: true, unsupported: &[("extensions", "nginx sends none")], ..Traits::ALL };
    for address in &files {
        bench.perform(&format!("nginx {version}, files"), address, &traits)?;
    }
    for (kind, behind) in [Where::Ipv4, Where::Unix].into_iter().zip(&files) {
        let ours = server::start_proxy(&bench.address(kind), behind)?;
        bench.perform(&format!("ProxyApp in front of nginx {version}"), &ours.address().to_string(), &traits)?;
    }
    let traits = Traits { proxied: true, unsupported: &[("extensions", "nginx drops them")], ..Traits::ALL };
    for address in &proxy {
        bench.perform(&format!("nginx {version} in front of Degu"), address, &traits)?;
    }
    let traits = Traits { proxied: false, ..traits };
    bench.perform(&format!("nginx {version}, plain, in front of Degu"), &plain, &traits)?;
    for address in &tunnels {
        let unsupported = &[("half-close", HALF_CLOSE)];
        tunnel::perform(bench, &format!("nginx {version} in front of terminal"), address, unsupported)?;
    }
    Ok(())
}

/// Tests HAProxy in front of our server, with health checks.
///
/// The page has two configurations: one for two copies of a server, and one for tunnels. This test adds a third proxy, which
/// checks our server with the default health check of HAProxy, `OPTIONS /`.
pub(crate) fn haproxy(bench: &mut Bench<'_>, version: &str) -> Result {
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
    bench.matrix.note(&format!("HAProxy {version}, its default check: passed"));
    for address in &proxy {
        let server = format!("HAProxy {version} in front of Degu");
        let unsupported = &[("extensions", "HAProxy drops them")];
        bench.perform(&server, address, &Traits { proxied: true, unsupported, ..Traits::ALL })?;
    }
    for address in &tunnels {
        tunnel::perform(bench, &format!("HAProxy {version} in front of terminal"), address, &[])?;
    }

    let other = server::start(&second, Limits::DEFAULT)?;
    drop(ours);
    wait_for(&proxy[0], "/health", 200)?;
    drop(other);
    wait_for(&proxy[0], "/health", 503)?;
    bench.matrix.note(&format!(
        "HAProxy {version}, health checks: 503 while no server runs, 200 once one does, and the second copy takes over when \
         the first stops"
    ));
    Ok(())
}

/// Tests that systemd accepts the units of the page, and passes a listening socket to our server.
pub(crate) fn systemd(bench: &mut Bench<'_>, version: &str) -> Result {
    let exposure = read_units(bench)?;
    bench.matrix.note(&format!("systemd {version}: `systemd-analyze verify` accepts app.socket and app.service; exposure level {exposure} of 10"));

    // This program is also the server.
    let program = env::current_exe()?.display().to_string();
    for address in bench.fixed_addresses()? {
        let socket = address.strip_prefix("unix:").unwrap_or(&address);
        // The socket becomes the standard input, as it does with `StandardInput=socket`.
        let line = format!("systemd-socket-activate --inetd --listen {socket} {program} --activated");
        let _ours = bench.start_tied(&line, |line| line.starts_with("Listening on"))?;
        bench.perform(&format!("Degu, socket-activated by systemd {version}"), &address, &Traits::ALL)?;
    }
    Ok(())
}

/// Checks that systemd accepts the units. Returns the exposure level that systemd gives to the service, from 0 to 10.
fn read_units(bench: &Bench<'_>) -> Result<String> {
    let shell = bench.shell;
    let folder = bench.folder.join("units");
    let (socket, service) = (folder.join("app.socket"), folder.join("app.service"));
    shell.write_file(&socket, documented(shell, "ini", 0)?)?;
    // The check fails if the program does not exist.
    let program = env::current_exe()?.display().to_string();
    shell.write_file(&service, put(&documented(shell, "ini", 1)?, "/usr/local/bin/app", &program)?)?;
    let said = cmd!(shell, "systemd-analyze verify --man=no {socket} {service}").quiet().read_stderr()?;
    // systemd also reports problems in other units of the machine, which do not concern this test.
    if let Some(line) = said.lines().find(|line| line.contains("app.s")) {
        return Err(line.to_owned().into());
    }
    let said = cmd!(shell, "systemd-analyze security --offline=true --no-pager {service}").quiet().read()?;
    exposure(&said).ok_or_else(|| "systemd-analyze prints no exposure level of app.service".into())
}

fn exposure(said: &str) -> Option<String> {
    let rest = said.lines().find_map(|line| line.split_once("Overall exposure level for app.service: "))?.1;
    rest.split(' ').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_exposed() {
        let said = "  NAME  DESCRIPTION\n\n\u{2192} Overall exposure level for app.service: 0.5 SAFE\n";
        assert_eq!(exposure(said).as_deref(), Some("0.5"));
        assert_eq!(exposure("nothing"), None);
    }
}
