//! Codecs on one core, without sockets: times, interleaved as in every suite; and, where valgrind is installed, instructions.

use std::time::Duration;

use super::counts::{INSTRUCTIONS, count, difference};
use super::each;
use crate::Result;
use crate::child;
use crate::codec;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage, is_there};

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let mut conditions: Vec<Condition> = Vec::new();
    for (task, contestant, _) in codec::ALL {
        match conditions.last_mut().filter(|last| last.name == *task) {
            Some(last) => last.contestants.push((*contestant).into()),
            None => conditions.push(Condition {
                name: (*task).into(),
                contestants: vec![(*contestant).into()],
                references: vec![],
            }),
        }
    }
    for condition in &mut conditions {
        let others = ["httparse", "plain copy"].into_iter();
        condition.references = others.filter(|name| condition.contestants.iter().any(|other| other == name)).collect();
    }
    let (rounds, time) = (stage.options.rounds(), stage.time(Duration::from_millis(100)));
    let cores = &machine::placements()?[0].client;
    let name = |condition: usize, contestant: usize| &conditions[condition].contestants[contestant];
    let mut report = plan::run("wire", rounds, &conditions, &[("", Unit::Nanoseconds)], |task, contestant| {
        let words = ["codec", &conditions[task].name, name(task, contestant)];
        Ok(vec![each(stage.measure(&words, End { cores, ..End::default() }, time)?)])
    });
    if is_there("valgrind") {
        let counted = plan::run("wire", 1, &conditions, &[("instructions", Unit::Count)], |task, contestant| {
            let counted = |times: u64| {
                let (times, limit) = (format!("--trips={times}"), Duration::from_secs(300));
                let words = ["codec", &conditions[task].name, name(task, contestant), &times];
                count(stage, INSTRUCTIONS, &words, |tool, arguments| child::run(tool, arguments, limit).map(drop))
            };
            Ok(vec![difference(counted)?])
        });
        report.add(counted);
    } else {
        report.notes.push("no instructions, because valgrind is not installed".into());
    }
    report.about = format!("parsing and encoding on one thread; {rounds} rounds of {} ms", time.as_millis());
    Ok(report)
}
