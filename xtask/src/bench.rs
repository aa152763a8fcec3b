//! `cargo xtask bench`: how fast is it, beside others, on this machine?
//!
//! Absolute times differ from one machine to the next and from one hour to the next; only ratios inside one run count.
//! So every suite interleaves its contestants, measures each at least once a round, and reports the median with the
//! range, and the ratios to chosen references taken round by round.
//!
//! The contestants are a program of their own (`xtask/bench`), which this command builds and runs. Needs Linux.

mod baseline;
mod cores;
mod duo;
mod machine;
mod progress;
mod report;
mod rounds;
mod stats;
mod wire;

use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};
use xshell::{Shell, cmd};

use crate::Result;
use report::Report;

const USAGE: &str = "\
usage: cargo xtask bench [SUITE] [OPTIONS]

suites
  duo    (the one that runs when none is named) one connection, small POST requests one after the other, client and
         server each a process of its own, over a Unix socket and over ::1
  wire   parsing and encoding on one core, beside both builds of httparse and plain copies; counts instructions too where
         valgrind is installed

options
  --quick                 fewer and shorter rounds: under a minute
  --rounds N              how often each contestant is measured (7, or 3 with --quick)
  --json FILE             writes every sample to FILE
  --baseline FILE         compares with the FILE that an earlier run wrote, and says what moved beyond the noise

options of duo
  --placement P           same (both ends on one core), apart (two cores), free (unpinned) or all (the default)
  --address A             unix, tcp or all (the default)
  --pair CLIENT:SERVER    these contestants only; may be repeated. `raw:raw` and `hyper:hyper` are always there

options of wire
  --picohttpparser        with picohttpparser as another contestant, which needs a C compiler";

/// The options of the command line.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    suite: String,
    quick: bool,
    rounds: Option<usize>,
    /// `None`: all.
    placement: Option<String>,
    /// `None`: all.
    address: Option<String>,
    /// Empty: those that the contestants' program lists.
    pairs: Vec<(String, String)>,
    picohttpparser: bool,
    json: Option<PathBuf>,
    baseline: Option<PathBuf>,
}

pub(crate) fn run(shell: &Shell, arguments: Parser) -> Result {
    let Some(options) = Options::parse(arguments)? else {
        println!("{USAGE}");
        return Ok(());
    };
    // Read before the minutes that a run takes, in case that it can not be.
    let baseline = match &options.baseline {
        Some(file) => Some(Report::from_json(&shell.read_file(file)?).map_err(|e| format!("{}: {e}", file.display()))?),
        None => None,
    };
    let report = if options.suite == "wire" {
        wire::run(&build_codecs(shell, options.picohttpparser)?, &options)?
    } else {
        duo::run(&build(shell, "degu-bench", "contestants", &[])?, &options)?
    };
    print!("{report}");
    if let Some(baseline) = baseline {
        print!("{}", baseline::Comparison::of(&baseline, &report));
    }
    if let Some(file) = &options.json {
        shell.write_file(file, report.to_json())?;
    }
    Ok(())
}

/// Builds a program of the contestants as it would be shipped, and returns where it is.
fn build(shell: &Shell, program: &str, features: &str, arguments: &[String]) -> Result<PathBuf> {
    let messages = cmd!(
        shell,
        "cargo build --release --package degu-bench --bin {program} --features {features} {arguments...}
        --message-format json-render-diagnostics"
    )
    .quiet()
    .read()?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo did not say where {program} is").into())
}

/// Builds the codecs, with either build of httparse.
fn build_codecs(shell: &Shell, picohttpparser: bool) -> Result<wire::Programs> {
    let features = if picohttpparser { "codecs,picohttpparser" } else { "codecs" };
    let simd = build(shell, "degu-bench-codec", features, &[])?;
    // A folder of its own: cargo does not see that the variable matters, and each build is to be kept. It stands beside
    // the folder of the profile.
    let target = simd.ancestors().nth(2).ok_or("cargo put degu-bench-codec into no folder")?;
    let target = target.join("httparse-no-simd").display().to_string();
    let _disabled = shell.push_env("CARGO_CFG_HTTPARSE_DISABLE_SIMD", "1");
    let scalar = build(shell, "degu-bench-codec", "codecs", &["--target-dir".into(), target])?;
    Ok(wire::Programs { simd, scalar })
}

