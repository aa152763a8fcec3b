//! Rules over a Cargo.toml: what all crates share is written once, in the workspace's.
//!
//! Read line by line. The manifests are ours and plainly written; a TOML parser would be one dependency more.

use super::Finding;

/// Every version, of the crate and of its dependencies, comes from the workspace, and so do the lints.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut finding =
        |line: usize, message: String| findings.push(Finding { file: file.into(), line: line + 1, message });
    let (mut section, mut has_lints) = (String::new(), false);
    // Where a dependency with a section of its own begins, until `workspace = true` is seen.
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if let Some(header) = line.strip_prefix('[') {
            if let Some((begun, name)) = open.take() {
                finding(begun, format!("{name}: the version belongs to [workspace.dependencies]"));
            }
            section = header.trim_end_matches(']').to_owned();
            if section == "workspace" {
                // The workspace's own manifest is where all of it is written.
                return Vec::new();
            }
            let table = section.rsplit_once('.').filter(|(table, _)| is_dependencies(table));
            open = table.map(|(_, name)| (number, name.to_owned()));
            continue;
        }
        let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else { continue };
        if open.is_some() {
            if key == "workspace" && value == "true" {
                open = None;
            }
        } else if is_dependencies(&section) {
            let name = key.split('.').next().unwrap_or(key);
            if !(key.ends_with(".workspace") && value == "true" || value.contains("workspace = true")) {
                finding(number, format!("{name}: the version belongs to [workspace.dependencies]"));
            }
        } else if section == "package" && matches!(key, "version" | "edition" | "license" | "rust-version") {
            finding(number, format!("{key} comes from the workspace: {key}.workspace = true"));
        } else if section == "lints" && key == "workspace" {
            has_lints = true;
        }
    }
    if let Some((begun, name)) = open {
        finding(begun, format!("{name}: the version belongs to [workspace.dependencies]"));
    }
    if !has_lints {
        finding(0, "the lints come from the workspace: [lints] workspace = true".into());
    }
    findings
}

/// Whether the manifest of the workspace excludes the folder of `file`, which is another manifest.
pub(super) fn leaves_out(workspace: &str, file: &str) -> bool {
    let folder = file.trim_end_matches("/Cargo.toml");
    let excluded = workspace.lines().find_map(|line| line.trim().strip_prefix("exclude = ["));
    excluded.is_some_and(|list| list.split([',', ']']).any(|item| item.trim().trim_matches('"') == folder))
}

/// `dependencies`, `dev-dependencies`, `build-dependencies`, also of one target.
fn is_dependencies(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or(section);
    matches!(last, "dependencies" | "dev-dependencies" | "build-dependencies")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    fn check_all(text: &str) -> Vec<String> {
        check("a/Cargo.toml", text).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn what_is_right() {
        let text = "[package]\nname = \"a\"\nversion.workspace = true\n[dependencies]\n# why\nb.workspace = true\n\
            c = { workspace = true, features = [\n  \"x\",\n] }\n[target.'cfg(unix)'.dependencies]\nd.workspace = true\n\
            [dependencies.e]\noptional = true\nworkspace = true\n[features]\nb = []\n";
        assert_eq!(check_all(&format!("{text}{LINTS}")), [""; 0]);
        assert_eq!(check_all("[workspace]\n[workspace.dependencies]\na = \"1\""), [""; 0]);
    }

    #[test]
    fn versions_in_the_wrong_place() {
        let text = "[package]\nversion = \"1.0.0\"\n[dependencies]\nb = \"1\"\n[dev-dependencies]\nc = { version = \"1\" }\n\
            [target.'cfg(unix)'.dependencies]\nd = { path = \"../d\" }\n[dependencies.e]\nversion = \"1\"\n";
        assert_eq!(
            check_all(&format!("{text}{LINTS}")),
            [
                "a/Cargo.toml:2: version comes from the workspace: version.workspace = true",
                "a/Cargo.toml:4: b: the version belongs to [workspace.dependencies]",
                "a/Cargo.toml:6: c: the version belongs to [workspace.dependencies]",
                "a/Cargo.toml:8: d: the version belongs to [workspace.dependencies]",
                "a/Cargo.toml:9: e: the version belongs to [workspace.dependencies]",
            ]
        );
    }

    #[test]
    fn what_the_workspace_leaves_out() {
        let workspace = "[workspace]\nmembers = [\"b\"]\nexclude = [\"fuzz\", \"a/c\"]\n";
        assert!(leaves_out(workspace, "fuzz/Cargo.toml") && leaves_out(workspace, "a/c/Cargo.toml"));
        assert!(!leaves_out(workspace, "b/Cargo.toml") && !leaves_out(workspace, "a/Cargo.toml"));
        assert!(!leaves_out("[workspace]\n", "fuzz/Cargo.toml"));
    }

    #[test]
    fn no_lints() {
        assert_eq!(
            check_all("[package]\nname = \"a\"\n"),
            ["a/Cargo.toml:1: the lints come from the workspace: [lints] workspace = true"]
        );
    }
}
