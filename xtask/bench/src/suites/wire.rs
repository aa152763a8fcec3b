//! Codecs on one core, without sockets. The suite measures times and, if valgrind is installed, instructions.

use std::time::Duration;

use super::counts::{COUNTERS, count_per_trip};
use super::each;
use crate::Result;
use crate::codec::TASKS;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage, is_there};

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let conditions = TASKS.map(|task| Condition::new(task, ["degu", "httparse"], &["httparse"], task));
    let (rounds, time) = (stage.options.rounds(), stage.time(Duration::from_millis(100)));
    let cores = &machine::placements()?[0].client;
    let mut report = plan::run("wire", rounds, &conditions, &[("", Unit::Nanoseconds)], |task, contestant| {
        Ok(vec![each(stage.measure(&["codec", task, contestant], End { time, ..End::on(cores) })?)])
    });
    let [instructions, ..] = &COUNTERS;
    if is_there(instructions.tool) {
        report.add(plan::run("wire", 1, &conditions, &[("instructions", Unit::Count)], |task, contestant| {
            let run = |end: End<'_>| stage.measure(&["codec", task, contestant], End { cores, ..end }).map(drop);
            Ok(vec![count_per_trip(stage, instructions, run)?])
        }));
    } else {
        report.notes.push("instructions not counted, because valgrind is not installed".into());
    }
    report.about = format!("parsing of heads on one thread; {rounds} rounds of {} ms", time.as_millis());
    Ok(report)
}
