//! Python: http.server as a server of files over HTTP/1.0 and as a server of ours over HTTP/1.1, and http.client.

use std::path::Path;

use xshell::Shell;

use super::matrix::Matrix;
use super::peer::{Bench, Where, script, version, words};
use crate::Result;
use crate::child::Server;

pub(super) fn find(shell: &Shell) -> std::result::Result<String, String> {
    version(shell, PROGRAM, "--version")
}

const PROGRAM: &str = "python3";

/// What a server that closes after each response, and that has only files, can not do.
const FILES: [&str; 8] = [
    "--files",
    "--http10",
    "--skip",
    "keep-alive=HTTP/1.0 closes",
    "--skip",
    "chunks=HTTP/1.0 has no chunks",
    "--skip",
    "extensions=HTTP/1.0 has no chunks",
];

pub(super) fn run(bench: &Bench<'_>, python: &str, matrix: &mut Matrix) -> Result {
    let program = Path::new(PROGRAM);
    let (serves, asks, files) = (script("http_server.py"), script("http_client.py"), bench.files());
    for kind in [Where::Ipv4, Where::Unix] {
        let address = bench.address(kind, "python-files");
        let files = files.display().to_string();
        let server = Server::start(program, &words(&[&serves, "--files", &files, &address]))?;
        bench.perform(&format!("http.server {python}, files"), server.address(), &FILES, matrix);
    }
    for kind in Where::ALL {
        let server = Server::start(program, &words(&[&serves, &bench.address(kind, "python")]))?;
        let skip = ["--skip", "extensions=http.server leaves chunks to the handler"];
        bench.perform(&format!("http.server {python}"), server.address(), &skip, matrix);
    }
    for kind in Where::ALL {
        let ours = bench.serve(&bench.address(kind, "for-python"))?;
        let outcomes = bench.exchanges(program, &[&asks, ours.address()]);
        matrix.add(&format!("http.client {python}"), "Degu", ours.address(), outcomes);
    }
    Ok(())
}
