//! What PyPI has: requests as a client, aiohttp as both ends. They live in an environment of their own.

use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};

use super::matrix::Matrix;
use super::peer::{self, Bench, Where, script, words};
use crate::Result;
use crate::child::Server;

const PYTHON: &str = "python3";

fn environment() -> PathBuf {
    peer::installed("python")
}

fn program() -> PathBuf {
    environment().join("bin").join(PYTHON)
}

fn install(shell: &Shell, packages: &[&str]) -> Result {
    let (environment, program) = (environment(), program());
    if !shell.path_exists(&program) {
        cmd!(shell, "{PYTHON} -m venv {environment}").run()?;
    }
    Ok(cmd!(shell, "{program} -m pip install --quiet {packages...}").run()?)
}

/// The version of the last of these modules.
fn find(shell: &Shell, modules: &[&str]) -> std::result::Result<String, String> {
    let last = modules.last().copied().unwrap_or_default();
    let (program, print) = (program(), format!("import {}; print({last}.__version__)", modules.join(", ")));
    let version = cmd!(shell, "{program} -c {print}").quiet().ignore_stderr().read();
    version.map_err(|_| "it is not installed".into())
}

pub(super) fn find_requests(shell: &Shell) -> std::result::Result<String, String> {
    find(shell, &["requests_unixsocket", "requests"])
}

pub(super) fn install_requests(shell: &Shell) -> Result {
    install(shell, &["requests", "requests-unixsocket"])
}

pub(super) fn run_requests(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    ask(bench, &program(), &format!("requests {version}"), "requests_client.py", matrix)
}

pub(super) fn find_aiohttp(shell: &Shell) -> std::result::Result<String, String> {
    find(shell, &["aiohttp"])
}

pub(super) fn install_aiohttp(shell: &Shell) -> Result {
    install(shell, &["aiohttp"])
}

pub(super) fn run_aiohttp(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    let (program, name) = (program(), format!("aiohttp {version}"));
    for kind in Where::ALL {
        let arguments = words(&[&script("aiohttp_server.py"), &bench.address(kind, "aiohttp")]);
        let server = Server::start(&program, &arguments)?;
        bench.perform(&name, server.address(), &["--skip", "extensions=aiohttp drops them"], matrix);
    }
    ask(bench, &program, &name, "aiohttp_client.py", matrix)
}

/// Lets a client ask ours, over every kind of address.
fn ask(bench: &Bench<'_>, program: &Path, name: &str, client: &str, matrix: &mut Matrix) -> Result {
    for kind in Where::ALL {
        let ours = bench.serve(&bench.address(kind, client))?;
        let outcomes = bench.exchanges(program, &[&script(client), ours.address()]);
        matrix.add(name, "Degu", ours.address(), outcomes);
    }
    Ok(())
}
