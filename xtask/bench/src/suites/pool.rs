//! One pool, used by one thread or task and by eight: the pool is not a bottleneck if eight are not slower than one.

use std::time::Duration;

use crate::Result;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage};

const POOLS: [&str; 2] = ["degu-blocking-pool", "degu-pool"];
const AT_ONCE: [(&str, usize); 2] = [("one", 1), ("eight", 8)];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let at = machine::halves()?;
    let conditions = POOLS.map(|pool| Condition {
        name: pool.into(),
        contestants: AT_ONCE.map(|(name, _)| name.into()).into(),
        references: vec!["one"],
    });
    let time = stage.time(Duration::from_secs(1));
    let mut report =
        plan::run("pool", stage.options.rounds(), &conditions, &[("", Unit::PerSecond)], |pool, number| {
            let threads = at.server.len();
            let server = stage.serve("degu", "unix", End { cores: &at.server, threads, ..End::default() })?;
            let end = End { cores: &at.client, threads: AT_ONCE[number].1, ..End::default() };
            let (trips, took) = stage.measure(&["client", POOLS[pool], server.address()], end, time)?;
            Ok(vec![trips / took.as_secs_f64()])
        });
    report.about = "requests a second over a Unix socket, of one thread or task and of eight that share a pool".into();
    Ok(report)
}
