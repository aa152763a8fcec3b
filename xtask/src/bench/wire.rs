//! The suite `wire`: codecs on one core, without sockets. Times are interleaved as in every suite; where valgrind is
//! installed, instructions are counted too, which no other load on the machine disturbs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::Shell;

use super::cores::{Cores, Placement};
use super::plan::{self, Condition, Figure};
use super::progress::Progress;
use super::report::{Entry, Group, Report};
use super::rounds::time_each;
use super::stage::{self, Stage, each, figures};
use super::stats::Summary;
use super::tools::Tool;
use super::unit::Unit;
use crate::Result;
use crate::child;

/// How long one measurement takes, its warm-up not counted.
const TIME: Duration = Duration::from_millis(100);

/// How often a task is repeated under valgrind: the difference of two runs has the instructions of nothing but the task.
const FEW: u64 = 100;
const MANY: u64 = 600;

/// The contestants' program, once with each build of httparse.
struct Programs {
    simd: PathBuf,
    scalar: PathBuf,
}

/// One contestant at one task.
#[derive(Debug, PartialEq, Eq)]
struct Contestant {
    /// As the table calls it.
    name: String,
    /// As its program calls it.
    id: String,
    api: String,
    scalar: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Task {
    name: String,
    contestants: Vec<Contestant>,
}

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let options = stage.options;
    let programs = &build(stage.shell, options.picohttpparser)?;
    let tasks = tasks(&child::run(&programs.simd, &["list".into()], Duration::from_secs(10))?)?;
    let rounds = options.rounds();
    let condition = |task: &Task| Condition {
        name: task.name.clone(),
        contestants: task.contestants.iter().map(|contestant| contestant.name.clone()).collect(),
        references: Vec::new(),
    };
    let conditions: Vec<Condition> = tasks.iter().map(condition).collect();
    let measurements = tasks.iter().map(|task| task.contestants.len()).sum::<usize>() * rounds;
    let time = time_each(options.quick("wire"), TIME, Duration::from_millis(5), measurements);
    let cores = Cores::choose()?;
    let (core, _) = cores.of(Placement::Same);
    let figure = Figure { name: "", unit: Unit::Nanoseconds };
    let mut outcome = plan::run("wire", rounds, &conditions, &[figure], |task, number| {
        let contestant = &tasks[task].contestants[number];
        let mut arguments = contestant.arguments(&tasks[task], &format!("--millis={}", time.as_millis()));
        arguments.extend(core.map(|core| format!("--core={core}")));
        let output = child::run(contestant.program(programs), &arguments, time * 4 + Duration::from_secs(30))?;
        Ok(vec![each(figures(&arguments, &output)?)])
    });
    let counted = count(stage, programs, &tasks, &mut outcome.groups)?;
    for group in &mut outcome.groups {
        group.references = reference(&group.entries);
    }
    Ok(Report {
        suite: "wire".into(),
        about: format!(
            "parse and encode, one thread; {rounds} rounds of {} ms; {counted}; {}",
            time.as_millis(),
            cores.describe(Placement::Same)
        ),
        failures: outcome.failures.len(),
        notes: outcome.failures,
        groups: outcome.groups,
    })
}

/// Builds the codecs, with either build of httparse.
fn build(shell: &Shell, picohttpparser: bool) -> Result<Programs> {
    let features = if picohttpparser { "codecs,picohttpparser" } else { "codecs" };
    let simd = stage::build(shell, "degu-bench-codec", features, &[])?;
    // A folder of its own: cargo does not see that the variable matters, and each build is to be kept. It stands beside
    // the folder of the profile.
    let target = simd.ancestors().nth(2).ok_or("cargo put degu-bench-codec into no folder")?;
    let target = target.join("httparse-no-simd").display().to_string();
    let _disabled = shell.push_env("CARGO_CFG_HTTPARSE_DISABLE_SIMD", "1");
    let scalar = stage::build(shell, "degu-bench-codec", "codecs", &["--target-dir".into(), target])?;
    Ok(Programs { simd, scalar })
}

