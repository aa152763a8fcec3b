//! A rule about the modules of a crate: imports form no circle.
//!
//! Each folder of `src` is a graph. Its nodes are the files and folders in it. The file of the folder itself is the node
//! `mod.rs` (`lib.rs` in `src`). Node A points at node B if a file in A names an item that a file in B defines. A circle is
//! a set of nodes in which each node reaches all others.
//!
//! - An import is a path that begins with `crate::`, `super::` or `self::`, in a `use` or elsewhere in the code, or with
//!   the name of a module that the file declares.
//! - A path leads through re-exports to the file that defines the item. So a re-export in `lib.rs` or `mod.rs` is not an
//!   import: `lib.rs` may re-export everything, and a module may use the items that `lib.rs` re-exports.
//! - `mod.rs` may import from the other files of its folder, or they may use items that it defines, but not both.
//! - Tests, folders named `simulation` and comments do not count. Macros and methods do not count, because they need no
//!   import.
//!
//! The rule reads lines and words, and does not parse Rust. This is enough, because `cargo fmt` formats the code.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;

/// The crates whose modules form no circles.
const CRATES: &[&str] = &["degu-wire", "degu-client", "degu-server"];

/// The segments of a path from the root of a crate.
type Path = Vec<String>;

/// A source file.
#[derive(Debug, Default)]
struct Module {
    items: BTreeSet<String>,
    /// The imports of `use`: the name (`*` for a glob), the path, and whether the import is a re-export.
    imports: Vec<(String, Path, bool)>,
    /// Paths elsewhere in the code.
    paths: Vec<Path>,
}

