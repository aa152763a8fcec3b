//! `cargo xtask fuzz`: runs fuzz targets with cargo-fuzz, which needs a nightly toolchain.
//!
//! Every target begins with the cases of all corpora that the tests of degu-wire read, also with cases for another kind
//! of input. libFuzzer drops the inputs that add nothing. A target also begins with the inputs that earlier runs kept in
//! `fuzz/corpus/TARGET`. With `--all`, a target runs on each core at the same time.

#[path = "../../degu-wire/tests/corpus/mod.rs"]
mod corpus;

use std::ffi::{OsStr, OsString};
use std::thread;

use lexopt::Parser;
use xshell::{Shell, cmd};

use crate::{Result, root};

pub(crate) fn run(shell: &Shell, mut arguments: Parser) -> Result {
    let (words, rest) = split(arguments.raw_args()?.collect());
    let skip_if_missing = words.iter().any(|word| word == "--skip-if-missing");
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--skip-if-missing").collect();
    let [target, seconds] = words[..] else { return Err("fuzz takes TARGET SECONDS, or --all SECONDS".into()) };
    seconds.parse::<u32>().map_err(|_| format!("{seconds} is not a number of seconds"))?;
    if cmd!(shell, "rustup run nightly cargo fuzz --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        return crate::skip_or_fail(skip_if_missing, MISSING);
    }
    write_seeds(shell)?;
    let names = cmd!(shell, "rustup run nightly cargo fuzz list").quiet().read()?;
    let targets: Vec<&str> = if target == "--all" { names.lines().collect() } else { vec![target] };
    let mut options = vec!["-timeout=10".to_owned(), format!("-max_total_time={seconds}")];
    // The outputs of several targets would be mixed.
    options.extend((target == "--all").then(|| "-verbosity=0".into()));
    options.extend(rest);
    println!("fuzz: {}, {seconds} s each", targets.join(", "));
    // A target uses one core.
    let share = targets.len().div_ceil(thread::available_parallelism()?.get());
    thread::scope(|scope| {
        let options = &options;
        let fuzz = move |share: &[&str]| share.iter().try_for_each(|target| fuzz(target, options));
        let shares: Vec<_> = targets.chunks(share).map(|share| scope.spawn(move || fuzz(share))).collect();
        shares.into_iter().try_for_each(|share| share.join().map_err(|_| "a thread panicked")?)
    })
}

/// Runs a target with these options of libFuzzer.
fn fuzz(target: &str, options: &[String]) -> Result {
    let shell = Shell::new()?;
    shell.change_dir(root());
    // libFuzzer writes new inputs into the first folder, and only reads the second.
    let corpus = format!("fuzz/corpus/{target}");
    shell.create_dir(&corpus)?;
    Ok(cmd!(shell, "rustup run nightly cargo fuzz run {target} {corpus} {SEEDS} -- {options...}").run()?)
}

/// Returns the words for this command, and the words after `--`, which are for libFuzzer.
fn split(arguments: Vec<OsString>) -> (Vec<String>, Vec<String>) {
    let mut words = arguments.into_iter().map(|word| word.to_string_lossy().into_owned());
    (words.by_ref().take_while(|word| word != "--").collect(), words.collect())
}

/// The error if a tool for fuzzing is missing.
const MISSING: &str = "cargo-fuzz or the nightly toolchain is not installed: run `rustup toolchain install nightly` and \
                       `cargo install cargo-fuzz`";

/// The folder with the cases of the corpora. Each case is a file.
const SEEDS: &str = "fuzz/seeds";

/// Writes the input of every case of the corpora into the folder [`SEEDS`].
///
/// # Panics
///
/// A corpus is malformed.
fn write_seeds(shell: &Shell) -> Result {
    // This removes the files of cases that no longer exist.
    shell.remove_path(SEEDS)?;
    shell.create_dir(SEEDS)?;
    for file in shell.read_dir("degu-wire/tests/corpus")? {
        let Some(name) = file.file_stem().and_then(OsStr::to_str).filter(|_| file.extension() == Some("txt".as_ref()))
        else {
            continue;
        };
        for case in corpus::parse(&shell.read_file(&file)?) {
            shell.write_file(format!("{SEEDS}/{name}-{}", case.line), case.input())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_after_two_dashes_go_to_libfuzzer() {
        let (words, rest) = split(["head", "30", "--", "-runs=5", "--", "x"].map(OsString::from).into());
        assert_eq!((words, rest), (vec!["head".into(), "30".into()], vec!["-runs=5".into(), "--".into(), "x".into()]));
    }
}
