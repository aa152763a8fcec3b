//! `cargo xtask bench`: how fast is it, beside others, on this machine?
//!
//! Absolute times differ from one machine to the next and from one hour to the next; only ratios inside one run count.
//! So every suite interleaves its contestants, measures each at least once a round, and reports the median with the
//! range, and the ratios to chosen references taken round by round.
//!
//! The contestants are a program of their own (`xtask/bench`), which this command builds and runs. Needs Linux.

mod baseline;
mod connect;
mod cores;
mod counts;
mod duo;
mod idle;
mod machine;
mod nginx;
mod options;
mod plan;
mod polling;
mod progress;
mod report;
mod rounds;
mod stage;
mod stats;
mod stream;
mod svg;
mod table;
mod throughput;
mod tls;
mod tools;
mod unit;
mod usage;
mod wire;

use std::path::PathBuf;

use lexopt::Parser;
use xshell::Shell;

use crate::Result;
use options::{Options, USAGE};
use report::{Report, Run};
use stage::Stage;

/// A suite: a file of its own.
struct Suite {
    name: &'static str,
    /// Its part of a quick run's time, beside those of the others; none where it is left out of one.
    share: u32,
    run: fn(&Stage<'_>) -> Result<Report>,
}

/// All suites, in the order in which they run.
static SUITES: &[Suite] = &[
    Suite { name: "duo", share: 14, run: duo::run },
    Suite { name: "polling", share: 0, run: polling::run },
    Suite { name: "throughput", share: 8, run: throughput::run },
    Suite { name: "stream", share: 5, run: stream::run },
    Suite { name: "connect", share: 4, run: connect::run },
    Suite { name: "tls", share: 6, run: tls::run },
    Suite { name: "idle", share: 10, run: idle::run },
    Suite { name: "counts", share: 8, run: counts::run },
    Suite { name: "wire", share: 8, run: wire::run },
];

pub(crate) fn run(shell: &Shell, arguments: Parser) -> Result {
    let Some(options) = Options::parse(arguments)? else {
        println!("{USAGE}");
        return Ok(());
    };
    let read = |file: &PathBuf| -> Result<Run> {
        Ok(Run::from_json(&shell.read_file(file)?).map_err(|error| format!("{}: {error}", file.display()))?)
    };
    // Read before the minutes that a run takes, in case that it can not be.
    let baseline = options.baseline.as_ref().map(read).transpose()?;
    let earlier: Option<Run> = options.from.as_ref().map(read).transpose()?;
    let mut failed = Vec::new();
    let run = match earlier {
        Some(run) => show(run, &options),
        None => measure(shell, &options, &mut failed)?,
    };
    if let Some(baseline) = baseline {
        print!("{}", baseline::Comparison::of(&baseline, &run));
    }
    if let Some(file) = &options.json {
        shell.write_file(file, run.to_json())?;
    }
    if let Some(file) = &options.svg {
        let chart = svg::chart(&run).ok_or("nothing that a chart could show was measured")?;
        shell.write_file(file, chart)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("something failed in: {}", failed.join(", ")).into()) }
}

/// Runs all suites that are wanted, and prints the report of each as soon as it is there.
fn measure(shell: &Shell, options: &Options, failed: &mut Vec<&'static str>) -> Result<Run> {
    let polling = options.polling.as_ref().map(|polling| format!(", our polling: {polling}")).unwrap_or_default();
    let mut run = Run { machine: machine::describe() + &polling, reports: Vec::new() };
    println!("{}", run.machine);
    let stage = Stage::new(shell, options)?;
    for suite in SUITES.iter().filter(|suite| options.suites.iter().any(|name| name == suite.name)) {
        match (suite.run)(&stage) {
            Ok(mut report) => {
                report.refer_to(&options.against);
                print!("{report}");
                failed.extend((report.failures > 0).then_some(suite.name));
                run.reports.push(report);
            }
            // The others can still be measured.
            Err(error) => {
                println!("\n{}: {error}", suite.name);
                failed.push(suite.name);
            }
        }
    }
    Ok(run)
}

/// Prints an earlier run again.
fn show(mut run: Run, options: &Options) -> Run {
    run.reports.retain(|report| options.suites.contains(&report.suite));
    println!("{}", run.machine);
    for report in &mut run.reports {
        report.refer_to(&options.against);
        print!("{report}");
    }
    run
}
