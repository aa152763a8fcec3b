//! `cargo xtask no-std`: the codec in a program without std, an allocator or anybody else's panic handler.

use lexopt::Parser;
use xshell::{Shell, cmd};

use crate::Result;

/// Builds the program in `xtask/no-std` and runs it. Were std linked, its panic handler would stand beside the program's
/// own, and rustc would refuse that.
pub(crate) fn run(shell: &Shell, arguments: Parser) -> Result {
    crate::no_more(arguments)?;
    cmd!(shell, "cargo run --quiet --release --manifest-path xtask/no-std/Cargo.toml --target-dir target/no-std")
        .run()?;
    eprintln!("the core of the codec links and runs without std");
    Ok(())
}
