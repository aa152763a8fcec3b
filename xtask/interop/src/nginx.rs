//! nginx, as a server of files and as a proxy in front of our server.
//!
//! The files are asked for directly and through our proxy. nginx reaches our server over a Unix socket: as the page about
//! deployment configures it, which keeps connections; and with `proxy_pass` alone, which speaks HTTP/1.0 and keeps none.

use xshell::Shell;

use crate::child::{START, Server};
use crate::exchanges::Traits;
use crate::matrix::Matrix;
use crate::peer::{Bench, Where, documented, free_port, put, tied, version};
use crate::{Result, server, tunnel, websocket};

pub(crate) fn find(shell: &Shell) -> std::result::Result<String, String> {
    // Debian has it in /usr/sbin, where not everybody's shell looks.
    version(shell, PROGRAM, "-v")
}

const PROGRAM: &str = "/usr/sbin/nginx";

pub(crate) fn run(bench: &Bench<'_>, nginx: &str, matrix: &mut Matrix) -> Result {
    bench.shell.write_file(bench.files().join("chunks"), "onetwothree")?;
    let ours = bench.serve(&bench.address(Where::Unix, "behind-nginx"))?;
    let (files, proxy, plain) = (free_port()?, free_port()?, free_port()?);
    let (files_unix, proxy_unix) =
        (bench.address(Where::Unix, "nginx-files"), bench.address(Where::Unix, "nginx-proxy"));

    let folder = bench.folder.join("nginx");
    bench.shell.create_dir(&folder)?;
    let deployed = documented(bench.shell, "nginx", 0)?;
    let deployed = put(&deployed, "server unix:/run/app.sock;", &format!("server {};", ours.address()))?;
    let deployed = put(&deployed, "listen 80;", &format!("listen {proxy}; listen {proxy_unix};"))?;
    bench.shell.write_file(folder.join("app.conf"), deployed)?;
    let terminal = tunnel::terminal(bench, &bench.address(Where::Unix, "terminal-behind-nginx"))?;
    let (tunnels, tunnels_unix) = (free_port()?, bench.address(Where::Unix, "nginx-tunnels"));
    let deployed = documented(bench.shell, "nginx", 1)?;
    let deployed = put(&deployed, "server unix:/run/terminal.sock;", &format!("server {};", terminal.address()))?;
    let deployed = put(&deployed, "listen 80;", &format!("listen {tunnels}; listen {tunnels_unix};"))?;
    bench.shell.write_file(folder.join("terminal.conf"), deployed)?;
    let config = AROUND
        .replace("FOLDER", &folder.display().to_string())
        .replace("ROOT", &bench.files().display().to_string())
        .replace("PLAIN", &plain)
        .replace("OURS", &ours.address().to_string())
        .replace("FILES_ON", &format!("listen {files}; listen {files_unix};"));
    let file = folder.join("nginx.conf");
    bench.shell.write_file(&file, config)?;
    let (shell, line) = tied(&format!("{PROGRAM} -e stderr -p {} -c {}", folder.display(), file.display()));
    // Once it has chosen how to wait for events, it listens.
    let _nginx = Server::start_within(&shell, &line, START, |line| line.contains("event method").then(String::new))?;

    let traits = Traits { files: true, skipped: &[("extensions", "nginx sends none")], ..Traits::default() };
    for address in [&files, &files_unix] {
        bench.perform(&format!("nginx {nginx}, files"), address, &traits, matrix)?;
    }
    for (kind, behind) in [(Where::Ipv4, &files), (Where::Unix, &files_unix)] {
        let ours = server::start_proxy(&bench.address(kind, "before-nginx"), behind)?;
        bench.perform(&format!("ProxyApp in front of nginx {nginx}"), &ours.address().to_string(), &traits, matrix)?;
    }
    let traits = Traits { proxied: true, skipped: &[("extensions", "nginx drops them")], ..Traits::default() };
    for address in [&proxy, &proxy_unix] {
        bench.perform(&format!("nginx {nginx} in front of Degu"), address, &traits, matrix)?;
    }
    let traits = Traits { proxied: false, ..traits };
    bench.perform(&format!("nginx {nginx}, plain, in front of Degu"), &plain, &traits, matrix)?;
    for address in [&tunnels, &tunnels_unix] {
        tunnel::perform(&format!("nginx {nginx} in front of terminal"), address, Some(CLOSES), matrix)?;
        websocket::perform(&format!("nginx {nginx} in front of terminal, WebSocket"), address, matrix)?;
    }
    Ok(())
}

/// Why a tunnel through it is not half-closed.
const CLOSES: &str =
    "nginx closes a tunnel both ways when the client half-closes it, and drops what is still on its way";

/// A site of files, the shortest proxy, and the configuration of the page about deployment.
const AROUND: &str = include_str!("../nginx.conf");