/// The time of one repetition, of the `TIMES NANOSECONDS` that a program with these arguments has printed.
fn nanoseconds(arguments: &[String], output: &str) -> Result<f64> {
    let figures =
        output.split_once(' ').and_then(|(times, time)| Some((times.parse::<f64>().ok()?, time.parse::<f64>().ok()?)));
    match figures {
        Some((times, time)) if times > 0.0 => Ok(time / times),
        _ => Err(format!("{}: no figures, but {output:?}", arguments.join(" ")).into()),
    }
}

impl Options {
    /// `None`: the usage was asked for.
    fn parse(mut arguments: Parser) -> Result<Option<Self>> {
        let mut options = Self {
            suite: "duo".into(),
            quick: false,
            rounds: None,
            placement: None,
            address: None,
            pairs: Vec::new(),
            picohttpparser: false,
            json: None,
            baseline: None,
        };
        // Relative to where the command was given, not to the workspace.
        let here = std::env::current_dir()?;
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Value(suite) => options.suite = suite.string()?,
                Arg::Long("quick") => options.quick = true,
                Arg::Long("rounds") => options.rounds = Some(arguments.value()?.parse::<usize>()?.max(1)),
                Arg::Long("placement") => options.placement = choice(&mut arguments, &["same", "apart", "free"])?,
                Arg::Long("address") => options.address = choice(&mut arguments, &["unix", "tcp"])?,
                Arg::Long("pair") => {
                    let pair = arguments.value()?.string()?;
                    let (client, server) = pair.split_once(':').ok_or("--pair takes CLIENT:SERVER")?;
                    options.pairs.push((client.into(), server.into()));
                }
                Arg::Long("picohttpparser") => options.picohttpparser = true,
                Arg::Long("json") => options.json = Some(here.join(arguments.value()?)),
                Arg::Long("baseline") => options.baseline = Some(here.join(arguments.value()?)),
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                other => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
            }
        }
        options.check()?;
        Ok(Some(options))
    }

    /// Refuses options that would change nothing.
    fn check(&self) -> Result {
        let of_duo = self.placement.is_some() || self.address.is_some() || !self.pairs.is_empty();
        match self.suite.as_str() {
            "duo" if !self.picohttpparser => Ok(()),
            "wire" if !of_duo => Ok(()),
            "duo" | "wire" => Err(format!("an option of the other suite\n\n{USAGE}").into()),
            other => Err(format!("no suite {other}\n\n{USAGE}").into()),
        }
    }

    /// How many rounds: as asked for, or enough for a range that means something.
    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 })
    }
}

/// The value of an option that takes one of `choices`, or `all`, which is `None`.
fn choice(arguments: &mut Parser, choices: &[&str]) -> Result<Option<String>> {
    let value = arguments.value()?.string()?;
    if value == "all" {
        Ok(None)
    } else if choices.contains(&value.as_str()) {
        Ok(Some(value))
    } else {
        Err(format!("{value} is none of {}, all", choices.join(", ")).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        Options::parse(Parser::from_args(words))
    }

    #[test]
    fn options() {
        let plain = parse(&[]).unwrap().unwrap();
        assert_eq!((plain.suite.as_str(), plain.rounds(), plain.placement), ("duo", 7, None));
        let quick = parse(&["duo", "--quick", "--placement", "same", "--pair", "a:b", "--pair=c:c"]).unwrap().unwrap();
        assert_eq!((quick.rounds(), quick.placement.as_deref()), (3, Some("same")));
        assert_eq!(quick.pairs, [("a".into(), "b".into()), ("c".into(), "c".into())]);
        assert_eq!(parse(&["--quick", "--rounds", "9", "--address=all"]).unwrap().unwrap().rounds(), 9);
        assert!(parse(&["wire", "--picohttpparser"]).unwrap().unwrap().picohttpparser);
        assert!(parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn what_is_refused() {
        for words in [
            &["--fast"][..],
            &["--placement", "x"],
            &["--pair", "a"],
            &["--rounds", "x"],
            &["--json"],
            &["other"],
            &["--picohttpparser"],
            &["wire", "--placement", "same"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn figures() {
        assert_eq!(nanoseconds(&[], "4 100").unwrap(), 25.0);
        assert!(nanoseconds(&[], "0 100").is_err());
        assert!(nanoseconds(&[], "").is_err());
    }
}
