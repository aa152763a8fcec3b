//! `cargo xtask soak`: is it right, and does it stay so, when everything goes wrong at once?
//!
//! Clients of both kinds talk to a server in a process of its own, over every kind of address, with and without mutual
//! TLS: small and large bodies, chunks with extensions and trailers, pipelines, slow ends, exchanges that are given up.
//! Meanwhile connections are reset, cut, half closed, stalled, delayed and written to an octet at a time; descriptors
//! run out on either side; memory is short; certificates are renewed; processes are killed. Every octet of a body is
//! compared by its sum. At the end both sides must have counted the same, and hold no more than after warming up.
//!
//! The report names the seed. It repeats what was asked and which faults came, though not the moment: that is up to the
//! scheduler.
//!
//! The processes are a program of their own (`xtask/soak`), which this command builds and runs. Needs Linux.

use lexopt::{Arg, Parser, ValueExt};
use xshell::{Shell, cmd};

use crate::Result;

const USAGE: &str = "\
usage: cargo xtask soak [SECONDS] [--seed N]

  SECONDS    how long it takes, about (60)
  --seed N   the number of a run, to do the same again; any other one otherwise";

/// Long enough for each kind of fault to come a few times.
const SECONDS: u64 = 60;

pub(crate) fn run(shell: &Shell, arguments: Parser) -> Result {
    let Some(options) = Options::parse(arguments)? else {
        println!("{USAGE}");
        return Ok(());
    };
    let seconds = options.seconds.to_string();
    let seed = options.seed.map(|seed| format!("--seed={seed}"));
    // With the checks of the profile for development: an overflow is to be seen.
    Ok(cmd!(shell, "cargo run --quiet --package degu-soak -- run {seconds} {seed...}").quiet().run()?)
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    seconds: u64,
    seed: Option<u64>,
}

impl Options {
    /// `None`: the usage was asked for.
    fn parse(mut arguments: Parser) -> Result<Option<Self>> {
        let (mut seconds, mut seed) = (None, None);
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Value(value) if seconds.is_none() => seconds = Some(value.parse()?),
                Arg::Long("seed") => seed = Some(arguments.value()?.parse()?),
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                other => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
            }
        }
        Ok(Some(Self { seconds: seconds.unwrap_or(SECONDS), seed }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let parse = |words: &[&str]| Options::parse(Parser::from_args(words));
        assert_eq!(parse(&[]).unwrap(), Some(Options { seconds: 60, seed: None }));
        assert_eq!(parse(&["5", "--seed", "7"]).unwrap(), Some(Options { seconds: 5, seed: Some(7) }));
        assert_eq!(parse(&["--help"]).unwrap(), None);
        for words in [&["soon"][..], &["5", "6"], &["--seed"], &["--fast"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
