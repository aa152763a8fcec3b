//! One large body after the other over one connection, each end a process of its own.

use std::time::Duration;

use super::{Pair, names_of};
use crate::Result;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage};

const PAIRS: &[Pair<'_>] = &[("raw-copy", "raw-copy"), ("hyper", "hyper"), ("degu", "degu"), ("degu-blocking", "degu")];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    // Of 64 KiB.
    let pieces = if stage.options.quick { 768 } else { 16 * 1024 };
    let at = machine::apart()?;
    let mut places = Vec::new();
    for (name, address) in [("Unix", "unix"), ("IPv6", "ipv6")] {
        places.extend([
            (format!("{name}, length"), address, "length"),
            (format!("{name}, chunks of 64 KiB"), address, "chunks"),
        ]);
    }
    let condition = |(name, ..): &(String, &str, &str)| Condition {
        name: name.clone(),
        contestants: names_of(PAIRS),
        references: vec!["raw-copy", "hyper"],
    };
    let conditions: Vec<Condition> = places.iter().map(condition).collect();
    let report = plan::run("stream", stage.options.rounds(), &conditions, &[("", Unit::Megabytes)], |place, pair| {
        let ((_, address, framing), (client, server)) = (&places[place], PAIRS[pair]);
        let server = stage.serve(server, address, End { cores: &at.server, ..End::default() })?;
        let (target, end) = (format!("/{framing}/{pieces}"), End { cores: &at.client, ..End::default() });
        let words = ["fetch", client, server.address(), &target];
        let (bytes, took) = stage.measure(&words, end, Duration::from_secs(10))?;
        Ok(vec![bytes / took.as_secs_f64()])
    });
    let about = format!("a body of {} MiB from server to client, in writes of 64 KiB, {}", pieces / 16, at.name);
    Ok(Report { about, ..report })
}
