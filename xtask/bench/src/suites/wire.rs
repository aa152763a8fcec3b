//! Codecs on one core, without sockets. It measures times and, if valgrind is installed, instructions.

use std::time::Duration;

use super::counts::{INSTRUCTIONS, count, difference};
use super::each;
use crate::Result;
use crate::codec;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage, is_there};

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let tasks = codec::ALL.chunk_by(|one, other| one.0 == other.0);
    let condition = |task: &[codec::Entry]| Condition::new(task[0].0, task.iter().map(|entry| entry.1), &["httparse"]);
    let conditions: Vec<Condition> = tasks.map(condition).collect();
    let (rounds, time) = (stage.options.rounds(), stage.time(Duration::from_millis(100)));
    let cores = &machine::placements()?[0].client;
    let measure = |task: usize, contestant: usize, end: End<'_>| {
        let Condition { name, contestants, .. } = &conditions[task];
        stage.measure(&["codec", name, &contestants[contestant]], End { cores, ..end })
    };
    let mut report = plan::run("wire", rounds, &conditions, &[("", Unit::Nanoseconds)], |task, contestant| {
        Ok(vec![each(measure(task, contestant, End { time, ..End::default() })?)])
    });
    if is_there("valgrind") {
        report.add(plan::run("wire", 1, &conditions, &[("instructions", Unit::Count)], |task, contestant| {
            let counted = |times| {
                count(stage, INSTRUCTIONS, |tool| {
                    measure(task, contestant, End { trips: Some(times), tool, ..End::default() }).map(drop)
                })
            };
            Ok(vec![difference(counted)?])
        }));
    } else {
        report.notes.push("instructions not counted, because valgrind is not installed".into());
    }
    report.about = format!("parsing of heads on one thread; {rounds} rounds of {} ms", time.as_millis());
    Ok(report)
}
