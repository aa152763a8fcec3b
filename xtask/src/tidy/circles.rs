//! A rule about the modules of a crate: imports form no circle.
//!
//! Each folder of `src` is a graph, whose nodes are the files and folders in this folder. The file of the folder itself
//! is the node `mod.rs` (`lib.rs` in `src`). Node A points at node B if a file in A names an item that a file in B
//! defines. A circle is a set of nodes in which each node reaches all others.
//!
//! - An import is a path that begins with `crate::`, `super::` or `self::`, in a `use` or elsewhere in the code, or with
//!   the name of a module that the file declares.
//! - A path leads through re-exports to the file that defines the item. So a re-export in `lib.rs` or `mod.rs` is not an
//!   import: `lib.rs` may re-export everything, and a module may use the items that `lib.rs` re-exports. The rule
//!   does not follow a re-export that ends in `::*`, so it does not see an import through such a re-export.
//! - `mod.rs` may import from the other files of its folder, or they may use items that it defines, but not both.
//! - Tests, folders named `simulation` and comments do not count. Methods do not count, because they need no import. A
//!   macro of the crate counts as an item of `lib.rs`.
//!
//! The rule reads lines and words, and does not parse Rust. This is enough, because `cargo fmt` formats the code.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;

/// The crates that are checked: all published crates.
const CRATES: &[&str] = &["degu-wire", "degu-tls", "degu-client", "degu-server", "degu-misc"];

/// The segments of a path from the root of a crate.
type Path = Vec<String>;

/// A path in the code.
#[derive(Debug)]
struct Import {
    /// The name that a `use` gives to the path, and empty for a path elsewhere in the code.
    name: String,
    path: Path,
    /// True for a re-export.
    is_public: bool,
}

/// The imports of each module.
type Modules = BTreeMap<Path, Vec<Import>>;

/// Checks all crates. `sources` are the texts of the files, by their paths from the folder of the workspace.
pub(super) fn check(sources: &BTreeMap<String, String>) -> Vec<Finding> {
    let circles = CRATES.iter().flat_map(|name| circles(&format!("{name}/src"), sources));
    circles
        .map(|(file, nodes)| Finding {
            file,
            line: 1,
            message: format!("these import each other, so move the shared items out: {}", nodes.join(", ")),
        })
        .collect()
}

/// Finds the circles of the crate in the folder `src`. Returns the folder and the nodes of each circle.
fn circles(src: &str, sources: &BTreeMap<String, String>) -> Vec<(String, Vec<String>)> {
    let files = sources.iter().filter_map(|(file, text)| Some((module_path(src, file)?, without_tests(text))));
    let texts: BTreeMap<Path, String> = files.collect();
    let modules: Modules = texts.iter().map(|(path, text)| (path.clone(), read(path, text, &texts))).collect();

    // The graph of each folder: the nodes at which each node points.
    let mut graphs: BTreeMap<Path, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, imports) in &modules {
        let is_folder = modules.keys().any(|path| path.len() > from.len() && path.starts_with(from));
        let imports = imports.iter().filter(|import| !(import.is_public && is_folder));
        for to in imports.filter_map(|import| resolve(&modules, &[], &import.path, 0)) {
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            let node = |path: &Path| path.get(common).cloned().unwrap_or_else(|| "mod.rs".into());
            if *from != to {
                let graph = graphs.entry(from[..common].to_vec()).or_default();
                graph.entry(node(from)).or_default().insert(node(&to));
            }
        }
    }
    let folder = |path: &Path| [&[src.to_owned()], path.as_slice()].concat().join("/");
    graphs
        .iter()
        .flat_map(|(path, graph)| of_graph(graph).into_iter().map(move |nodes| (folder(path), nodes)))
        .collect()
}

/// Returns the path of the module in a file, or `None` if the file does not belong to the folder `src`, or does not count.
fn module_path(src: &str, file: &str) -> Option<Path> {
    let inside = file.strip_prefix(src)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let mut path: Path = inside.split('/').map(str::to_owned).collect();
    path.pop_if(|last| matches!(last.as_str(), "mod" | "lib"));
    (!path.iter().any(|part| matches!(part.as_str(), "tests" | "simulation"))).then_some(path)
}

