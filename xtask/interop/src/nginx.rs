//! nginx as a file server, and as a proxy in front of our server.
//!
//! The files are requested directly and through our proxy. nginx reaches our server over a Unix socket in two ways.
//! With the configuration of the page about deployment, it keeps connections. With `proxy_pass` alone, it uses HTTP/1.0
//! and keeps no connections.

use crate::child::{START, Server};
use crate::exchanges::Traits;
use crate::matrix::Matrix;
use crate::peer::{Bench, Where, documented, free_port, put, tied};
use crate::{Result, server, tunnel, websocket};

/// Debian installs nginx in a folder that is not in every user's PATH.
pub(crate) const PROGRAM: &str = "/usr/sbin/nginx";

/// The configuration into which the sites of the page are put. It also has two other sites: files, and the shortest
/// possible proxy.
const CONFIG: &str = include_str!("../nginx.conf");

const HALF_CLOSE: &str =
    "nginx closes a tunnel both ways when the client half-closes it, and drops what is still on its way";

pub(crate) fn run(bench: &Bench<'_>, nginx: &str, matrix: &mut Matrix) -> Result {
    bench.shell.write_file(bench.files().join("chunks"), "onetwothree")?;
    let ours = bench.serve(&bench.address(Where::Unix, "behind-nginx"))?;
    let terminal = tunnel::terminal(bench, &bench.address(Where::Unix, "terminal-behind-nginx"))?;
    let plain = free_port()?;
    let files = [free_port()?, bench.address(Where::Unix, "nginx-files")];
    let proxy = [free_port()?, bench.address(Where::Unix, "nginx-proxy")];
    let tunnels = [free_port()?, bench.address(Where::Unix, "nginx-tunnels")];

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
    let config = CONFIG
        .replace("FOLDER", &folder.display().to_string())
        .replace("ROOT", &bench.files().display().to_string())
        .replace("PLAIN", &plain)
        .replace("OURS", &ours.address().to_string())
        .replace("FILES_ON", &listen(&files));
    let file = folder.join("nginx.conf");
    bench.shell.write_file(&file, config)?;
    let (shell, line) = tied(&format!("{PROGRAM} -e stderr -p {} -c {}", folder.display(), file.display()));
    // When nginx prints its method of waiting for events, it already listens.
    let _nginx = Server::start_within(&shell, &line, START, |line| line.contains("event method").then(String::new))?;

    let traits = Traits { files: true, unsupported: &[("extensions", "nginx sends none")], ..Traits::default() };
    for address in &files {
        bench.perform(&format!("nginx {nginx}, files"), address, &traits, matrix)?;
    }
    for (kind, behind) in [Where::Ipv4, Where::Unix].into_iter().zip(&files) {
        let ours = server::start_proxy(&bench.address(kind, "before-nginx"), behind)?;
        bench.perform(&format!("ProxyApp in front of nginx {nginx}"), &ours.address().to_string(), &traits, matrix)?;
    }
    let traits = Traits { proxied: true, unsupported: &[("extensions", "nginx drops them")], ..Traits::default() };
    for address in &proxy {
        bench.perform(&format!("nginx {nginx} in front of Degu"), address, &traits, matrix)?;
    }
    let traits = Traits { proxied: false, ..traits };
    bench.perform(&format!("nginx {nginx}, plain, in front of Degu"), &plain, &traits, matrix)?;
    for address in &tunnels {
        let unsupported = &[("half-close", HALF_CLOSE)];
        tunnel::perform(&format!("nginx {nginx} in front of terminal"), address, unsupported, matrix)?;
        websocket::perform(&format!("nginx {nginx} in front of terminal, WebSocket"), address, matrix)?;
    }
    Ok(())
}
