//! Many runs, and how to repeat one.

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The seeds of a test.
///
/// `DEGU_SEEDS=10000` in the environment sets the number of seeds. `DEGU_SEED=17` runs only this seed, and prints its
/// run step by step.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The package and the name of the test, with which `cargo test` finds it again.
    pub test: (&'static str, &'static str),
    /// The number of seeds if none is given.
    pub default: u64,
}

thread_local! {
    static TELLS: Cell<bool> = const { Cell::new(false) };
}

/// Tells of a step, if the run is told.
pub fn tell(step: impl FnOnce() -> String) {
    if told() {
        eprintln!("{}", step());
    }
}

/// Returns whether the run is printed step by step.
pub fn told() -> bool {
    TELLS.get()
}

impl Seeds {
    /// Runs `simulate` with each seed.
    ///
    /// # Panics
    ///
    /// Some seeds fail: the message says how many, what the first of them found, and how to repeat it.
    pub fn run(self, simulate: impl Fn(u64) -> Result<(), String>) {
        let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
        let one = number("DEGU_SEED");
        let seeds = match one {
            Some(seed) => seed..seed + 1,
            None => 0..number("DEGU_SEEDS").unwrap_or(self.default),
        };
        TELLS.set(one.is_some());
        let all = seeds.end - seeds.start;
        let mut failures = Vec::new();
        for seed in seeds {
            let found = catch_unwind(AssertUnwindSafe(|| simulate(seed))).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| String::from(*text)));
                Err(format!("panicked: {}", text.unwrap_or_default()))
            });
            if let Err(failure) = found {
                failures.push((seed, failure));
            }
        }
        TELLS.set(false);
        self.report(all, &failures);
    }

    fn report(self, all: u64, failures: &[(u64, impl Display)]) {
        let Some((seed, failure)) = failures.first() else { return };
        let (package, test) = self.test;
        let others: Vec<_> = failures.iter().skip(1).take(8).map(|(seed, _)| seed.to_string()).collect();
        panic!(
            "seed {seed}: {failure}\n{} of {all} seeds fail; also {}\nrepeat it: DEGU_SEED={seed} cargo test -p \
             {package} {test} -- --nocapture",
            failures.len(),
            if others.is_empty() { "none".into() } else { others.join(", ") },
        );
    }
}