/// Returns the sets of nodes that reach each other.
fn of_graph(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reaches = |from: &String, to: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(node) = next.pop() {
            next.extend(graph.get(node).into_iter().flatten().filter(|to| seen.insert(*to)));
        }
        seen.contains(to)
    };
    let circle = |node: &String| {
        let nodes = graph.keys().filter(|other| reaches(node, other) && reaches(other, node));
        nodes.cloned().collect::<Vec<_>>()
    };
    graph.keys().map(circle).filter(|nodes| nodes.len() > 1).collect()
}

/// Returns the module that defines the item at the end of a path. The path begins in the module `at`. `None`: a path leads
/// in a circle.
fn resolve(modules: &Modules, at: &[String], path: &[String], depth: usize) -> Option<Path> {
    let Some((first, rest)) = path.split_first() else { return Some(at.to_vec()) };
    let child = [at, std::slice::from_ref(first)].concat();
    if modules.contains_key(&child) {
        return resolve(modules, &child, rest, depth);
    }
    match modules.get(at)?.iter().find(|import| import.name == *first) {
        // Re-exports of each other would never end, so the depth is bounded.
        Some(import) if depth < 8 => resolve(modules, &[], &[&import.path, rest].concat(), depth + 1),
        Some(_) => None,
        None => Some(at.to_vec()),
    }
}

