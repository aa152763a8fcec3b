//! `cargo xtask bench`: how fast is Degu compared with other libraries, on this machine?
//!
//! Absolute times differ between machines and between hours. Only ratios within one run can be compared. So every suite
//! interleaves its contestants and measures each contestant once in each round. A suite reports the median, the range,
//! and the ratios to chosen references. The ratios are computed for each round. Client and server are separate
//! processes of this program: see `ends.rs`. The program needs Linux.

mod blocking_socket;
mod chart;
#[path = "../../interop/src/child.rs"]
mod child;
mod contestants;
mod ends;
mod machine;
mod message;
mod plan;
mod report;
mod socket;
mod stage;
mod suites;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use clap::Parser;

use report::Run;
use stage::Stage;

/// The result of every part of this program. The program prints the error and ends.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures Degu and other libraries on this machine.
///
/// SUITES are duo, peers, polling, pool, open, throughput, idle, counts, wire and size. Without an argument, all suites
/// except size run. docs/benchmark.md explains the suites and the tables.
///
/// The suite duo measures a round trip: from a finished request to a response that has been read to its end. Paths,
/// fields and bodies are made before the first trip, so the client's figures include only sending, waiting and reading
/// (for hyper, also making the request, because hyper takes ownership of it). The server's figures include a handler that
/// sends the body back. The suite counts subtracts the figures of 100 trips from the figures of 600 trips and divides by
/// 500, so work that is done only once is not counted. In this suite, Degu's client and server do not spin: they do not
/// poll a socket for a short time before they sleep.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Options {
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(suites::ALL.iter().map(|suite| suite.0)))]
    suites: Vec<String>,
    /// Makes fewer and shorter rounds: all suites take about a minute.
    #[arg(long)]
    quick: bool,
    /// The number of measurements of each contestant [default: 7, or 3 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// Writes every sample to FILE.json, where it replaces earlier samples of the same suites. Then draws charts of all
    /// samples in the file: FILE-ratios.svg and FILE-latency.svg.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Prints the tables of a saved file and draws its charts again, without measuring.
    #[arg(long, value_name = "FILE.json", exclusive = true)]
    show: Option<PathBuf>,
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 }).max(1)
    }
}

fn main() -> ExitCode {
    let mut arguments: Vec<_> = env::args_os().collect();
    let done = if arguments.get(1).is_some_and(|first| first == "end") {
        arguments.remove(1);
        ends::run(&ends::End::parse_from(arguments))
    } else {
        run(&Options::parse_from(arguments))
    };
    done.map_or_else(
        |error| {
            eprintln!("degu-bench: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn read(file: &Path) -> Result<Run> {
    Ok(serde_json::from_str(&fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?)?)
}

fn run(options: &Options) -> Result {
    if let Some(file) = &options.show {
        let run = read(file)?;
        println!("{}", run.machine);
        run.reports.iter().for_each(|report| print!("{}", report.table()));
        return chart::draw(&run, &file.with_extension(""));
    }
    let machine = machine::describe();
    let file = options.save.as_ref().map(|name| name.with_added_extension("json"));
    let mut run = match file.as_deref().filter(|file| file.exists()) {
        Some(file) => read(file)?,
        None => Run { machine: machine.clone(), reports: Vec::new() },
    };
    if run.machine != machine {
        return Err(format!("the saved samples are from another machine: {}", run.machine).into());
    }
    println!("{machine}");
    verify::verify()?;
    let (stage, mut failed) = (Stage::new(options)?, Vec::new());
    for (name, suite) in suites::ALL {
        // These suites build for minutes.
        let is_long = *name == "size" || *name == "peers" && options.quick;
        let is_wanted = options.suites.iter().any(|wanted| wanted == name);
        if !is_wanted && (!options.suites.is_empty() || is_long) {
            continue;
        }
        let load = machine::load();
        match suite(&stage) {
            Ok(mut report) => {
                report.notes.push(format!("load average before: {load}"));
                print!("{}", report.table());
                failed.extend((report.failures > 0).then_some(*name));
                run.reports.retain(|old| old.suite != *name);
                run.reports.push(report);
            }
            // The other suites can still be measured.
            Err(error) => {
                println!("\n{name}: {error}");
                failed.push(name);
            }
        }
    }
    if let Some(file) = file {
        fs::write(&file, serde_json::to_string(&run)?)?;
        chart::draw(&run, &file.with_extension(""))?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("a measurement failed in: {}", failed.join(", ")).into()) }
}
