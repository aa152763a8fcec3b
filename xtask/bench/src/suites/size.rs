//! The size of a library: the number of its crates, the time of a build from nothing, and the size of the stripped
//! program. The same small server or client is built with each library, without TLS: `xtask/bench/minimal`.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use crate::Result;
use crate::plan::{self, Condition, Figure};
use crate::report::{Report, Unit};
use crate::stage::{Stage, cargo};

const FIGURES: [Figure; 3] =
    [("crates", Unit::Count), ("cold build", Unit::Seconds), ("stripped size", Unit::Kibibytes)];

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/minimal/Cargo.toml");

pub(super) fn run(stage: &Stage<'_>) -> Result<Report> {
    let conditions = [
        Condition::new("server", ["hyper", "axum", "tiny_http", "degu"], &["hyper"], "server"),
        Condition::new("client", ["hyper", "reqwest", "ureq", "degu", "degu-blocking"], &["hyper"], "client"),
    ];
    // The downloads are made first, so that no build includes them.
    cargo(MANIFEST, "fetch", &[])?;
    let folder = stage.folder.path().join("size");
    let mut report = plan::run("size", 1, &conditions, &FIGURES, |side, name| {
        let feature = format!("--features={side}-{name}");
        let tree = cargo(
            MANIFEST,
            "tree",
            &[&feature, "--prefix=none", "--edges=normal,build", "--no-dedupe", "--format={p}"],
        )?;
        let crates: BTreeSet<&str> = tree.lines().collect();
        let target = format!("--target-dir={}", folder.display());
        let start = Instant::now();
        cargo(MANIFEST, "build", &["--release", "--offline", &feature, &target])?;
        let took = start.elapsed();
        let size = fs::metadata(folder.join("release/minimal"))?.len();
        fs::remove_dir_all(&folder)?;
        // The tree includes the program itself.
        Ok(vec![crates.len() as f64 - 1.0, took.as_secs_f64(), size as f64])
    });
    report.about =
        "a server and a client of a few lines, without TLS: `cargo build --release` of everything, on all cores".into();
    Ok(report)
}
