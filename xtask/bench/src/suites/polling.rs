//! The effect of spinning before blocking: round trips with it by round trips without, in every placement, on idle cores and on
//! busy ones, with both ends ours or one.

use std::time::Duration;

use super::{Pair, names_of, trip};
use crate::Result;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::Stage;

/// Both ends ours, and then one of them with another that may wait in its own way.
const PAIRS: &[Pair<'_>] = &[
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("raw", "degu"),
    ("hyper", "degu"),
    ("degu", "raw"),
    ("degu-blocking", "raw"),
    ("degu", "hyper"),
];
const OURS: usize = 2;

/// The number of pairs in a sample where every core is busy. Two ends then stay where the scheduler put them at their start,
/// and their distance counts more than everything else.
const LOADED_TURNS: usize = 4;

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let (mut places, mut conditions) = (Vec::new(), Vec::new());
    for (name, address) in [("Unix", "unix"), ("IPv6", "ipv6")] {
        for (at, loaded) in machine::placements()?.into_iter().flat_map(|at| [(at.clone(), false), (at, true)]) {
            conditions.push(Condition {
                name: format!("{name}, {}{}", at.name, if loaded { ", every core busy" } else { "" }),
                contestants: names_of(&PAIRS[..if address == "unix" && !loaded { PAIRS.len() } else { OURS }]),
                references: Vec::new(),
            });
            places.push((address, at, loaded));
        }
    }
    let time = stage.time(Duration::from_millis(250));
    let report = plan::run("polling", stage.options.rounds(), &conditions, &[("", Unit::Times)], |place, pair| {
        let ((address, at, loaded), (client, server)) = (&places[place], PAIRS[pair]);
        let _busy = if *loaded { stage.busy(&machine::cores()?)? } else { Vec::new() };
        let off = |name: &str| if name.starts_with("degu") { format!("{name}-off") } else { name.to_owned() };
        let (mut spun, mut blocked) = (0.0, 0.0);
        for _ in 0..if *loaded { LOADED_TURNS } else { 1 } {
            spun += trip(stage, at, (client, server), address, false, time)?;
            blocked += trip(stage, at, (&off(client), &off(server)), address, false, time)?;
        }
        Ok(vec![spun / blocked])
    });
    let about = "the time of a sequential round trip by that of the same pair without spinning".into();
    Ok(Report { about, ..report })
}