/// Removes comments, and items that are only compiled for tests.
fn without_tests(text: &str) -> String {
    let (mut kept, mut skipping) = (String::new(), None);
    for line in text.lines() {
        let (indent, words) = (line.len() - line.trim_start().len(), line.trim());
        if words.starts_with("//") {
            continue;
        }
        if words.starts_with("#[cfg(") && words.contains("test") && !words.contains("not(test") {
            skipping = Some(indent);
        } else if skipping == Some(indent) && !words.starts_with('#') && words.ends_with([';', '}', ',']) {
            skipping = None;
        } else if skipping.is_none() {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

/// Finds the imports in a file. `texts` has the paths of all files.
fn read(at: &Path, text: &str, texts: &BTreeMap<Path, String>) -> Vec<Import> {
    let is_child = |path: &&Path| path.len() == at.len() + 1 && path.starts_with(at);
    let children: Vec<&str> = texts.keys().filter(is_child).flat_map(|path| path.last()).map(String::as_str).collect();
    let mut imports = Vec::new();
    let mut add = |name, path: Path, is_public| {
        imports.extend(absolute(at, &path, &children).map(|path| Import { name, path, is_public }));
    };
    for statement in text.split_inclusive(';') {
        let (code, tree, is_public) = split_use(statement);
        leaves(tree).into_iter().for_each(|(name, path)| add(name, path, is_public));
        for prefix in ["crate", "super"].iter().chain(&children) {
            for start in found(code, &format!("{prefix}::")) {
                leaves(&code[start..]).into_iter().for_each(|(_, path)| add(String::new(), path, false));
            }
        }
    }
    imports
}

/// Splits a statement into the code before a `use`, and the tree of the `use`. Also returns whether the `use` is a
/// re-export.
fn split_use(statement: &str) -> (&str, &str, bool) {
    for (at, word) in statement.match_indices("use ") {
        let visibility = statement[..at].rsplit('\n').next().unwrap_or_default().trim();
        if visibility.is_empty() || visibility == "pub" || visibility.starts_with("pub(") && visibility.ends_with(')') {
            return (&statement[..at], &statement[at + word.len()..], !visibility.is_empty());
        }
    }
    (statement, "", false)
}

/// Returns the positions of `prefix` in a text. A position within a longer word or path does not count.
fn found(text: &str, prefix: &str) -> Vec<usize> {
    let within = |c: char| is_word(c) || matches!(c, '$' | ':' | '"' | '`');
    text.match_indices(prefix).map(|(at, _)| at).filter(|at| !text[..*at].ends_with(within)).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Converts a path in the module `at` to a path from the root of the crate. `None`: the path leads to another crate.
fn absolute(at: &[String], path: &[String], children: &[&str]) -> Option<Path> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([at, rest].concat()),
        "super" => {
            let parent = at.split_last().map_or(at, |(_, parent)| parent);
            absolute(parent, rest, &[]).or_else(|| Some([parent, rest].concat()))
        }
        child if children.contains(&child) => Some([at, path].concat()),
        _ => None,
    }
}

/// Returns the name and the path of every leaf of the tree with which a text begins, such as `a::{b, c::d as e}`.
fn leaves(mut text: &str) -> Vec<(String, Path)> {
    // `outer` has the length of the path before each group in which the text is.
    let (mut leaves, mut path, mut outer) = (Vec::new(), Path::new(), Vec::new());
    loop {
        if let Some(inside) = text.strip_prefix('{') {
            outer.push(path.len());
            text = inside.trim_start();
        }
        let (word, after) = split_word(text);
        if word.is_empty() {
            return leaves;
        }
        if word != "self" || path.is_empty() {
            path.push(word.to_owned());
        }
        let next = after.strip_prefix("::").filter(|next| next.starts_with(|c| is_word(c) || matches!(c, '{' | '*')));
        if let Some(next) = next {
            text = next;
            continue;
        }
        let (alias, after) = after.strip_prefix(" as ").map_or(("", after), split_word);
        let name = if alias.is_empty() { path.last().cloned().unwrap_or_default() } else { alias.to_owned() };
        leaves.push((name, path.clone()));
        text = after;
        loop {
            let Some(length) = outer.last() else { return leaves };
            path.truncate(*length);
            text = text.trim_start_matches([',', ' ', '\n']);
            let Some(after) = text.strip_prefix('}') else { break };
            outer.pop();
            text = after;
        }
    }
}

/// Splits a text after its first word. `*` is a word too.
fn split_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_word(c) && c != '*').unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources = files.iter().map(|(file, text)| (format!("c/src/{file}.rs"), (*text).to_owned())).collect();
        circles("c/src", &sources)
            .into_iter()
            .map(|(folder, nodes)| format!("{folder}: {}", nodes.join(", ")))
            .collect()
    }

    const ROOT: (&str, &str) = ("lib", "mod a;\nmod b;\npub use b::B;\npub use a::{A, self as c};\n");

    #[test]
    fn imports_one_way() {
        assert_eq!(found(&[ROOT, ("a", "use crate::B;\npub struct A;\n"), ("b", "pub struct B;\n")]), [""; 0]);
    }

    #[test]
    fn imports_through_a_re_export_in_a_group_and_inline() {
        for text in
            ["use crate::A;", "use super::{\n    a::A,\n};", "fn f() { crate::A::new() }", "use crate::c::A as D;"]
        {
            let b = format!("{text}\npub struct B;\n");
            assert_eq!(found(&[ROOT, ("a", "use crate::B;\npub struct A;\n"), ("b", &b)]), ["c/src: a, b"], "{text}");
        }
    }

    #[test]
    fn tests_and_comments_do_not_count() {
        let b = "/// crate::A\npub struct B;\n#[cfg(test)]\nmod tests {\n    use crate::A;\n}\n#[cfg(test)]\nuse crate::A;\n";
        assert_eq!(found(&[ROOT, ("a", "use crate::B;\npub struct A;\n"), ("b", b)]), [""; 0]);
    }

    #[test]
    fn a_folder_and_its_own_file() {
        let file = "mod x;\nuse x::X;\npub use x::Y;\npub struct B;\n";
        let with = |x: &str| found(&[ROOT, ("a", "pub struct A;\n"), ("b/mod", file), ("b/x", x)]);
        assert_eq!(with("use super::B;\npub struct X;\n"), ["c/src/b: mod.rs, x"]);
        assert_eq!(with("use crate::A;\npub struct X;\n"), [""; 0]);
        assert_eq!(with("use crate::A;\npub struct X;\n#[cfg(test)]\nmod tests;\n"), [""; 0]);
    }

    #[test]
    fn what_lib_defines_and_what_it_names() {
        let root = ("lib", "mod a;\nmod b;\npub use b::B;\npub const fn zero() {}\n");
        let b = ("b", "use crate::zero;\npub struct B;\n");
        assert_eq!(found(&[root, ("a", "use crate::{B, zero};\n"), b]), [""; 0]);
        let root = ("lib", "mod b;\npub const fn zero() { b::B::new() }\n");
        assert_eq!(found(&[root, b]), ["c/src: b, mod.rs"]);
    }
}
