//! The counts of the clients and of the injected faults, and the mistakes that were found.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::exchange::Outcome;
use crate::servers::Target;

/// The largest number of mistakes that are printed.
const MOST_MISTAKES: usize = 20;

/// The subject under which injected faults are counted.
pub(crate) const FAULTS: &str = "faults";

/// The fault that leaves the process without free descriptors.
pub(crate) const NO_DESCRIPTORS: &str = "no descriptors left";

/// The name of [`Outcome::Stale`].
pub(crate) const STALE: &str = "closed while idle";

type Counts = BTreeMap<(&'static str, Cow<'static, str>), u64>;

/// The counts of a run. Each count has a name and a subject. The subject is a server, or a group such as [`FAULTS`].
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    mistakes: AtomicUsize,
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, subject: &'static str, name: impl Into<Cow<'static, str>>, count: u64) {
        *self.counts().entry((subject, name.into())).or_default() += count;
    }

    pub(crate) fn get(&self, subject: &'static str, name: &'static str) -> u64 {
        self.counts().get(&(subject, name.into())).copied().unwrap_or_default()
    }

    /// Returns the number of exchanges that have an outcome.
    pub(crate) fn exchanges(&self) -> u64 {
        let is_outcome = |name: &str| ["right", "refused", "failed", "abandoned"].contains(&name);
        self.counts().iter().filter(|((_, name), _)| is_outcome(name)).map(|(_, count)| count).sum()
    }

    /// Returns all counts, each as a line.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.counts().iter().map(|((subject, name), count)| format!("{subject:12}{count:10} {name}")).collect()
    }

    /// Counts the outcome of the exchange that `what` describes. An error from a server without faults is a mistake.
    pub(crate) fn note(&self, target: &Target, outcome: Outcome, what: &str) {
        let (name, error) = match outcome {
            Outcome::Right => ("right", None),
            Outcome::Abandoned => ("abandoned", None),
            Outcome::Starved => ("not connected, because no descriptor was free", None),
            Outcome::Stale => (STALE, None),
            Outcome::Refused(status) => ("refused", Some(format!("status {status}"))),
            Outcome::Failed(error) => ("failed", Some(error)),
            Outcome::Wrong(how) => return self.mistake(format!("{}, {what}: {how}", target.name)),
        };
        self.add(target.name, name, 1);
        match error {
            Some(error) if target.is_faulty => self.add("errors", error, 1),
            Some(error) => self.mistake(format!("{}, {what}: {error}", target.name)),
            None => {}
        }
    }

    /// Counts a mistake of Degu. Prints it at once, because a run may be long, and may not reach its end.
    pub(crate) fn mistake(&self, what: String) {
        if self.mistakes.fetch_add(1, Relaxed) < MOST_MISTAKES {
            eprintln!("\rWRONG: {what}");
        }
    }

    pub(crate) fn mistakes(&self) -> usize {
        self.mistakes.load(Relaxed)
    }
}
