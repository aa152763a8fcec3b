//! nginx as a contestant: a small file, over keep-alive connections, set up as its documentation advises for speed.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::cores::joined;
use super::stage::Stage;
use crate::Result;
use crate::child::Server;

/// Debian has it in /usr/sbin, where not everybody's shell looks.
const PROGRAM: &str = "/usr/sbin/nginx";

/// Whether it is installed, with what pins it to cores.
pub(super) fn is_there() -> bool {
    let runs = |program: &str, option: &str| {
        Command::new(program).arg(option).output().is_ok_and(|output| output.status.success())
    };
    runs(PROGRAM, "-v") && runs("taskset", "--version")
}

/// Starts it with a worker on each of these cores; its address has port and host as a client takes them.
pub(super) fn start(stage: &Stage<'_>, cores: &[usize]) -> Result<Server> {
    let folder = stage.folder().join("nginx");
    stage.shell.write_file(folder.join("files/hello"), "hello, world")?;
    // It can not say which port it got. Another process may take this one in between; then the run fails, and says so.
    let address = TcpListener::bind("[::1]:0")?.local_addr()?.to_string();
    let config = CONFIG
        .replace("FOLDER", &folder.display().to_string())
        .replace("WORKERS", &cores.len().max(1).to_string())
        .replace("ADDRESS", &address);
    let file = folder.join("nginx.conf");
    stage.shell.write_file(&file, config)?;
    // Its workers outlive a master that is killed. So it is told to end: when stdin does, by a shell that waits for that,
    // and that is not killed before.
    let pinned = if cores.is_empty() { String::new() } else { format!("taskset -c {} ", joined(cores)) };
    let script = format!(
        "{pinned}{PROGRAM} -e stderr -p {} -c {} 2>&1 & nginx=$!; trap 'kill $nginx' EXIT; read -r line",
        folder.display(),
        file.display()
    );
    let server = Server::start_until(Path::new("/bin/sh"), &["-c".into(), script], move |line| {
        line.contains("start worker process ").then(|| address.clone())
    });
    Ok(server?.with_patience(Duration::from_secs(2)))
}

const CONFIG: &str = "
daemon off;
worker_processes WORKERS;
worker_rlimit_nofile 30000;
pid FOLDER/pid;
error_log stderr notice;
events { worker_connections 12000; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  open_file_cache max=10 inactive=60s;
  open_file_cache_valid 60s;
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  server {
    listen ADDRESS backlog=4096;
    root FOLDER/files;
  }
}
";
