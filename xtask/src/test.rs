//! `cargo xtask test`: every test of the workspace, the examples in the documentation included.

use lexopt::Parser;
use xshell::{Shell, cmd};

use crate::Result;

pub(crate) fn run(shell: &Shell, mut arguments: Parser) -> Result {
    let arguments = arguments.raw_args()?;
    cmd!(shell, "cargo test --workspace {arguments...}").run()?;
    Ok(())
}
