//! The effect of spinning before blocking: the time of round trips with spinning, divided by their time without
//! spinning. It is measured in every placement, on idle and on busy cores, with Degu at both sides or at one side.

use std::time::Duration;

use super::{Pair, name_of, trip};
use crate::Result;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::Stage;

/// The pairs. The first two have Degu at both sides, and the others have it at one side.
const PAIRS: &[Pair] = &[
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("raw", "degu"),
    ("hyper", "degu"),
    ("degu", "raw"),
    ("degu-blocking", "raw"),
    ("degu", "hyper"),
];
const OURS: usize = 2;

/// The number of times that a pair is started for one sample while every core is busy. Client and server then stay on
/// the cores on which the scheduler has started them, and the distance between these cores determines the time.
const LOADED_TURNS: usize = 4;

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let (mut places, mut conditions) = (Vec::new(), Vec::new());
    for (name, kind) in [("Unix", "unix"), ("IPv6", "ipv6")] {
        for (at, loaded) in machine::placements()?.into_iter().flat_map(|at| [(at.clone(), false), (at, true)]) {
            let pairs = &PAIRS[..if kind == "unix" && !loaded { PAIRS.len() } else { OURS }];
            let name = format!("{name}, {}{}", at.name, if loaded { ", every core busy" } else { "" });
            conditions.push(Condition::new(name, pairs.iter().map(name_of), &[]));
            places.push((kind, at, loaded));
        }
    }
    let time = stage.time(Duration::from_millis(250));
    let report = plan::run("polling", stage.options.rounds(), &conditions, &[("", Unit::Times)], |place, pair| {
        let ((kind, at, loaded), (client, server)) = (&places[place], PAIRS[pair]);
        let _busy = if *loaded { stage.busy(&machine::cores()?)? } else { Vec::new() };
        let off = |name: &str| if name.starts_with("degu") { format!("{name}-off") } else { name.to_owned() };
        let (mut spun, mut blocked) = (0.0, 0.0);
        for _ in 0..if *loaded { LOADED_TURNS } else { 1 } {
            spun += trip(stage, at, client, server, kind, time)?;
            blocked += trip(stage, at, &off(client), &off(server), kind, time)?;
        }
        Ok(vec![spun / blocked])
    });
    let about = "the time of a round trip divided by the time of the same pair without spinning".into();
    Ok(Report { about, ..report })
}
