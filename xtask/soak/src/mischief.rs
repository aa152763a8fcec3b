//! Faults of the process, one after the other while everything else goes on: renewed certificates, and no descriptors.

use std::thread;
use std::time::Duration;

use degu_misc::{Leaf, TempPki};
use degu_tls::ServerTls;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Result;
use crate::held::descriptors;
use crate::tally::{FAULTS, NO_DESCRIPTORS};
use crate::work::World;

/// Injects faults until the world stops.
pub(crate) fn work(world: &World, tls: &ServerTls, pki: &TempPki, number: u64) {
    let mut rng = world.rng(number);
    while !world.is_stopping() {
        let (fault, done) = if rng.bool() {
            pki.renew(Leaf::Server);
            ("certificates renewed", tls.reload().map(drop).map_err(Into::into))
        } else {
            (NO_DESCRIPTORS, starve(rng.u64(..4), Duration::from_millis(rng.u64(50..800))))
        };
        match done {
            Ok(()) => world.tally.add(FAULTS, fault, 1),
            // What is broken now stays broken.
            Err(error) => return world.tally.wrong(format!("{fault}: {error}")),
        }
        thread::sleep(Duration::from_millis(rng.u64(20..200)));
    }
}

/// Leaves the process only this number of free descriptors for a while.
fn starve(spare: u64, time: Duration) -> Result {
    let before = getrlimit(Resource::Nofile);
    let most = descriptors()? + spare;
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..before })?;
    thread::sleep(time);
    // The hard limit has stayed, so that the soft one can be raised again.
    Ok(setrlimit(Resource::Nofile, before)?)
}
