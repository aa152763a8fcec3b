//! Node's http, as a server and as a client. Not on abstract sockets: it pads their names to the full length.

use std::path::Path;

use xshell::Shell;

use super::matrix::Matrix;
use super::peer::{Bench, Where, script, version, words};
use crate::Result;
use crate::child::Server;

pub(super) fn find(shell: &Shell) -> std::result::Result<String, String> {
    version(shell, PROGRAM, "--version")
}

const PROGRAM: &str = "node";

pub(super) fn run(bench: &Bench<'_>, node: &str, matrix: &mut Matrix) -> Result {
    let program = Path::new(PROGRAM);
    for kind in [Where::Ipv4, Where::Ipv6, Where::Unix] {
        let server = Server::start(program, &words(&[&script("node_server.mjs"), &bench.address(kind, "node")]))?;
        let skip = ["--skip", "extensions=Node drops them"];
        bench.perform(&format!("Node {node}"), server.address(), &skip, matrix);
    }
    for kind in [Where::Ipv4, Where::Ipv6, Where::Unix] {
        let ours = bench.serve(&bench.address(kind, "for-node"))?;
        let outcomes = bench.exchanges(program, &[&script("node_client.mjs"), ours.address()]);
        matrix.add(&format!("Node {node}"), "Degu", ours.address(), outcomes);
    }
    Ok(())
}
