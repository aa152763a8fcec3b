//! A rule over the graph of crates: the crates that Degu's crates must not depend on, directly or indirectly.
//!
//! Dependencies of tests do not count, because the users of a crate do not build them.

use std::collections::BTreeSet;

use xshell::{Shell, cmd};

use super::Finding;
use crate::Result;

/// The option of cargo that selects the features of a crate.
type Features = &'static str;

const ALL: Features = "--all-features";
const NONE: Features = "--no-default-features";

/// The rules: crates, their features, the crates on which they must not depend, and the reason. The first rules are the
/// layers, from the bottom.
const NEVER: &[(&[&str], Features, &[&str], &str)] = &[
    (&["degu-tls"], ALL, &["degu-client"], "degu-tls must not depend on the client"),
    (&["degu-tls", "degu-client"], ALL, &["degu-server"], "neither degu-tls nor degu-client may depend on the server"),
    (&["degu-tls", "degu-client", "degu-server"], ALL, &["degu-misc"], "no other crate may depend on degu-misc"),
    (&["degu-client", "degu-server"], NONE, &["degu-tls", "rustls"], "only the feature `tls` may add TLS"),
    (&["degu-client"], NONE, &["tokio", "futures-core"], "only a feature may add a runtime to the client"),
    (&["degu-tls"], ALL, &["tokio"], "degu-tls must not depend on a runtime"),
    (&["degu-server"], NONE, &["degu-client"], "the server may use the client only with the feature `proxy`"),
    (&["degu-client", "degu-server"], NONE, &["http", "tower-service"], "only a feature may add http and tower"),
    (&["degu-client", "degu-server", "degu-misc"], NONE, &["hyper"], "only a feature may add hyper"),
    (&["degu-tls"], ALL, &["hyper", "http", "httparse"], "degu-tls must not depend on a parser of HTTP"),
    (&["degu-tls", "degu-client", "degu-server"], ALL, &["rcgen"], "only degu-misc may use rcgen"),
];

/// The crates on which degu-wire may depend without other features. A device must be able to build them.
const WIRE: &[&str] = &["degu-wire", "bytes", "form_urlencoded", "percent-encoding"];

/// The further crates on which degu-wire may depend with all features. The last line is in the tree only because serde
/// depends on its derive macro for a target that does not exist.
#[rustfmt::skip]
const WIRE_ALL: &[&str] = &[
    "embedded-io", "embedded-io-async",
    "itoa", "memchr", "serde", "serde_core", "serde_json", "zmij",
    "futures-core", "pin-project-lite", "tokio",
    "proc-macro2", "quote", "serde_derive", "syn", "unicode-ident",
];

/// The features of degu-wire that add no dependency.
const OWN: Features = "--features=spin,std";

pub(super) fn check(shell: &Shell) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut find = |name: &str, features: Features, is_forbidden: &dyn Fn(&str) -> bool, why: &str| {
        let tree = cmd!(shell, "cargo tree --quiet --package {name} {features} --edges normal,build --prefix none")
            .args(["--target", "all"])
            .quiet()
            .read()?;
        let used = names(&tree).into_iter().filter(|used| is_forbidden(used));
        findings.extend(used.map(|used| Finding {
            file: format!("{name}/Cargo.toml"),
            line: 1,
            message: format!("{why}; `cargo tree -p {name} {features} -i {used}` shows the path"),
        }));
        Result::Ok(())
    };
    let why = "degu-wire may depend only on the crates in xtask/src/tidy/graph.rs";
    find("degu-wire", OWN, &|used| !WIRE.contains(&used), why)?;
    find("degu-wire", ALL, &|used| !WIRE.contains(&used) && !WIRE_ALL.contains(&used), why)?;
    for (crates, features, forbidden, why) in NEVER {
        crates.iter().try_for_each(|name| find(name, features, &|used| forbidden.contains(&used), why))?;
    }
    Ok(findings)
}

/// Returns the names of the crates in a tree.
fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_tree() {
        let tree = "degu-tls v0.1.0 (/x)\nrustls v0.23.1\nlibc v0.2.1\nrustls v0.23.1 (*)\n\n";
        assert_eq!(Vec::from_iter(names(tree)), ["degu-tls", "libc", "rustls"]);
    }
}
