//! The command line of `cargo xtask bench`.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use super::SUITES;
use crate::Result;

pub(super) const USAGE: &str = "\
usage: cargo xtask bench [SUITE...] [OPTIONS]

suites (all of them, when none is named)
  duo         one connection, small POST requests one after the other, client and server each a process of its own, over
              Unix sockets, abstract ones, IPv4 and IPv6
  polling     what looking before sleeping changes: round trips by those without, wherever both ends run, beside other
              work, and with one end that is not ours; another connection of the same worker; CPU time and wake-ups
  throughput  1 to 256 connections, and 64 with 16 requests at once on each: requests a second, and the server's CPU time
              a request; the load is wrk's where it is installed, and our own otherwise or with --quick
  stream      large bodies, framed by their length and in chunks, beside a copy between two sockets
  connect     a connection, one request, and its end, over and over
  tls         the same with mutual TLS: full handshakes; and round trips over an established connection
  idle        memory of a connection that waits after a request, plain and with TLS
  counts      instructions, system calls and allocations of a round trip, where valgrind and strace are installed
  wire        parsing and encoding on one core, beside both builds of httparse and plain copies; counts instructions too
              where valgrind is installed

options
  --quick                 fewer and shorter rounds: under a minute for all suites together
  --rounds N              how often each contestant is measured (7, or 3 with --quick)
  --json FILE             writes every sample to FILE
  --svg FILE              draws a chart into FILE: what the run has of the main figures, as ratios to hyper
  --from FILE             measures nothing, but shows what an earlier run wrote with --json
  --against NAME          ratios to this contestant in place of the usual ones, where it takes part; may be repeated
  --baseline FILE         compares with the FILE that an earlier run wrote, and says what moved beyond the noise

  --polling P             how our ends wait: off, adaptive (their default), or for so many microseconds; contestants with
                          `-off` in their name do not poll in any case

options of duo
  --placement P           same (both ends on one core), apart (two cores), free (unpinned) or all (the default)
  --address A             unix, abstract, ipv4, ipv6 or all (the default)
  --load                  with a busy loop on every core
  --pair CLIENT:SERVER    these contestants only; may be repeated. `raw:raw` and `hyper:hyper` are always there

options of idle
  --connections N         how many wait (10,000 plain and 2,000 with TLS, or a tenth of that with --quick)

options of wire
  --picohttpparser        with picohttpparser as another contestant, which needs a C compiler";

/// What a quick run may take for measurements; `idle` and `counts`, which take the time that they take, come on top.
const QUICK: Duration = Duration::from_secs(30);

/// The options of the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// In the order of [`SUITES`].
    pub(super) suites: Vec<String>,
    pub(super) quick: bool,
    rounds: Option<usize>,
    /// `None`: all.
    pub(super) placement: Option<String>,
    /// A busy loop on every core.
    pub(super) load: bool,
    /// `None`: all.
    pub(super) address: Option<String>,
    /// Empty: those that the contestants' program lists.
    pub(super) pairs: Vec<(String, String)>,
    /// As the contestants' program takes it; `None`: their default.
    pub(super) polling: Option<String>,
    pub(super) connections: Option<usize>,
    pub(super) picohttpparser: bool,
    pub(super) json: Option<PathBuf>,
    pub(super) svg: Option<PathBuf>,
    pub(super) from: Option<PathBuf>,
    /// Empty: the references of each suite.
    pub(super) against: Vec<String>,
    pub(super) baseline: Option<PathBuf>,
}