type Modules = BTreeMap<Path, Module>;

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
    let mut texts: BTreeMap<Path, String> = BTreeMap::new();
    for (file, text) in sources {
        let Some(inside) = file.strip_prefix(src).and_then(|rest| rest.strip_prefix('/')?.strip_suffix(".rs")) else {
            continue;
        };
        let mut path: Path = inside.split('/').map(str::to_owned).collect();
        if path.iter().any(|part| matches!(part.as_str(), "tests" | "simulation")) {
            continue;
        }
        path.pop_if(|last| matches!(last.as_str(), "mod" | "lib"));
        texts.insert(path, without_tests(text));
    }
    let known: BTreeSet<Path> = texts.keys().cloned().collect();
    let modules: Modules = texts.iter().map(|(path, text)| (path.clone(), read(path, text, &known))).collect();

    // The graph of each folder: the nodes at which each node points.
    let mut graphs: BTreeMap<Path, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, module) in &modules {
        let is_folder = modules.keys().any(|path| path.len() > from.len() && path.starts_with(from));
        let imported = module.imports.iter().filter(|(_, _, public)| !(*public && is_folder)).map(|(_, path, _)| path);
        for to in imported.chain(&module.paths).filter_map(|path| resolve(&modules, &[], path, 0)) {
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

/// Returns the sets of nodes that reach each other.
fn of_graph(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(node) = next.pop() {
            next.extend(graph.get(node).into_iter().flatten().filter(|to| seen.insert((*to).clone())));
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|node| (node, reached(node))).collect();
    let circle = |node: &&String| {
        let back = |other: &&String| reached.get(*other).is_some_and(|reached| reached.contains(*node));
        reached[*node].iter().filter(back).cloned().collect::<Vec<_>>()
    };
    let circles: BTreeSet<Vec<String>> =
        graph.keys().map(|node| circle(&node)).filter(|nodes| nodes.len() > 1).collect();
    circles.into_iter().collect()
}

/// Returns the module that defines the item at the end of a path. The path begins in the module `at`. `None`: the item is
/// not in this crate.
fn resolve(modules: &Modules, at: &[String], path: &[String], depth: usize) -> Option<Path> {
    let module = modules.get(at)?;
    let Some((first, rest)) = path.split_first() else { return Some(at.to_vec()) };
    let child = [at, std::slice::from_ref(first)].concat();
    if modules.contains_key(&child) {
        return resolve(modules, &child, rest, depth);
    }
    if module.items.contains(first) || first == "*" {
        return Some(at.to_vec());
    }
    // Re-exports of each other would never end, so the depth is bounded.
    let through = |target: &Path| if depth < 8 { resolve(modules, &[], target, depth + 1) } else { None };
    let named = module.imports.iter().find(|(name, _, _)| name == first);
    if let Some((_, target, _)) = named {
        return through(&[target, rest].concat());
    }
    let globs = module.imports.iter().filter(|(name, _, _)| name == "*");
    let through_glob = globs.filter_map(|(_, target, _)| through(&[&target[..target.len() - 1], path].concat())).next();
    // An item that is not found may come from a macro of the module.
    through_glob.or((!at.is_empty()).then(|| at.to_vec()))
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

/// Finds the items, imports and paths in a file.
fn read(at: &Path, text: &str, known: &BTreeSet<Path>) -> Module {
    let mut module = Module::default();
    module.items.extend(text.lines().filter_map(item).map(str::to_owned));
    let children: Vec<&String> = known
        .iter()
        .filter(|path| path.len() == at.len() + 1 && path.starts_with(at))
        .filter_map(|path| path.last())
        .collect();
    let mut rest = text;
    while let Some(line) = rest.lines().next() {
        let words = line.trim_start();
        let visible = words.strip_prefix("pub").map(|after| match after.strip_prefix('(') {
            Some(within) => within.split_once(')').map_or("", |(_, after)| after),
            None => after,
        });
        if !visible.unwrap_or(words).trim_start().starts_with("use ") {
            let starts = |prefix: &str| found(line, prefix).map(|at| &line[at..]).collect::<Vec<_>>();
            let prefixes = ["crate", "super"].into_iter().chain(children.iter().map(|child| child.as_str()));
            for path in prefixes.flat_map(|prefix| starts(&format!("{prefix}::"))) {
                tree_of(path, &Vec::new(), &mut |_, path| module.paths.extend(absolute(at, &path, &children)));
            }
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        };
        // The statement may have several lines.
        let (statement, after) = rest.split_once(';').unwrap_or((rest, ""));
        let tree = statement.split_once("use ").map_or("", |(_, tree)| tree);
        tree_of(tree, &Vec::new(), &mut |name, path| {
            module.imports.extend(absolute(at, &path, &children).map(|path| (name, path, visible.is_some())));
        });
        rest = after.split_once('\n').map_or("", |(_, rest)| rest);
    }
    module
}

/// Returns the name of the item that a line defines.
fn item(line: &str) -> Option<&str> {
    let mut words =
        line.trim_start().split(' ').skip_while(|word| word.starts_with("pub") || matches!(*word, "unsafe" | "async"));
    let kind = words.next()?;
    let mut name = words.next()?;
    match kind {
        "struct" | "enum" | "trait" | "type" | "union" => {}
        // With an indent, these are in an implementation, and are no items of the module.
        "fn" | "const" | "static" if !line.starts_with(' ') => {
            while matches!(name, "fn" | "unsafe" | "async" | "mut") {
                name = words.next()?;
            }
        }
        _ => return None,
    }
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Returns the positions of `prefix` in a line. A position within a longer word or path does not count.
fn found<'l>(line: &'l str, prefix: &'l str) -> impl Iterator<Item = usize> + 'l {
    let alone =
        |at: &usize| !line[..*at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | ':' | '"' | '`'));
    line.match_indices(prefix).map(|(at, _)| at).filter(alone)
}

/// Converts a path in the module `at` to a path from the root of the crate. `None`: the path leads to another crate.
fn absolute(at: &Path, path: &[String], children: &[&String]) -> Option<Path> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([at, rest].concat()),
        "super" => {
            let parent = at.split_last().map_or(at.as_slice(), |(_, parent)| parent).to_vec();
            if rest.first().is_some_and(|next| next == "super") {
                absolute(&parent, rest, &[])
            } else {
                Some([parent.as_slice(), rest].concat())
            }
        }
        child if children.iter().any(|known| *known == child) => Some([at.as_slice(), path].concat()),
        _ => None,
    }
}

/// Calls `each` with the name and the path of every leaf of a tree such as `a::{b, c::d as e}`. Returns the text after the
/// tree.
fn tree_of<'t>(text: &'t str, prefix: &Path, each: &mut dyn FnMut(String, Path)) -> &'t str {
    let text = text.trim_start();
    if let Some(mut inside) = text.strip_prefix('{') {
        while !inside.trim_start().is_empty() && !inside.trim_start().starts_with('}') {
            inside = tree_of(inside, prefix, each).trim_start().trim_start_matches(',');
        }
        return inside.trim_start().strip_prefix('}').unwrap_or("");
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() {
        // Skips a character that is not part of a tree.
        return text.split_at(text.chars().next().map_or(0, char::len_utf8)).1;
    }
    let mut path = prefix.clone();
    if word != "self" || path.is_empty() {
        path.push(word.to_owned());
    }
    match rest
        .strip_prefix("::")
        .filter(|more| more.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '{' | '*')))
    {
        Some(more) => tree_of(more, &path, each),
        None => {
            let (alias, rest) = rest.strip_prefix(" as ").map_or((None, rest), |more| {
                let end = more.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(more.len());
                (Some(&more[..end]), &more[end..])
            });
            let name = alias.or(path.last().map(String::as_str)).unwrap_or_default().to_owned();
            each(name, path);
            rest
        }
    }
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
