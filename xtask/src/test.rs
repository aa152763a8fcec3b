//! `cargo xtask test`: every test of the workspace, the examples in the documentation included.

use lexopt::Parser;
use xshell::{Shell, cmd};

use crate::Result;

pub(crate) fn run(shell: &Shell, mut arguments: Parser) -> Result {
    let arguments = arguments.raw_args()?;
    // Not all features: they would build two providers of cryptography, and contestants of the benchmark.
    let features =
        "degu-server/hyper,degu-server/proxy,degu-server/tls,degu-server/tower,degu-client/hyper-util,degu-client/tls";
    cmd!(shell, "cargo test --workspace --features {features} {arguments...}").run()?;
    Ok(())
}
