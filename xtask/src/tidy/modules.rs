//! Answers for the crates of the tree and their modules: which file holds which module.
//!
//! Does not read what is in a file. Files of integration tests, of examples and of benchmarks are no modules of a crate.

use std::collections::BTreeMap;

use super::tree::Source;

/// A module from the crate's root: `["queue", "batches"]`.
pub(super) type Path = Vec<String>;

/// A crate of ours.
pub(super) struct Crate<'a> {
    /// Its folder from the workspace root.
    pub(super) room: &'a str,
    /// Its name in other crates' code.
    pub(super) name: String,
    /// Its modules that have a file of their own.
    pub(super) modules: BTreeMap<Path, &'a Source>,
}

/// The crates of the tree.
pub(super) fn crates(sources: &[Source]) -> Vec<Crate<'_>> {
    let manifests = sources.iter().filter_map(|source| {
        let room = source.path.strip_suffix("/Cargo.toml")?;
        Some((room, name(&source.text)?))
    });
    manifests.map(|(room, name)| Crate { room, name, modules: modules(sources, room) }).collect()
}

fn name(manifest: &str) -> Option<String> {
    let line = manifest.lines().find_map(|line| line.strip_prefix("name = \""))?;
    Some(line.trim_end_matches('"').replace('-', "_"))
}

fn modules<'a>(sources: &'a [Source], room: &str) -> BTreeMap<Path, &'a Source> {
    let mut modules = BTreeMap::new();
    for source in sources {
        let inside = source.path.strip_prefix(room).and_then(|rest| rest.strip_prefix("/src/"));
        if let Some(path) = inside.and_then(module) {
            let program = source.path.ends_with("/src/main.rs");
            // A program beside a library is a crate of its own that needs the library.
            if !program || !modules.contains_key(&path) {
                modules.insert(path, source);
            }
        }
    }
    modules
}

/// The module of a file in `src`.
fn module(file: &str) -> Option<Path> {
    let mut path: Path = file.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    if path.first().is_some_and(|first| first == "bin") {
        return None;
    }
    if path.last().is_some_and(|last| last == "mod") || matches!(file, "lib.rs" | "main.rs") {
        path.pop();
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    #[test]
    fn a_crate_is_its_manifest_and_its_files() {
        let sources = [
            source("host/a/Cargo.toml", "[package]\nname = \"a-b\"\n"),
            source("host/a/src/lib.rs", "library"),
            source("host/a/src/main.rs", "program"),
            source("host/a/src/x.rs", ""),
            source("host/a/src/x/y.rs", ""),
            source("host/a/src/z/mod.rs", ""),
            source("host/a/src/bin/p.rs", ""),
            source("host/a/tests/t.rs", ""),
        ];
        let crates = crates(&sources);
        assert_eq!((crates[0].room, crates[0].name.as_str()), ("host/a", "a_b"));
        let paths: Vec<String> = crates[0].modules.keys().map(|path| path.join("::")).collect();
        assert_eq!(paths, ["", "x", "x::y", "z"]);
        assert_eq!(crates[0].modules[&Vec::new()].text, "library");
    }
}
