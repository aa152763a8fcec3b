//! Faults of processes, one after the other while everything else goes on: certificates that change, and no descriptors.

use std::process;
use std::thread;
use std::time::Duration;

use degu_misc::{Leaf, TempPki};
use rustix::process::Resource;

use crate::Result;
use crate::control::Control;
use crate::process::{Squeeze, descriptors};
use crate::tally::FAULTS;
use crate::work::World;

/// Injects faults until the world stops.
pub(crate) fn work(world: &World, server: &Control, pki: &TempPki, number: u64) {
    let mut rng = world.rng(number);
    let wait = |milliseconds: u64| thread::sleep(Duration::from_millis(milliseconds));
    let starve = |id: u32, spare: u64, milliseconds: u64| -> Result {
        let _squeeze = Squeeze::new(id, Resource::Nofile, descriptors(id)?.saturating_sub(spare))?;
        wait(milliseconds);
        Ok(())
    };
    while !world.is_stopping() {
        let (fault, done) = match rng.u32(..4) {
            0 | 1 => {
                pki.renew(Leaf::Server);
                ("certificates renewed", server.reload())
            }
            2 => ("server without descriptors", starve(server.id(), rng.u64(..4), rng.u64(100..800))),
            _ => ("clients without descriptors", starve(process::id(), rng.u64(..4), rng.u64(50..200))),
        };
        match done {
            Ok(()) => world.tally.add(FAULTS, fault, 1),
            // What is broken now stays broken.
            Err(error) => return world.tally.wrong(format!("{fault}: {error}")),
        }
        wait(rng.u64(20..200));
    }
}
