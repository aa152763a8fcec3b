//! `cargo xtask interop`: does it work with others?
//!
//! Our client performs exchanges with the servers of others, and the clients of others perform them with ours; what came
//! of each is a cell of a matrix. An exchange that fails is an error; a peer that is not on this machine is left out, and
//! the matrix says so. Everything happens on loopback, on Unix sockets in a temporary folder, and on abstract sockets.
//!
//! Our ends and the scripts that the peers run are in `xtask/interop`. There is one file here for each peer.

mod curl;
pub(crate) mod degu018;
mod haproxy;
mod matrix;
mod nginx;
mod node;
mod peer;
mod pypi;
mod python;
mod systemd;
mod undici;
mod wrk;

use lexopt::{Arg, Parser};
use xshell::{Shell, cmd};

use crate::Result;
use matrix::Matrix;
use peer::Bench;

const USAGE: &str = "\
usage: cargo xtask interop [OPTIONS]

options
  --install   installs the peers that are missing, with apt-get (as root), pip and npm (into target/interop); needs the
              network
  --list      the peers, and whether they are there
  --write     puts the matrix into docs/interop.md and a shorter one into README.md, if it is whole";

/// A kind of peer: its name, whether it can run here, and what it does.
struct Kind {
    name: &'static str,
    /// The version, or why the peer is missing.
    find: fn(&Shell) -> std::result::Result<String, String>,
    run: fn(&Bench<'_>, &str, &mut Matrix) -> Result,
    install: fn(&Shell) -> Result,
}

const KINDS: &[Kind] = &[
    Kind { name: "nginx", find: nginx::find, run: nginx::run, install: |shell| apt(shell, "nginx-light") },
    Kind { name: "HAProxy", find: haproxy::find, run: haproxy::run, install: |shell| apt(shell, "haproxy") },
    Kind { name: "systemd", find: systemd::find, run: systemd::run, install: |shell| apt(shell, "systemd") },
    Kind { name: "Python", find: python::find, run: python::run, install: |shell| apt(shell, "python3") },
    Kind { name: "requests", find: pypi::find_requests, run: pypi::run_requests, install: pypi::install_requests },
    Kind { name: "aiohttp", find: pypi::find_aiohttp, run: pypi::run_aiohttp, install: pypi::install_aiohttp },
    Kind { name: "Node", find: node::find, run: node::run, install: |shell| apt(shell, "nodejs") },
    Kind { name: "undici", find: undici::find, run: undici::run, install: undici::install },
    Kind { name: "Degu 0.18", find: degu018::find, run: degu018::run, install: degu018::install },
    Kind { name: "curl", find: curl::find, run: curl::run, install: |shell| apt(shell, "curl") },
    Kind { name: "wrk", find: wrk::find, run: wrk::run, install: |shell| apt(shell, "wrk") },
];

pub(crate) fn run(shell: &Shell, arguments: Parser) -> Result {
    let Some(options) = Options::parse(arguments)? else {
        println!("{USAGE}");
        return Ok(());
    };
    if options.install {
        for kind in KINDS {
            if let Err(missing) = (kind.find)(shell) {
                println!("{}: {missing}: installing it", kind.name);
                // What can not be installed is left out as what is missing is.
                (kind.install)(shell).unwrap_or_else(|error| println!("{}: can not be installed: {error}", kind.name));
            }
        }
    }
    if options.list {
        for kind in KINDS {
            match (kind.find)(shell) {
                Ok(version) => println!("{}: {version}", kind.name),
                Err(missing) => println!("{}: {missing}", kind.name),
            }
        }
        return Ok(());
    }
    let folder = shell.create_temp_dir()?;
    let bench = Bench::new(shell, folder.path())?;
    let mut matrix = Matrix::default();
    for kind in KINDS {
        match (kind.find)(shell) {
            Ok(version) => {
                // The other peers are still of interest.
                if let Err(error) = (kind.run)(&bench, &version, &mut matrix) {
                    matrix.break_off(kind.name, &error);
                }
            }
            Err(missing) => matrix.leave_out(kind.name, &missing),
        }
    }
    print!("{matrix}\n{}", matrix.condensed());
    match matrix.failed() {
        0 if options.write && !matrix.is_whole() => Err("nothing is written, since peers are missing".into()),
        0 if options.write => write(shell, &matrix),
        0 => Ok(()),
        failed => Err(format!("{failed} exchanges failed").into()),
    }
}

/// Puts the matrix where it is shown.
fn write(shell: &Shell, matrix: &Matrix) -> Result {
    for (page, text) in [("docs/interop.md", matrix.to_string()), ("README.md", matrix.condensed())] {
        let shown = show(&shell.read_file(page)?, &text).ok_or_else(|| format!("{page} has no place for a matrix"))?;
        shell.write_file(page, shown)?;
    }
    Ok(())
}

/// The page with the text between its two marks.
fn show(page: &str, text: &str) -> Option<String> {
    const BEGIN: &str = "<!-- cargo xtask interop --write -->\n";
    const END: &str = "<!-- until here -->\n";
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

/// Installs a package of Debian. Its services are not started: in runlevel 1 none is.
fn apt(shell: &Shell, package: &str) -> Result {
    let _runlevel = shell.push_env("RUNLEVEL", "1");
    let _frontend = shell.push_env("DEBIAN_FRONTEND", "noninteractive");
    Ok(cmd!(shell, "apt-get install --yes --no-install-recommends {package}").ignore_stdout().run()?)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    install: bool,
    list: bool,
    write: bool,
}

impl Options {
    /// `None`: the usage was asked for.
    fn parse(mut arguments: Parser) -> Result<Option<Self>> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("install") => options.install = true,
                Arg::Long("list") => options.list = true,
                Arg::Long("write") => options.write = true,
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                other => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
            }
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let parse = |words: &[&str]| Options::parse(Parser::from_args(words));
        assert_eq!(parse(&[]).unwrap(), Some(Options::default()));
        assert_eq!(parse(&["--install"]).unwrap(), Some(Options { install: true, ..Options::default() }));
        assert_eq!(parse(&["--help"]).unwrap(), None);
        for words in [&["nginx"][..], &["--fast"], &["--list=x"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_place_of_a_matrix() {
        let page = "a\n<!-- cargo xtask interop --write -->\nold\n<!-- until here -->\nb\n";
        let shown = show(page, "new\n").unwrap();
        assert_eq!(shown, "a\n<!-- cargo xtask interop --write -->\n\nnew\n\n<!-- until here -->\nb\n");
        assert_eq!(show(&shown, "new\n").unwrap(), shown);
        assert_eq!(show("a\n", "new\n"), None);
    }
}
