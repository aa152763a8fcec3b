//! The counts of the clients, by server or subject and by name; and what was wrong.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::ask::Verdict;
use crate::target::Target;

/// No more of what is wrong is kept: one is enough.
const MOST_WRONGS: usize = 20;

/// The subject of faults that were injected.
pub(crate) const FAULTS: &str = "faults";

/// The fault that leaves the process without descriptors.
pub(crate) const NO_DESCRIPTORS: &str = "no descriptors left";

/// The name of what the server closed between two requests.
pub(crate) const STALE: &str = "closed while idle";

/// All that is counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<BTreeMap<(&'static str, Cow<'static, str>), u64>>,
    wrongs: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn add(&self, subject: &'static str, name: impl Into<Cow<'static, str>>, count: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((subject, name.into())).or_default() += count;
    }

    pub(crate) fn get(&self, subject: &'static str, name: &'static str) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&(subject, name.into())).copied().unwrap_or_default()
    }

    /// Returns the sum of the counts that have one of these names, over all subjects.
    pub(crate) fn sum(&self, names: &[&str]) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().filter(|((_, name), _)| names.contains(&name.as_ref())).map(|(_, count)| count).sum()
    }

    /// All counts, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((subject, name), count)| format!("{subject:12}{count:10} {name}")).collect()
    }

    /// Notes what came of an exchange.
    pub(crate) fn note(&self, target: Target, verdict: Verdict, what: &str) {
        let (name, error) = match verdict {
            Verdict::Right => ("right", None),
            Verdict::Left => ("left", None),
            Verdict::Starved => ("not connected for want of a descriptor", None),
            Verdict::Stale => (STALE, None),
            Verdict::Refused(status) => ("refused", Some(format!("status {status}"))),
            Verdict::Failed(error) => ("failed", Some(error)),
            Verdict::Wrong(how) => return self.wrong(format!("{}, {what}: {how}", target.name())),
        };
        self.add(target.name(), name, 1);
        match error {
            Some(error) if target.is_faulty() => self.add("errors", error, 1),
            Some(error) => self.wrong(format!("{}, {what}: {error}", target.name())),
            None => {}
        }
    }

    /// Something is not as it must be.
    pub(crate) fn wrong(&self, what: String) {
        let mut wrongs = self.wrongs.lock().unwrap_or_else(PoisonError::into_inner);
        if wrongs.len() < MOST_WRONGS {
            // At once: a run may be long, and may not come to its end.
            eprintln!("\rWRONG: {what}");
            wrongs.push(what);
        }
    }

    pub(crate) fn wrongs(&self) -> usize {
        self.wrongs.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
