//! Runs a test with many seeds, and prints how to repeat a seed that fails.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static TELLS: Cell<bool> = const { Cell::new(false) };
}

/// Prints a step of the run, if only one seed runs.
pub fn tell(step: impl FnOnce() -> String) {
    if TELLS.get() {
        eprintln!("{}", step());
    }
}

/// Runs `simulate` with each seed. `test` is the package and the name of the test, as arguments of `cargo test`.
///
/// `DEGU_SEEDS=10000` in the environment sets the number of seeds, which is otherwise `default`. `DEGU_SEED=17` runs
/// only this seed, and prints its run step by step.
///
/// # Panics
///
/// A seed fails. The message has the number of failures, the first failure, and the command that repeats it.
pub fn seeds((package, test): (&str, &str), default: u64, simulate: impl Fn(u64) -> Result<(), String>) {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
    let one = number("DEGU_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number("DEGU_SEEDS").unwrap_or(default),
    };
    TELLS.set(one.is_some());
    let all = seeds.end - seeds.start;
    let mut failures = Vec::new();
    for seed in seeds {
        let result = catch_unwind(AssertUnwindSafe(|| simulate(seed))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", text.unwrap_or_default()))
        });
        failures.extend(result.err().map(|failure| (seed, failure)));
    }
    TELLS.set(false);
    let Some((seed, failure)) = failures.first() else { return };
    let others: Vec<_> = failures.iter().skip(1).take(8).map(|(seed, _)| seed.to_string()).collect();
    panic!(
        "seed {seed}: {failure}\n{} of {all} seeds fail; others that fail (at most eight): {}\nrepeat it: DEGU_SEED={seed} cargo test -p \
         {package} {test} -- --nocapture",
        failures.len(),
        if others.is_empty() { "none".into() } else { others.join(", ") },
    );
}
