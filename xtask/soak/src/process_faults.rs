//! Faults of the process, which are injected one after another during the whole run: certificates are renewed, and for
//! less than a second the process can open at most three more descriptors.

use std::thread;
use std::time::Duration;

use degu_misc::{Leaf, TempPki};
use degu_tls::ServerTls;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Result;
use crate::report::descriptors;
use crate::run::Run;
use crate::tally::{FAULTS, NO_DESCRIPTORS};

/// Injects faults until the workers stop.
pub(crate) fn inject(run: &Run, tls: &ServerTls, pki: &TempPki, number: u64) {
    let mut rng = run.rng(number);
    while !run.is_stopping() {
        let (fault, injected) = if rng.bool() {
            pki.renew(Leaf::Server);
            ("certificates renewed", tls.reload().map(drop).map_err(Into::into))
        } else {
            (NO_DESCRIPTORS, starve(rng.u64(..4), Duration::from_millis(rng.u64(50..800))))
        };
        match injected {
            Ok(()) => run.tally.add(FAULTS, fault, 1),
            // The next fault would fail, too.
            Err(error) => return run.tally.mistake(format!("{fault}: {error}")),
        }
        thread::sleep(Duration::from_millis(rng.u64(20..200)));
    }
}

/// Lowers the limit on descriptors for `time`. The process can then open only `spare` more descriptors.
fn starve(spare: u64, time: Duration) -> Result {
    let before = getrlimit(Resource::Nofile);
    let most = descriptors()? + spare;
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..before })?;
    thread::sleep(time);
    // Any process may raise its soft limit to the hard limit, which has not changed.
    Ok(setrlimit(Resource::Nofile, before)?)
}
