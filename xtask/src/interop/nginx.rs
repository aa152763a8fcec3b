//! nginx, as a server of files and as a proxy in front of our server, which it reaches over a Unix socket that it keeps
//! open.

use std::net::TcpListener;
use std::path::Path;

use xshell::Shell;

use super::matrix::Matrix;
use super::peer::{Bench, Where, version, words};
use crate::Result;
use crate::child::Server;

pub(super) fn find(shell: &Shell) -> std::result::Result<String, String> {
    // Debian has it in /usr/sbin, where not everybody's shell looks.
    version(shell, PROGRAM, "-v")
}

const PROGRAM: &str = "/usr/sbin/nginx";

pub(super) fn run(bench: &Bench<'_>, nginx: &str, matrix: &mut Matrix) -> Result {
    bench.shell.write_file(bench.files().join("chunks"), "onetwothree")?;
    let ours = bench.serve(&bench.address(Where::Unix, "behind-nginx"))?;
    let upstream = ours.address();
    // nginx can not say which port it got. Another process may take this one in between; then the run fails, and says so.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let files = listener.local_addr()?.to_string();
    let second = TcpListener::bind("127.0.0.1:0")?;
    let proxy = second.local_addr()?.to_string();
    drop((listener, second));
    let (files_unix, proxy_unix) =
        (bench.address(Where::Unix, "nginx-files"), bench.address(Where::Unix, "nginx-proxy"));

    let folder = bench.folder.join("nginx");
    bench.shell.create_dir(&folder)?;
    let config = CONFIG
        .replace("FOLDER", &folder.display().to_string())
        .replace("ROOT", &bench.files().display().to_string())
        .replace("UPSTREAM", upstream)
        .replace("FILES_ON", &format!("listen {files}; listen {files_unix};"))
        .replace("PROXY_ON", &format!("listen {proxy}; listen {proxy_unix};"));
    let file = folder.join("nginx.conf");
    bench.shell.write_file(&file, config)?;
    // It does not look at stdin, so that the kernel has to end it if this process is killed. Once it has chosen how to
    // wait for events, it listens.
    let command =
        format!("exec setpriv --pdeathsig KILL {PROGRAM} -e stderr -p {} -c {} 2>&1", folder.display(), file.display());
    let _nginx = Server::start_until(Path::new("/bin/sh"), &words(&["-c", &command]), |line| {
        line.contains("event method").then(String::new)
    })?;

    for address in [&files, &files_unix] {
        let server = format!("nginx {nginx}, files");
        bench.perform(&server, address, &["--files", "--skip", "extensions=nginx sends none"], matrix);
    }
    for address in [&proxy, &proxy_unix] {
        let server = format!("nginx {nginx}, proxy");
        bench.perform(&server, address, &["--proxied", "--skip", "extensions=nginx drops them"], matrix);
    }
    Ok(())
}

/// One process, in the foreground, so that it is gone when it is killed. Server side includes are what makes nginx send a
/// file in chunks.
const CONFIG: &str = "
daemon off;
master_process off;
pid FOLDER/pid;
error_log stderr notice;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  client_max_body_size 8m;
  upstream degu { server UPSTREAM; keepalive 4; }
  server {
    FILES_ON
    root ROOT;
    location = /chunks { ssi on; ssi_types *; }
  }
  server {
    PROXY_ON
    location / {
      proxy_pass http://degu;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_request_buffering off;
    }
  }
}
";
