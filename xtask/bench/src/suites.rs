//! The suites.

mod counts;
mod duo;
mod idle;
mod open;
mod size;
mod throughput;
mod wire;

use std::time::Duration;

use crate::Result;
use crate::report::Report;
use crate::stage::Stage;

pub(crate) use open::PERCENTILES;
pub(crate) use wire::find as find_codec;

type Suite = fn(&Stage<'_>) -> Result<Report>;

/// All suites, in the order in which they run.
pub(crate) const ALL: &[(&str, Suite)] = &[
    ("duo", duo::run),
    ("peers", duo::run_peers),
    ("polling", duo::run_polling),
    ("pool", throughput::run_pool),
    ("open", open::run),
    ("throughput", throughput::run),
    ("idle", idle::run),
    ("counts", counts::run),
    ("wire", wire::run),
    ("size", size::run),
];

/// Returns the nanoseconds of one run, from the number of runs and the time that they took.
fn each((times, time): (f64, Duration)) -> f64 {
    time.as_nanos() as f64 / times
}
