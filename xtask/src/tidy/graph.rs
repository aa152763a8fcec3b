//! Rules over the graph of crates: who may depend on whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::Finding;
use crate::Result;

/// The published crates, bottom first, each with the crates beneath it that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("degu-wire", &[]),
    ("degu-tls", &["degu-wire"]),
    ("degu-client", &["degu-wire", "degu-tls"]),
    // The server's `proxy` feature is the one place where it uses the client.
    ("degu-server", &["degu-wire", "degu-tls", "degu-client"]),
    ("degu-misc", &["degu-wire", "degu-tls", "degu-client", "degu-server"]),
];

/// What a crate may use only behind a feature: the crate, what it would use, why not always.
const OPTIONAL: &[(&str, &str, &str)] = &[
    ("degu-client", "degu-tls", "the client builds without TLS"),
    ("degu-client", "rustls", "the client builds without TLS"),
    ("degu-server", "degu-tls", "the server builds without TLS"),
    ("degu-server", "rustls", "the server builds without TLS"),
    ("degu-server", "degu-client", "client and server are siblings, joined by the feature `proxy` alone"),
    ("degu-client", "http", "the types of http come with features only"),
    ("degu-server", "http", "the types of http come with features only"),
    ("degu-client", "tower-service", "services of tower come with features only"),
    ("degu-server", "tower-service", "services of tower come with features only"),
    ("degu-wire", "hyper", "hyper comes with its feature only"),
    ("degu-tls", "hyper", "hyper comes with its feature only"),
    ("degu-client", "hyper", "hyper comes with its feature only"),
    ("degu-server", "hyper", "hyper comes with its feature only"),
    ("degu-misc", "hyper", "hyper comes with its feature only"),
];

/// What a crate never uses, with any feature.
const NEVER: &[(&str, &str, &str)] = &[
    ("degu-tls", "hyper", "degu-tls parses no HTTP"),
    ("degu-tls", "http", "degu-tls parses no HTTP"),
    ("degu-tls", "httparse", "degu-tls parses no HTTP"),
    ("degu-wire", "rcgen", "rcgen reaches only degu-misc"),
    ("degu-tls", "rcgen", "rcgen reaches only degu-misc"),
    ("degu-client", "rcgen", "rcgen reaches only degu-misc"),
    ("degu-server", "rcgen", "rcgen reaches only degu-misc"),
];

/// All that degu-wire depends on: it has to stay buildable for a device.
const WIRE: &[&str] = &["bytes"];

/// The crates of the workspace and what they depend on. Dependencies of tests do not count: nobody who uses a crate
/// builds them.
#[derive(Debug, Default)]
pub(super) struct Graph {
    members: BTreeMap<String, Member>,
    /// What each crate uses, with all features of the workspace on. Versions of one crate are taken together.
    uses: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Member {
    /// The root file of each of its targets, from the folder of the workspace.
    roots: Vec<String>,
    /// The dependencies that its manifest names, and whether each is optional.
    dependencies: BTreeMap<String, bool>,
}

impl Graph {
    /// Reads the output of `cargo metadata --format-version 1 --all-features`.
    ///
    /// # Errors
    ///
    /// Something that cargo's documentation promises is not there.
    pub(super) fn from_json(text: &str) -> Result<Self> {
        let metadata: Value = serde_json::from_str(text)?;
        let top = format!("{}/", string(&metadata["workspace_root"])?);
        let below = |path: &Value| Ok::<_, crate::Error>(string(path)?.trim_start_matches(&top).to_owned());

        let mut graph = Self::default();
        let mut names = BTreeMap::new();
        for package in list(&metadata["packages"])? {
            let name = string(&package["name"])?;
            names.insert(string(&package["id"])?, name);
            if !list(&metadata["workspace_members"])?.contains(&package["id"]) {
                continue;
            }
            let mut member = Member::default();
            for target in list(&package["targets"])? {
                // Tests, examples and build scripts are no crates that somebody reads from the top.
                if list(&target["kind"])?.iter().any(|kind| kind == "lib" || kind == "bin") {
                    member.roots.push(below(&target["src_path"])?);
                }
            }
            for dependency in list(&package["dependencies"])? {
                if dependency["kind"] != "dev" {
                    let optional = dependency["optional"] == true;
                    // Named twice, for two targets say, it is optional if it is so in both.
                    let known = member.dependencies.entry(string(&dependency["name"])?.into()).or_insert(true);
                    *known &= optional;
                }
            }
            graph.members.insert(name.into(), member);
        }
        let name_of = |id: &Value| {
            let id = string(id)?;
            let name = names.get(id).ok_or_else(|| format!("cargo metadata: no package {id}"))?;
            Ok::<_, crate::Error>(String::from(*name))
        };
        for node in list(&metadata["resolve"]["nodes"])? {
            let uses = graph.uses.entry(name_of(&node["id"])?).or_default();
            for dependency in list(&node["deps"])? {
                if list(&dependency["dep_kinds"])?.iter().any(|kind| kind["kind"] != "dev") {
                    uses.insert(name_of(&dependency["pkg"])?);
                }
            }
        }
        Ok(graph)
    }

