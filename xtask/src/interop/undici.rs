//! undici, Node's other client, out of npm. Not on abstract sockets: Node pads their names to the full length.

use std::path::Path;

use xshell::{Shell, cmd};

use super::matrix::Matrix;
use super::peer::{Bench, Where, installed, script};
use crate::Result;

const FOLDER: &str = "node";

pub(super) fn find(shell: &Shell) -> std::result::Result<String, String> {
    let package = shell.read_file(installed(FOLDER).join("node_modules/undici/package.json"));
    let package = package.map_err(|_| "it is not installed")?;
    let package: serde_json::Value = serde_json::from_str(&package).map_err(|error| error.to_string())?;
    package["version"].as_str().map(str::to_owned).ok_or_else(|| "its package has no version".into())
}

pub(super) fn install(shell: &Shell) -> Result {
    let folder = installed(FOLDER);
    shell.create_dir(&folder)?;
    Ok(cmd!(shell, "npm install --silent --no-audit --no-fund --no-package-lock --prefix {folder} undici").run()?)
}

pub(super) fn run(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    let folder = installed(FOLDER).display().to_string();
    for kind in [Where::Ipv4, Where::Ipv6, Where::Unix] {
        let ours = bench.serve(&bench.address(kind, "for-undici"))?;
        let outcomes = bench.exchanges(Path::new("node"), &[&script("undici_client.mjs"), &folder, ours.address()]);
        matrix.add(&format!("undici {version}"), "Degu", ours.address(), outcomes);
    }
    Ok(())
}
