//! The memory of a server for a connection that waits for its next request.

use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::machine;
use crate::plan::{self, Condition};
use crate::report::{Report, Unit};
use crate::stage::{End, NGINX, Stage, is_nginx_there};

/// Connections before those that are counted, so that what a server allocates once is there already.
const FIRST: usize = 50;

/// The number of connections that wait: plain, and with TLS, whose handshakes take time. A quick run has a tenth of them.
const CONNECTIONS: [usize; 2] = [10_000, 2000];

/// Within this time a server may free memory that it needs no longer. Degu's server frees it when a connection has been
/// idle for a second; it checks once a second.
const SETTLE: Duration = Duration::from_millis(2400);

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let counts = CONNECTIONS.map(|count| if stage.options.quick { count / 10 } else { count });
    // More rounds than these tell nothing new of memory.
    let rounds = if stage.options.quick { 1 } else { stage.options.rounds().min(3) };
    let condition = |tls: bool| {
        let servers = ["raw-tokio", "hyper", "degu", NGINX];
        let there = |name: &&str| *name != NGINX || !tls && is_nginx_there();
        Condition {
            name: format!("{} connections{}", counts[usize::from(tls)], if tls { ", TLS" } else { "" }),
            contestants: servers.into_iter().filter(there).map(String::from).collect(),
            references: vec!["raw-tokio", "hyper"],
        }
    };
    let conditions = [false, true].map(condition);
    let report = plan::run("idle", rounds, &conditions, &[("", Unit::Kibibytes)], |number, contestant| {
        measure(stage, &conditions[number].contestants[contestant], counts[number], number == 1)
    });
    let about = "resident memory of the server in user space for each connection over ::1 that waits after one request; one thread";
    Ok(Report { about: about.into(), ..report })
}

fn measure(stage: &Stage<'_>, server: &str, connections: usize, tls: bool) -> Result<Vec<f64>> {
    let cores = &machine::placements()?[0].client;
    let server = stage.serve(server, "ipv6", End { cores, tls, ..End::default() })?;
    let hold = |connections: usize| {
        let more = [format!("--connections={connections}")];
        stage.start(&["hold", server.address()], End { tls, more: &more, ..End::default() })
    };
    let _first = hold(FIRST)?;
    let before = settled(server.id())?;
    let _held = hold(connections)?;
    Ok(vec![settled(server.id())?.saturating_sub(before) as f64 / connections as f64])
}

/// The memory of a process after it has freed the memory that it needs no longer: the minimum within a time.
fn settled(process: u32) -> Result<u64> {
    let (mut least, start) = (machine::resident(process)?, Instant::now());
    while start.elapsed() < SETTLE {
        thread::sleep(SETTLE / 6);
        least = least.min(machine::resident(process)?);
    }
    Ok(least)
}
