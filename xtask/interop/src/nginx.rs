//! nginx as a file server, and as a proxy in front of our server.
//!
//! The files are requested directly and through our proxy. nginx reaches our server over a Unix socket in two ways.
//! With the configuration of the page about deployment, it keeps connections. With `proxy_pass` alone, nginx before
//! 1.29.7 uses HTTP/1.0 and keeps no connections.

use degu_server::Limits;

use crate::exchanges::Traits;
use crate::peer::{Bench, Where, documented, free_port, put};
use crate::{Result, server, tunnel};

/// The configuration into which the sites of the page are put. It also has two other sites: files, and the shortest
/// possible proxy.
const CONFIG: &str = include_str!("../nginx.conf");

const HALF_CLOSE: &str =
    "nginx closes a tunnel both ways when the client half-closes it, and drops what is still on its way";

pub(crate) fn run(bench: &mut Bench<'_>, nginx: &str) -> Result {
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
    let config = CONFIG
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
        bench.perform(&format!("nginx {nginx}, files"), address, &traits)?;
    }
    for (kind, behind) in [Where::Ipv4, Where::Unix].into_iter().zip(&files) {
        let ours = server::start_proxy(&bench.address(kind), behind)?;
        bench.perform(&format!("ProxyApp in front of nginx {nginx}"), &ours.address().to_string(), &traits)?;
    }
    let traits = Traits { proxied: true, unsupported: &[("extensions", "nginx drops them")], ..Traits::ALL };
    for address in &proxy {
        bench.perform(&format!("nginx {nginx} in front of Degu"), address, &traits)?;
    }
    let traits = Traits { proxied: false, ..traits };
    bench.perform(&format!("nginx {nginx}, plain, in front of Degu"), &plain, &traits)?;
    for address in &tunnels {
        let unsupported = &[("half-close", HALF_CLOSE)];
        tunnel::perform(bench, &format!("nginx {nginx} in front of terminal"), address, unsupported)?;
    }
    Ok(())
}
