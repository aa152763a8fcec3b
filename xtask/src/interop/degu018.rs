//! Degu 0.18, the original, both ways. It builds under CPython 3.6 alone, which pyenv may have.

use std::path::PathBuf;

use xshell::{Shell, cmd};

use super::matrix::Matrix;
use super::peer::{self, Bench, Where, script, words};
use crate::Result;
use crate::child::Server;

pub(crate) fn find(shell: &Shell) -> std::result::Result<String, String> {
    let python = installed();
    let version = cmd!(shell, "{python} -c {PRINT_VERSION}").quiet().ignore_stderr().read();
    version.map_err(|_| "it is not installed, which needs CPython 3.6".into())
}

const PRINT_VERSION: &str = "import degu, degu.base; print(degu.__version__)";

/// The Python that has it, once [`install`] has been there.
pub(crate) fn installed() -> PathBuf {
    peer::installed("degu-0.18/bin/python3")
}

pub(super) fn install(shell: &Shell) -> Result {
    let python = python36(shell).ok_or("there is no CPython 3.6, which Degu 0.18 needs")?;
    let environment = installed().ancestors().nth(2).ok_or("no folder for it")?.to_owned();
    cmd!(shell, "{python} -m venv {environment}").run()?;
    let python = installed();
    Ok(cmd!(shell, "{python} -m pip install --quiet --no-deps --no-binary :all: degu==0.18.0").run()?)
}

/// A CPython 3.6: of pyenv, or the one that is called so.
fn python36(shell: &Shell) -> Option<PathBuf> {
    let versions = std::env::home_dir()?.join(".pyenv/versions");
    let of_pyenv = shell.read_dir(versions).unwrap_or_default().into_iter();
    let of_pyenv =
        of_pyenv.filter(|folder| folder.file_name().is_some_and(|n| n.to_string_lossy().starts_with("3.6.")));
    let mut candidates = of_pyenv.map(|folder| folder.join("bin/python3")).chain([PathBuf::from("python3.6")]);
    candidates.find(|python| cmd!(shell, "{python} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok())
}

pub(super) fn run(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    let python = installed();
    let name = format!("Degu {version}");
    for kind in Where::ALL {
        let server = Server::start(&python, &words(&[&script("degu_server.py"), &bench.address(kind, "degu-0.18")]))?;
        bench.perform(&name, server.address(), &[], matrix);
    }
    for kind in Where::ALL {
        // It sends no Host over a Unix socket.
        let ours = bench.serve_with(&["--allow-missing-host"], &bench.address(kind, "for-degu-0.18"))?;
        let outcomes = bench.exchanges(&python, &[&script("degu_client.py"), ours.address()]);
        matrix.add(&name, "Degu", ours.address(), outcomes);
    }
    Ok(())
}
