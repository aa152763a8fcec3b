//! The commands that developers of Degu run: `cargo xtask COMMAND`.
//!
//! A longer command has a file of its own, with a function `run` that takes the rest of the command line. Continuous
//! integration is in `.ci/run`, which calls these commands. The programs of `bench`, `firmware`, `interop`, `soak` and
//! `netns` are in separate workspaces. A command builds them when it is called.

#[allow(dead_code, reason = "`cargo xtask interop` shares this file, and uses other parts of it")]
#[path = "../interop/src/child.rs"]
mod child;
mod firmware;
mod fuzz;
mod tidy;

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use lexopt::{Arg, Parser, ValueExt};
use xshell::Shell;

/// A message for the caller of the command.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of a command. After an error, this program prints it and ends with exit code 1.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [ARGS]                       all tests of the crates; ARGS go to `cargo test`
  tidy                              checks the house rules in the source files, and the dependencies of the crates
  no-std                            links and runs the codec without std
  worlds                            compares the codec with a second implementation, for every short text (takes minutes)
  fuzz TARGET SECONDS [-- ARGS]     one fuzz target; ARGS go to libFuzzer
  fuzz --all SECONDS [-- ARGS]      every fuzz target, SECONDS each
       [--skip-if-missing]          succeeds if the tools are missing
  bench [SUITE...] [OPTIONS]        measures; `cargo xtask bench --help` lists suites and options
  interop [OPTIONS]                 Degu's client and server with other software, as a matrix
  soak [SECONDS] [--seed N]         a mixed load with faults of all kinds, and a check of every result
  firmware [--skip-if-missing]      builds programs for a microcontroller, and tests and measures them in QEMU
  netns [--skip-if-missing]         link-local addresses, a bad network and pulled cables, between network namespaces";

/// The features that the tests run with. With all features, cargo would build two providers of cryptography.
const FEATURES: &str = "degu-server/hyper,degu-server/proxy,degu-server/tls,degu-client/hyper-util,degu-client/tls,\
                        degu-wire/embedded-io-async";

fn main() -> ExitCode {
    match dispatch(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut arguments: Parser) -> Result {
    let command = match arguments.next()? {
        Some(Arg::Value(command)) => command.string()?,
        Some(Arg::Short('h') | Arg::Long("help")) => {
            println!("{USAGE}");
            return Ok(());
        }
        Some(other) => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
        None => return Err(format!("the command is missing\n\n{USAGE}").into()),
    };
    let shell = Shell::new()?;
    shell.change_dir(root());
    match command.as_str() {
        "test" => run(cargo("test").args(["--features", FEATURES]).args(arguments.raw_args()?).current_dir(root())),
        "tidy" => tidy::run(&shell, arguments),
        "worlds" => no_more(arguments).and_then(|()| {
            let worlds = ["--test", "main", "worlds::", "--", "--include-ignored", "--nocapture"];
            run(cargo("test").args(["--release", "--package", "degu-wire"]).args(worlds).current_dir(root()))
        }),
        "fuzz" => fuzz::run(&shell, arguments),
        "firmware" => firmware::run_command(&shell, arguments),
        "interop" => start("interop", &[], arguments.raw_args()?),
        // If the program linked std, there would be two panic handlers, and rustc would reject it.
        "no-std" => no_more(arguments).and_then(|()| start("no-std", &["--release"], [""; 0])),
        "netns" => netns(arguments),
        // The profile for development checks for overflow.
        "soak" => start("soak", &[], arguments.raw_args()?),
        "bench" => start("bench", &["--release"], arguments.raw_args()?),
        other => Err(format!("there is no command {other}\n\n{USAGE}").into()),
    }
}

/// Runs the exchanges between two hosts, if this user can create network namespaces on this machine. Everything happens
/// in the namespaces, which end with this process.
fn netns(arguments: Parser) -> Result {
    let skip = skip_if_missing(arguments)?;
    let unshare = |user: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(user).args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
        unshare
    };
    let works = |user: &&[&str]| unshare(user).arg("true").output().is_ok_and(|output| output.status.success());
    let Some(user) = [&[][..], &["--user", "--map-root-user"]].into_iter().find(works) else {
        return skip_or_fail(skip, "this user cannot create network namespaces on this machine");
    };
    run(&mut cargo_in("soak", "build"))?;
    let program = target().join("debug/degu-soak");
    run(unshare(user).arg(root().join("xtask/soak/netns/hosts.sh")).arg(program))
}

/// Returns the folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns the folder of build results. The workspaces of the commands share it.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns a cargo command. The variables in which cargo describes this package are removed from its environment: some
/// build scripts read these variables (ring's does), so cargo would build these crates and their dependents again.
fn cargo(command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.arg(command);
    for (name, _) in env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|told| name.to_string_lossy().starts_with(told)) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Returns a cargo command for the workspace in `xtask/FOLDER`.
fn cargo_in(folder: &str, command: &str) -> Command {
    let mut cargo = cargo(command);
    cargo.args(["--quiet", "--manifest-path"]).arg(root().join("xtask").join(folder).join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target());
    cargo
}

/// Builds the program in `xtask/FOLDER`, and runs it in the current folder with these arguments.
fn start<A: AsRef<OsStr>>(folder: &str, options: &[&str], arguments: impl IntoIterator<Item = A>) -> Result {
    run(cargo_in(folder, "run").args(options).arg("--").args(arguments))
}

fn run(command: &mut Command) -> Result {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", command.get_program().display()).into()) }
}

/// Parses the arguments of a command whose only option is `--skip-if-missing`. Returns whether the option was given.
pub(crate) fn skip_if_missing(mut arguments: Parser) -> Result<bool> {
    match arguments.next()? {
        None => Ok(false),
        Some(Arg::Long("skip-if-missing")) => no_more(arguments).map(|()| true),
        Some(other) => Err(other.unexpected().into()),
    }
}

/// Reports that something is missing, so a command cannot run. Fails unless the option `--skip-if-missing` was given.
pub(crate) fn skip_or_fail(skip: bool, missing: &str) -> Result {
    if skip {
        println!("-- skipped: {missing}");
        return Ok(());
    }
    Err(missing.into())
}

/// Returns an error if there are further arguments.
pub(crate) fn no_more(mut arguments: Parser) -> Result {
    match arguments.next()? {
        Some(argument) => Err(argument.unexpected().into()),
        None => Ok(()),
    }
}