/// Adds instructions and notes to the entries; returns how instructions were counted, if they were.
fn count(stage: &Stage<'_>, programs: &Programs, tasks: &[Task], groups: &mut [Group]) -> Result<&'static str> {
    let (options, valgrind) = (stage.options, Tool::Callgrind.is_there());
    // Beside other suites a quick run has not the time for it.
    let counts = valgrind && (!options.quick || options.suites.len() == 1);
    let mut progress = Progress::new(if counts { tasks.iter().map(|task| task.contestants.len()).sum() } else { 0 });
    for (task, group) in tasks.iter().zip(groups) {
        for entry in &mut group.entries {
            let Some(contestant) = task.contestants.iter().find(|contestant| contestant.name == entry.name) else {
                continue;
            };
            entry.note = contestant.api.clone();
            if counts {
                progress.step(&format!("instructions, {}, {}", task.name, contestant.name));
                match instructions(stage, programs, task, contestant) {
                    Ok(count) => entry.instructions = Some(count),
                    // Of the instructions for text of SSE 4.2, which picohttpparser uses, valgrind knows a part.
                    Err(error) if error.to_string().contains("SIGILL") => entry.note += "; valgrind can not run it",
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(match (valgrind, counts) {
        (_, true) => "instructions by callgrind",
        (true, false) => "no instructions, for the sake of time",
        (false, _) => "no instructions, since there is no valgrind",
    })
}

impl Contestant {
    fn program<'p>(&self, programs: &'p Programs) -> &'p Path {
        if self.scalar { &programs.scalar } else { &programs.simd }
    }

    fn arguments(&self, task: &Task, how: &str) -> Vec<String> {
        vec!["run".into(), task.name.clone(), self.id.clone(), how.into()]
    }
}

/// Reads the program's list. httparse takes part twice.
fn tasks(list: &str) -> Result<Vec<Task>> {
    let mut tasks: Vec<Task> = Vec::new();
    for line in list.lines() {
        let [task, id, api] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("degu-bench-codec does not list what it can do, but {line:?}").into());
        };
        if tasks.last().is_none_or(|last| last.name != task) {
            tasks.push(Task { name: task.into(), contestants: Vec::new() });
        }
        let Some(last) = tasks.last_mut() else { continue };
        let mut add = |name: String, scalar| {
            last.contestants.push(Contestant { name, id: id.into(), api: api.into(), scalar });
        };
        if id == "httparse" {
            add("httparse, SIMD".into(), false);
            add("httparse, no SIMD".into(), true);
        } else {
            add(id.into(), false);
        }
    }
    Ok(tasks)
}

/// What the others are compared with: the plain copy where there is one, and otherwise the faster build of httparse.
fn reference(entries: &[Entry]) -> Vec<String> {
    let median = |entry: &&Entry| Summary::of(&entry.samples).map_or(f64::INFINITY, |summary| summary.median);
    let plain = entries.iter().find(|entry| entry.name == "plain copy");
    let httparse = entries.iter().filter(|entry| entry.name.starts_with("httparse"));
    let faster = httparse.min_by(|a, b| median(a).total_cmp(&median(b)));
    plain.or(faster).map(|entry| entry.name.clone()).into_iter().collect()
}

/// How many instructions one repetition takes.
fn instructions(stage: &Stage<'_>, programs: &Programs, task: &Task, contestant: &Contestant) -> Result<f64> {
    let file = stage.folder().join("instructions").display().to_string();
    let count = |times: u64| -> Result<u64> {
        let (tool, mut arguments) = Tool::Callgrind.command(&file);
        arguments.push(contestant.program(programs).display().to_string());
        arguments.extend(contestant.arguments(task, &format!("--times={times}")));
        child::run(Path::new(tool), &arguments, Duration::from_secs(300))?;
        let answer = fs::read_to_string(&file)?;
        Tool::Callgrind.count(&answer).ok_or_else(|| format!("valgrind does not say a count, but {answer:?}").into())
    };
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok(many.saturating_sub(few) as f64 / (MANY - FEW) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list() {
        let tasks = tasks("small\tdegu\tparse\nsmall\thttparse\tRequest::parse\nlong\tdegu\tparse").unwrap();
        let names = |task: &Task| task.contestants.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&tasks[0]), ["degu", "httparse, SIMD", "httparse, no SIMD"]);
        assert_eq!(names(&tasks[1]), ["degu"]);
        let scalar = &tasks[0].contestants[2];
        assert_eq!((scalar.id.as_str(), scalar.api.as_str(), scalar.scalar), ("httparse", "Request::parse", true));
        assert!(super::tasks("usage").is_err());
    }

    #[test]
    fn the_faster_build_is_the_reference() {
        let mut entries = vec![
            Entry::new("degu".into(), vec![1.0]),
            Entry::new("httparse, SIMD".into(), vec![3.0, 3.0]),
            Entry::new("httparse, no SIMD".into(), vec![2.0, 9.0, 2.0]),
        ];
        assert_eq!(reference(&entries), ["httparse, no SIMD"]);
        entries.push(Entry::new("plain copy".into(), vec![9.0]));
        assert_eq!(reference(&entries), ["plain copy"]);
        assert_eq!(reference(&entries[..1]), [""; 0]);
    }
}
