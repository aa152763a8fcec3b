//! `cargo xtask fuzz`: runs fuzz targets with cargo-fuzz, which needs a nightly toolchain.
//!
//! A target begins with the input of every case of the corpora that the tests of degu-wire read, and with what earlier
//! runs found interesting, which stays in `fuzz/corpus/TARGET`. Every target gets the cases of all corpora: libFuzzer
//! drops what is of no use to it.

#[path = "../../degu-wire/tests/corpus/mod.rs"]
mod corpus;

use std::ffi::{OsStr, OsString};

use lexopt::{Arg, Parser, ValueExt};
use xshell::{Shell, cmd};

use crate::Result;

pub(crate) fn run(shell: &Shell, mut arguments: Parser) -> Result {
    let options = Options::parse(&mut arguments)?;
    if let Err(missing) = check(shell) {
        if options.skip_if_missing {
            println!("fuzz: skipped, {missing}");
            return Ok(());
        }
        return Err(missing);
    }
    write_seeds(shell)?;
    let targets = match options.target {
        Some(target) => vec![target],
        None => list(shell)?,
    };
    for target in targets {
        fuzz(shell, &target, options.seconds, &options.rest)?;
    }
    Ok(())
}

#[derive(Debug)]
struct Options {
    /// `None`: all of them.
    target: Option<String>,
    seconds: u32,
    skip_if_missing: bool,
    /// Goes to libFuzzer.
    rest: Vec<OsString>,
}

impl Options {
    fn parse(arguments: &mut Parser) -> Result<Self> {
        let (mut words, mut all, mut skip_if_missing, mut rest) = (Vec::new(), false, false, Vec::new());
        loop {
            // lexopt takes `--` as the end of options; here it begins the arguments of libFuzzer.
            if let Some(mut raw) = arguments.try_raw_args()
                && raw.next_if(|word| word == "--").is_some()
            {
                rest = raw.collect();
                break;
            }
            match arguments.next()? {
                None => break,
                Some(Arg::Long("all")) => all = true,
                Some(Arg::Long("skip-if-missing")) => skip_if_missing = true,
                Some(Arg::Value(word)) => words.push(word.string()?),
                Some(other) => return Err(other.unexpected().into()),
            }
        }
        let (target, seconds) = match (all, &words[..]) {
            (true, [seconds]) => (None, seconds),
            (false, [target, seconds]) => (Some(target.clone()), seconds),
            _ => return Err("fuzz takes TARGET SECONDS, or --all SECONDS".into()),
        };
        let seconds = seconds.parse().map_err(|_| format!("{seconds} is no number of seconds"))?;
        Ok(Self { target, seconds, skip_if_missing, rest })
    }
}

/// Where the cases of the corpora are, one a file.
const SEEDS: &str = "fuzz/seeds";

/// Writes the input of every case of the corpora into the folder [`SEEDS`].
///
/// # Panics
///
/// A corpus is not in its format, of which its tests say more.
fn write_seeds(shell: &Shell) -> Result {
    // Cases that are gone are to be gone here too.
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

/// Is there all that fuzzing needs?
fn check(shell: &Shell) -> Result {
    if !shell.path_exists("fuzz/Cargo.toml") {
        return Err("there is no fuzz/Cargo.toml".into());
    }
    if cmd!(shell, "rustup run nightly rustc --version").quiet().ignore_stderr().ignore_stdout().run().is_err() {
        return Err("there is no nightly toolchain: rustup toolchain install nightly".into());
    }
    if cmd!(shell, "rustup run nightly cargo fuzz --version").quiet().ignore_stderr().ignore_stdout().run().is_err() {
        return Err("there is no cargo-fuzz: cargo install cargo-fuzz".into());
    }
    Ok(())
}

fn list(shell: &Shell) -> Result<Vec<String>> {
    let names = cmd!(shell, "rustup run nightly cargo fuzz list").quiet().read()?;
    Ok(names.lines().map(str::to_owned).collect())
}

fn fuzz(shell: &Shell, target: &str, seconds: u32, rest: &[OsString]) -> Result {
    // libFuzzer writes what it finds into the first folder, and only reads the other.
    let corpus = format!("fuzz/corpus/{target}");
    shell.create_dir(&corpus)?;
    println!("fuzz: {target}, {seconds} s");
    let seconds = seconds.to_string();
    cmd!(
        shell,
        "rustup run nightly cargo fuzz run {target} {corpus} {SEEDS} -- -timeout=10 -max_total_time={seconds} {rest...}"
    )
    .run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&mut Parser::from_args(words))
    }

    #[test]
    fn one_target() {
        let options = parse(&["head", "30", "--", "-runs=5", "--", "x"]).unwrap();
        assert_eq!(options.target.as_deref(), Some("head"));
        assert_eq!(options.seconds, 30);
        assert!(!options.skip_if_missing);
        assert_eq!(options.rest, ["-runs=5", "--", "x"]);
    }

    #[test]
    fn all_targets() {
        let options = parse(&["--all", "5", "--skip-if-missing"]).unwrap();
        assert_eq!(options.target, None);
        assert_eq!(options.seconds, 5);
        assert!(options.skip_if_missing && options.rest.is_empty());
    }

    #[test]
    fn what_is_refused() {
        for words in [&["head"][..], &["head", "x"], &["--all"], &["--all", "head", "5"], &["head", "5", "--fast"], &[]]
        {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
