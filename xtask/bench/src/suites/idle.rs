//! The memory that a server holds for an idle connection.

use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, NGINX, Stage, is_there};

/// The number of connections that are opened before the counted connections. After them, the server has the memory that
/// it allocates only once. In Degu's server this includes the buffers of up to 384 connections, which the allocator does
/// not return to the system.
const FIRST: usize = 500;

/// The number of idle connections, and whether they use TLS. Handshakes take time, so there are fewer connections with
/// TLS. A quick run has a tenth of these numbers.
const CONNECTIONS: [(usize, bool); 2] = [(10_000, false), (2000, true)];

/// The time in which a server may free memory that it no longer needs. Degu's server frees it when a connection has
/// been idle for a second, and checks this once a second.
const SETTLE: Duration = Duration::from_millis(2400);

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    // More rounds would hardly change the figures.
    let rounds = if stage.options.quick { 1 } else { stage.options.rounds().min(3) };
    let conditions = CONNECTIONS.map(|(count, tls)| {
        let there = |name: &&'static str| *name != NGINX || !tls && is_there(NGINX);
        let contestants = ["raw-tokio", "hyper", "degu", NGINX].into_iter().filter(there);
        let count = if stage.options.quick { count / 10 } else { count };
        let name = format!("{count} connections{}", if tls { ", TLS" } else { "" });
        Condition::new(name, contestants, &["raw-tokio", "hyper"], (count, tls))
    });
    let report = plan::run("idle", rounds, &conditions, &[("", Unit::Kibibytes)], |&(count, tls), server| {
        measure(stage, server, count, tls)
    });
    let about = "resident memory of the server for each connection over ::1 that is idle after one request; without the kernel's memory; one thread";
    Ok(Report { about: about.into(), ..report })
}

fn measure(stage: &Stage<'_>, server: &str, connections: usize, tls: bool) -> Result<Vec<f64>> {
    let cores = &machine::placements()?[0].client;
    let server = stage.serve(server, "ipv6", End { tls, ..End::on(cores) })?;
    let hold = |connections| stage.start(&["hold", server.address()], End { tls, connections, ..End::default() });
    let _first = hold(FIRST)?;
    let before = settled(server.id())?;
    let _held = hold(connections)?;
    Ok(vec![settled(server.id())?.saturating_sub(before) as f64 / connections as f64])
}

/// Returns the memory of a process after it has freed the memory that it no longer needs: the minimum within
/// [`SETTLE`].
fn settled(process: u32) -> Result<u64> {
    let (mut least, start) = (machine::resident(process)?, Instant::now());
    while start.elapsed() < SETTLE {
        thread::sleep(SETTLE / 6);
        least = least.min(machine::resident(process)?);
    }
    Ok(least)
}
