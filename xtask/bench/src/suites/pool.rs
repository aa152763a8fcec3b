//! One pool of the blocking client, used by one thread or by eight threads. If eight threads are not slower than one
//! thread, the pool is not a bottleneck.

use std::time::Duration;

use crate::Result;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, Stage};

const THREADS: [(&str, usize); 2] = [("one thread", 1), ("eight threads", 8)];

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let at = machine::halves()?;
    let conditions = [Condition::new("degu-blocking-pool", THREADS.map(|threads| threads.0), &["one thread"])];
    let time = stage.time(Duration::from_secs(1));
    let report = plan::run("pool", stage.options.rounds(), &conditions, &[("", Unit::PerSecond)], |_, number| {
        let end = End { cores: &at.server, threads: at.server.len(), ..End::default() };
        let server = stage.serve("degu", "unix", end)?;
        let end = End { cores: &at.client, threads: THREADS[number].1, time, ..End::default() };
        let (trips, took) = stage.measure(&["client", "degu-blocking-pool", server.address()], end)?;
        Ok(vec![trips / took.as_secs_f64()])
    });
    let about = "requests a second over a Unix socket; all threads share one pool".into();
    Ok(Report { about, ..report })
}
