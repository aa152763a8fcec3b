//! The suite `wire`: codecs on one core, without sockets. Times are interleaved as in every suite; where valgrind is
//! installed, instructions are counted too, which no other load on the machine disturbs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cores::{Cores, Placement};
use super::progress::Progress;
use super::report::{Entry, Group, Report, Unit};
use super::rounds::{interleave, time_each};
use super::stats::Summary;
use super::{Options, machine, nanoseconds};
use crate::Result;
use crate::child;

/// How long one measurement takes, its warm-up not counted.
const TIME: Duration = Duration::from_millis(100);

/// How often a task is repeated under valgrind: the difference of two runs has the instructions of nothing but the task.
const FEW: u64 = 100;
const MANY: u64 = 600;

/// The contestants' program, once with each build of httparse.
pub(super) struct Programs {
    pub(super) simd: PathBuf,
    pub(super) scalar: PathBuf,
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

pub(super) fn run(programs: &Programs, options: &Options) -> Result<Report> {
    let tasks = tasks(&child::run(&programs.simd, &["list".into()], Duration::from_secs(10))?)?;
    let rounds = options.rounds();
    let entries: Vec<usize> = tasks.iter().map(|task| task.contestants.len()).collect();
    let total = entries.iter().sum::<usize>();
    let time = time_each(options.quick, TIME, total * rounds);
    let cores = Cores::choose()?;
    let (core, _) = cores.of(Placement::Same);
    let machine = machine::describe();
    let valgrind = Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());

    let mut progress = Progress::new(total * rounds + if valgrind { total } else { 0 });
    let mut samples: Vec<Vec<Vec<f64>>> = entries.iter().map(|&entries| vec![Vec::new(); entries]).collect();
    interleave(rounds, &entries, |round, task, number| {
        let contestant = &tasks[task].contestants[number];
        progress.step(&format!("round {} of {rounds}, {}, {}", round + 1, tasks[task].name, contestant.name));
        let mut arguments = contestant.arguments(&tasks[task], &format!("--millis={}", time.as_millis()));
        arguments.extend(core.map(|core| format!("--core={core}")));
        let output = child::run(contestant.program(programs), &arguments, time * 4 + Duration::from_secs(30))?;
        samples[task][number].push(nanoseconds(&arguments, &output)?);
        Ok(())
    })?;
    let mut groups = Vec::new();
    for (task, samples) in tasks.into_iter().zip(samples) {
        let mut entries = Vec::new();
        for (contestant, samples) in task.contestants.iter().zip(samples) {
            let mut entry = Entry::new(contestant.name.clone(), samples);
            entry.note = contestant.api.clone();
            if valgrind {
                progress.step(&format!("instructions, {}, {}", task.name, contestant.name));
                match instructions(programs, &task, contestant) {
                    Ok(count) => entry.instructions = Some(count),
                    // Of the instructions for text of SSE 4.2, which picohttpparser uses, valgrind knows a part.
                    Err(error) if error.to_string().contains("SIGILL") => entry.note += "; valgrind can not run it",
                    Err(error) => return Err(error),
                }
            }
            entries.push(entry);
        }
        groups.push(Group { name: task.name, references: reference(&entries), entries });
    }
    drop(progress);

    let counted = if valgrind { "instructions by callgrind" } else { "no instructions, since there is no valgrind" };
    Ok(Report {
        suite: "wire".into(),
        about: format!(
            "parse and encode, one thread; {rounds} rounds of {} ms; {counted}; {}",
            time.as_millis(),
            cores.describe(Placement::Same)
        ),
        machine,
        unit: Unit::Nanoseconds,
        groups,
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
fn instructions(programs: &Programs, task: &Task, contestant: &Contestant) -> Result<f64> {
    let count = |times: u64| -> Result<u64> {
        let program = contestant.program(programs).display().to_string();
        let mut arguments: Vec<String> =
            ["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=1", &program].map(String::from).into();
        arguments.extend(contestant.arguments(task, &format!("--times={times}")));
        let output = child::run(Path::new("valgrind"), &arguments, Duration::from_secs(300))?;
        collected(&output).ok_or_else(|| format!("valgrind does not say a count, but {output:?}").into())
    };
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok(many.saturating_sub(few) as f64 / (MANY - FEW) as f64)
}

/// The count in what callgrind logs: `==PID== Collected : COUNT`.
fn collected(log: &str) -> Option<u64> {
    log.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
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

    #[test]
    fn the_count() {
        let log = "==12== Callgrind\n==12== Events    : Ir\n==12== Collected : 123456\n==12==";
        assert_eq!(collected(log), Some(123_456));
        assert_eq!(collected("==12== "), None);
    }
}