    /// The root file of every crate.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        self.members.values().flat_map(|member| &member.roots).map(String::as_str)
    }

    /// All rules of this file.
    pub(super) fn check(&self) -> Vec<Finding> {
        let mut findings = self.layers();
        findings.extend(self.wire());
        for &(from, to, why) in OPTIONAL {
            findings.extend(self.reaches(from, to, why, false));
        }
        for &(from, to, why) in NEVER {
            findings.extend(self.reaches(from, to, why, true));
        }
        findings
    }

    /// A crate depends only on crates beneath it.
    fn layers(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, beneath) in LAYERS {
            let Some(member) = self.members.get(*name) else {
                findings.push(finding(name, "the crate is gone; its layer stands in xtask/src/tidy/graph.rs".into()));
                continue;
            };
            for dependency in member.dependencies.keys() {
                if self.members.contains_key(dependency) && !beneath.contains(&dependency.as_str()) {
                    findings.push(finding(name, format!("{dependency} is not beneath {name}")));
                }
            }
        }
        findings
    }

    /// degu-wire depends on next to nothing.
    fn wire(&self) -> Vec<Finding> {
        let dependencies = self.members.get("degu-wire").map(|member| &member.dependencies).into_iter().flatten();
        dependencies
            .filter(|(name, _)| !WIRE.contains(&name.as_str()))
            .map(|(name, _)| {
                finding("degu-wire", format!("degu-wire depends on {} alone, not {name}", WIRE.join(", ")))
            })
            .collect()
    }

    /// Is there a way from one crate to another? With `optional`, through optional dependencies of our crates too.
    fn reaches(&self, from: &str, to: &str, why: &str, optional: bool) -> Option<Finding> {
        let mut came_from = BTreeMap::from([(from, None)]);
        let mut next = VecDeque::from([from]);
        while let Some(name) = next.pop_front() {
            if name == to {
                let mut way = vec![name];
                while let Some(&Some(before)) = way.last().and_then(|name| came_from.get(name)) {
                    way.push(before);
                }
                way.reverse();
                return Some(finding(from, format!("{why}: {}", way.join(" -> "))));
            }
            let dependencies = self.members.get(name).map(|member| &member.dependencies);
            for used in self.uses.get(name).into_iter().flatten() {
                let skipped = !optional && dependencies.is_some_and(|all| all.get(used) == Some(&true));
                if !skipped && !came_from.contains_key(used.as_str()) {
                    came_from.insert(used, Some(name));
                    next.push_back(used);
                }
            }
        }
        None
    }
}

fn finding(member: &str, message: String) -> Finding {
    Finding { file: format!("{member}/Cargo.toml"), line: 1, message }
}

