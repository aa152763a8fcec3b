//! The memory of the board that an image takes, as the tools of binutils report it.

use std::path::Path;
use std::process::Command;

use crate::Result;

/// The sections that lie in flash, and those that lie in RAM; `.data` lies in both.
const FLASH: &[&str] = &[".vector_table", ".text", ".rodata", ".data"];
const RAM: &[&str] = &[".data", ".bss", ".uninit"];

/// The functions of core that panic, by a part of their name.
const PANICS: &[&str] =
    &["core::panicking::panic", "slice_index_fail", "len_mismatch_fail", "expect_failed", "unwrap_failed"];

/// The sizes of an image, in bytes.
pub(super) struct Sizes {
    /// Code, constants and the first values of variables.
    pub(super) flash: u64,
    /// Variables.
    pub(super) ram: u64,
    /// The functions that panic and are in the image.
    pub(super) panics: Vec<String>,
}

impl Sizes {
    pub(super) fn of(image: &Path) -> Result<Self> {
        let sections = output("size", &["-A"], image)?;
        let sum = |names: &[&str]| {
            let sizes = sections.lines().filter_map(|line| {
                let mut words = line.split_whitespace();
                names.contains(&words.next()?).then(|| words.next()?.parse::<u64>().ok()).flatten()
            });
            sizes.sum()
        };
        let symbols = output("nm", &["--demangle"], image)?;
        let names = symbols.lines().filter_map(|line| line.splitn(3, ' ').nth(2));
        let mut panics: Vec<_> = names.filter(|name| PANICS.iter().any(|panic| name.contains(panic))).collect();
        panics.sort_unstable();
        panics.dedup();
        let panics = panics.into_iter().filter_map(|name| name.rsplit("::").next()).map(str::to_owned).collect();
        Ok(Self { flash: sum(FLASH), ram: sum(RAM), panics })
    }
}

fn output(program: &str, options: &[&str], image: &Path) -> Result<String> {
    let output = Command::new(program).args(options).arg(image).output();
    let output = output.map_err(|error| format!("{program}, of binutils: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
