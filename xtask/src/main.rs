//! What developers of Degu run: `cargo xtask COMMAND`.
//!
//! One file per command; each has a `run` that takes what is left of the command line. What a continuous integration
//! run does is not here but in `.ci/run`, which calls these.

mod bench;
mod child;
mod fuzz;
mod interop;
mod netns;
mod no_std;
mod soak;
mod test;
mod tidy;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use lexopt::{Arg, Parser, ValueExt};
use xshell::Shell;

/// What went wrong, as a message for whoever ran the command.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// What every command returns: the error is printed, and the exit code is 1.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [ARGS]                       all tests of the workspace; ARGS go to `cargo test`
  tidy                              the house rules, from the sources and from `cargo metadata`
  no-std                            links and runs the codec without std
  fuzz TARGET SECONDS [-- ARGS]     one fuzz target; ARGS go to libFuzzer
  fuzz --all SECONDS [-- ARGS]      every fuzz target, SECONDS each
       [--skip-if-missing]          without the tools for it: say so, and call it a success
  bench [SUITE...] [OPTIONS]        measures; `cargo xtask bench --help` lists suites and options
  interop [OPTIONS]                 our ends against the clients and servers of others, as a matrix
  soak [SECONDS] [--seed N]         a mixed load with faults of all kinds, and a check of everything that comes of it
  netns [--skip-if-missing]         link-local addresses, a bad network and pulled cables, between network namespaces";

fn main() -> ExitCode {
    match forget_package().and_then(|()| dispatch(Parser::from_env())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Goes on without what cargo says of the package that it runs, so that a cargo that is started from here does not have it
/// in its environment: build scripts look at it (ring's does), and all above them would be built anew whenever somebody
/// changes between `cargo` and `cargo xtask`.
fn forget_package() -> Result {
    let is_told = |name: &OsString| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    let told: Vec<OsString> = env::vars_os().map(|(name, _)| name).filter(is_told).collect();
    if told.is_empty() {
        return Ok(());
    }
    let mut again = Command::new(env::current_exe()?);
    again.args(env::args_os().skip(1));
    for name in &told {
        again.env_remove(name);
    }
    #[cfg(unix)]
    return Err(std::os::unix::process::CommandExt::exec(&mut again).into());
    #[cfg(not(unix))]
    Ok(())
}

fn dispatch(mut arguments: Parser) -> Result {
    let command = match arguments.next()? {
        Some(Arg::Value(command)) => command.string()?,
        Some(Arg::Short('h') | Arg::Long("help")) => {
            println!("{USAGE}");
            return Ok(());
        }
        Some(other) => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
        None => return Err(format!("no command\n\n{USAGE}").into()),
    };
    let shell = Shell::new()?;
    shell.change_dir(root());
    match command.as_str() {
        "test" => test::run(&shell, arguments),
        "tidy" => tidy::run(&shell, arguments),
        "fuzz" => fuzz::run(&shell, arguments),
        "interop" => interop::run(&shell, arguments),
        "no-std" => no_std::run(&shell, arguments),
        "netns" => netns::run(&shell, arguments),
        "soak" => soak::run(&shell, arguments),
        "bench" => bench::run(&shell, arguments),
        other => Err(format!("no command {other}\n\n{USAGE}").into()),
    }
}

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Refuses what is left of a command line.
pub(crate) fn no_more(mut arguments: Parser) -> Result {
    match arguments.next()? {
        Some(argument) => Err(argument.unexpected().into()),
        None => Ok(()),
    }
}