fn string(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| format!("cargo metadata: {value} is no string").into())
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().ok_or_else(|| format!("cargo metadata: {value} is no list").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What cargo would say of these crates. A `?` behind a dependency makes it optional, a `+` one for tests.
    fn graph(crates: &[(&str, &[&str])]) -> Graph {
        let (mut packages, mut nodes, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for (name, dependencies) in crates {
            let id = format!("id {name}");
            let (mut declared, mut resolved) = (Vec::new(), Vec::new());
            for dependency in *dependencies {
                let used = dependency.trim_end_matches(['?', '+']);
                let kind = if dependency.ends_with('+') { json!("dev") } else { Value::Null };
                declared.push(json!({ "name": used, "kind": kind, "optional": dependency.ends_with('?') }));
                resolved.push(json!({ "pkg": format!("id {used}"), "dep_kinds": [{ "kind": kind }] }));
            }
            let root = format!("/w/{name}/src/lib.rs");
            let targets = json!([{ "kind": ["lib"], "src_path": root }, { "kind": ["test"], "src_path": "/w/t.rs" }]);
            packages.push(json!({ "id": id, "name": name, "dependencies": declared, "targets": targets }));
            nodes.push(json!({ "id": id, "deps": resolved }));
            if name.starts_with("degu-") {
                members.push(json!(id));
            }
        }
        let metadata = json!({
            "packages": packages, "workspace_members": members, "resolve": { "nodes": nodes }, "workspace_root": "/w",
        });
        Graph::from_json(&metadata.to_string()).unwrap()
    }

    const RIGHT: &[(&str, &[&str])] = &[
        ("degu-wire", &["bytes?", "proptest+"]),
        ("degu-tls", &["degu-wire", "rustls", "rcgen+"]),
        ("degu-client", &["degu-wire", "degu-tls?", "hyper?", "degu-misc+"]),
        ("degu-server", &["degu-wire", "degu-tls?", "degu-client?"]),
        ("degu-misc", &["degu-client", "degu-server", "degu-tls", "rcgen"]),
        ("bytes", &[]),
        ("hyper", &["http"]),
        ("http", &[]),
        ("proptest", &[]),
        ("rcgen", &[]),
        ("rustls", &[]),
        ("between", &["hyper", "rcgen"]),
    ];

    /// The findings once the crate `name` has these dependencies.
    fn with(name: &str, dependencies: &[&str]) -> Vec<String> {
        let mut crates = RIGHT.to_vec();
        let changed = crates.iter_mut().find(|(known, _)| *known == name).unwrap();
        changed.1 = dependencies;
        graph(&crates).check().iter().map(Finding::to_string).collect()
    }

    #[test]
    fn what_is_right() {
        assert_eq!(graph(RIGHT).check(), []);
        assert_eq!(graph(RIGHT).roots().next(), Some("degu-client/src/lib.rs"));
        assert_eq!(graph(RIGHT).roots().count(), 5);
    }

    #[test]
    fn each_rule() {
        let cases: [(&str, &[&str], &str); 7] = [
            ("degu-wire", &["http"], "degu-wire/Cargo.toml:1: degu-wire depends on bytes alone, not http"),
            ("degu-tls", &["degu-client"], "degu-tls/Cargo.toml:1: degu-client is not beneath degu-tls"),
            ("degu-client", &["degu-server"], "degu-client/Cargo.toml:1: degu-server is not beneath degu-client"),
            (
                "degu-client",
                &["between"],
                "degu-client/Cargo.toml:1: hyper comes with its feature only: degu-client -> between -> hyper",
            ),
            (
                "degu-server",
                &["degu-tls"],
                "degu-server/Cargo.toml:1: the server builds without TLS: degu-server -> degu-tls",
            ),
            (
                "degu-client",
                &["between?"],
                "degu-client/Cargo.toml:1: rcgen reaches only degu-misc: degu-client -> between -> rcgen",
            ),
            ("degu-tls", &["http?"], "degu-tls/Cargo.toml:1: degu-tls parses no HTTP: degu-tls -> http"),
        ];
        for (name, dependencies, expected) in cases {
            let findings = with(name, dependencies);
            assert!(findings.iter().any(|finding| finding == expected), "{expected}\nis not in {findings:#?}");
        }
    }

    #[test]
    fn a_layer_that_is_gone() {
        let findings = graph(&[("degu-wire", &[])]).check();
        assert_eq!(findings.len(), 4);
        assert!(findings[0].to_string().starts_with("degu-tls/Cargo.toml:1: the crate is gone"), "{findings:?}");
    }

    #[test]
    fn what_is_no_metadata() {
        for text in ["", "{}", r#"{"workspace_root":1}"#] {
            assert!(Graph::from_json(text).is_err(), "{text}");
        }
    }
}
