//! The memory that an image takes, measured with the tools of binutils.

use std::path::Path;

use xshell::{Shell, cmd};

use crate::Result;

/// The sections in flash, and the sections in RAM. `.data` is in both.
const FLASH: &[&str] = &[".vector_table", ".text", ".rodata", ".data"];
const RAM: &[&str] = &[".data", ".bss", ".uninit"];

/// Parts of the names of the functions in `core` that panic.
const PANICS: &[&str] =
    &["core::panicking::panic", "slice_index_fail", "len_mismatch_fail", "expect_failed", "unwrap_failed"];

/// The sizes of an image, in bytes.
pub(super) struct Sizes {
    /// Code, constants and the first values of variables.
    pub(super) flash: u64,
    /// Variables.
    pub(super) ram: u64,
    /// The functions in the image that panic.
    pub(super) panics: Vec<String>,
}

impl Sizes {
    /// Measures an image with `size` and `nm`.
    pub(super) fn of(shell: &Shell, image: &Path) -> Result<Self> {
        let sections = cmd!(shell, "size -A {image}").quiet().read()?;
        let sum = |names: &[&str]| {
            let sizes = sections.lines().filter_map(|line| {
                let mut words = line.split_whitespace();
                names.contains(&words.next()?).then(|| words.next()?.parse::<u64>().ok()).flatten()
            });
            sizes.sum()
        };
        let symbols = cmd!(shell, "nm --demangle {image}").quiet().read()?;
        let names = symbols.lines().filter_map(|line| line.splitn(3, ' ').nth(2));
        let mut panics: Vec<_> = names.filter(|name| PANICS.iter().any(|panic| name.contains(panic))).collect();
        panics.sort_unstable();
        panics.dedup();
        let panics = panics.into_iter().filter_map(|name| name.rsplit("::").next()).map(str::to_owned).collect();
        Ok(Self { flash: sum(FLASH), ram: sum(RAM), panics })
    }
}