impl Options {
    /// `None`: the usage was asked for.
    pub(super) fn parse(mut arguments: Parser) -> Result<Option<Self>> {
        let mut options = Self {
            suites: Vec::new(),
            quick: false,
            rounds: None,
            placement: None,
            load: false,
            address: None,
            pairs: Vec::new(),
            polling: None,
            connections: None,
            picohttpparser: false,
            json: None,
            svg: None,
            from: None,
            against: Vec::new(),
            baseline: None,
        };
        // Relative to where the command was given, not to the workspace.
        let here = std::env::current_dir()?;
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Value(suite) => options.suites.push(suite.string()?),
                Arg::Long("quick") => options.quick = true,
                Arg::Long("rounds") => options.rounds = Some(arguments.value()?.parse::<usize>()?.max(1)),
                Arg::Long("placement") => options.placement = choice(&mut arguments, &["same", "apart", "free"])?,
                Arg::Long("address") => {
                    options.address = choice(&mut arguments, &["unix", "abstract", "ipv4", "ipv6"])?;
                }
                Arg::Long("load") => options.load = true,
                Arg::Long("pair") => {
                    let pair = arguments.value()?.string()?;
                    let (client, server) = pair.split_once(':').ok_or("--pair takes CLIENT:SERVER")?;
                    options.pairs.push((client.into(), server.into()));
                }
                Arg::Long("polling") => {
                    let polling = arguments.value()?.string()?;
                    if !matches!(polling.as_str(), "off" | "adaptive") && polling.parse::<u64>().is_err() {
                        return Err("--polling takes off, adaptive or microseconds".into());
                    }
                    options.polling = Some(polling);
                }
                Arg::Long("connections") => options.connections = Some(arguments.value()?.parse::<usize>()?.max(1)),
                Arg::Long("picohttpparser") => options.picohttpparser = true,
                Arg::Long("json") => options.json = Some(here.join(arguments.value()?)),
                Arg::Long("from") => options.from = Some(here.join(arguments.value()?)),
                Arg::Long("against") => options.against.push(arguments.value()?.string()?),
                Arg::Long("svg") => options.svg = Some(here.join(arguments.value()?)),
                Arg::Long("baseline") => options.baseline = Some(here.join(arguments.value()?)),
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                other => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
            }
        }
        options.check()?;
        Ok(Some(options))
    }

    /// Puts the suites in order, and refuses options that would change nothing.
    fn check(&mut self) -> Result {
        if let Some(other) = self.suites.iter().find(|name| !SUITES.iter().any(|suite| suite.name == **name)) {
            return Err(format!("no suite {other}\n\n{USAGE}").into());
        }
        let all = self.suites.is_empty();
        let wanted = |name: &&str| all || self.suites.iter().any(|suite| suite == name);
        self.suites = SUITES.iter().map(|suite| suite.name).filter(wanted).map(String::from).collect();
        for (suite, option, given) in [
            ("duo", "--placement", self.placement.is_some()),
            ("duo", "--load", self.load),
            ("duo", "--address", self.address.is_some()),
            ("duo", "--pair", !self.pairs.is_empty()),
            ("idle", "--connections", self.connections.is_some()),
            ("wire", "--picohttpparser", self.picohttpparser),
        ] {
            if given && !self.suites.iter().any(|name| name == suite) {
                return Err(format!("{option} is an option of {suite}\n\n{USAGE}").into());
            }
        }
        Ok(())
    }

    /// How many rounds: as asked for, or enough for a range that means something.
    pub(super) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 })
    }

    /// What this suite may take of a quick run; `None` if it is not one.
    pub(super) fn quick(&self, suite: &str) -> Option<Duration> {
        let share = |name: &str| SUITES.iter().find(|suite| suite.name == name).map_or(0, |suite| suite.share);
        let all = self.suites.iter().map(|suite| share(suite)).sum::<u32>().max(1);
        self.quick.then(|| QUICK * share(suite) / all)
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
        assert_eq!((plain.suites.len(), plain.rounds(), plain.quick("duo")), (SUITES.len(), 7, None));
        let quick = parse(&["duo", "--quick", "--placement", "same", "--pair", "a:b", "--pair=c:c"]).unwrap().unwrap();
        assert_eq!((quick.rounds(), quick.placement.as_deref()), (3, Some("same")));
        assert_eq!(quick.pairs, [("a".into(), "b".into()), ("c".into(), "c".into())]);
        assert_eq!(parse(&["--quick", "--rounds", "9", "--address=all"]).unwrap().unwrap().rounds(), 9);
        assert!(parse(&["wire", "--picohttpparser"]).unwrap().unwrap().picohttpparser);
        assert_eq!(parse(&["wire", "duo"]).unwrap().unwrap().suites, ["duo", "wire"]);
        assert!(parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn the_suites_of_a_quick_run_share_its_time() {
        let all = parse(&["--quick"]).unwrap().unwrap();
        let sum: Duration = all.suites.iter().filter_map(|suite| all.quick(suite)).sum();
        assert!(sum <= QUICK && sum > QUICK * 9 / 10, "{sum:?}");
        assert_eq!(parse(&["--quick", "duo"]).unwrap().unwrap().quick("duo"), Some(QUICK));
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
            &["duo", "--picohttpparser"],
            &["wire", "--placement", "same"],
            &["throughput", "--load"],
            &["--polling", "on"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
