//! Answers for which file of a crate names which other: paths in the code, resolved to the file of the module that they lead to.
//!
//! Does not type-check: a path is what is written. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{Crate, Path};
use super::paths::{Named, named};

/// Files by what they are called from the workspace root, each with those that it names.
pub(super) type Arrows<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// How often a name may be passed on before the search for its file ends.
const MOST_STEPS: usize = 8;

/// What the modules of a crate pass on, and where they are.
struct Names<'a> {
    files: BTreeMap<Path, &'a str>,
    /// By module and name: the path that it was imported by.
    imports: BTreeMap<(Path, String), Path>,
}

/// Each file with those whose modules it names.
pub(super) fn arrows<'a>(of: &Crate<'a>) -> Arrows<'a> {
    let mut names = Names { files: BTreeMap::new(), imports: BTreeMap::new() };
    let mut code: Vec<(&str, Vec<Named>)> = Vec::new();
    for (module, source) in &of.modules {
        names.files.insert(module.clone(), &source.path);
        code.push((&source.path, named(module, &source.text)));
    }
    for (file, named) in &code {
        for one in named {
            // A module inside a file is found by its own path, and is that file.
            names.files.entry(one.module.clone()).or_insert(file);
            if let Some(name) = &one.imported_as {
                names.imports.entry((one.module.clone(), name.clone())).or_insert_with(|| one.path.clone());
            }
        }
    }
    let mut arrows = Arrows::new();
    for (file, named) in &code {
        let others = named.iter().filter_map(|one| names.file(&one.module, &one.path, MOST_STEPS));
        let others: BTreeSet<&str> = others.filter(|other| other != file).collect();
        arrows.insert(file, others);
    }
    arrows
}

impl<'a> Names<'a> {
    /// The file that a path leads to; nothing if it leads out of the crate.
    fn file(&self, from: &[String], path: &[String], steps: usize) -> Option<&'a str> {
        let path = self.absolute(from, path)?;
        let (at, file) = (0..=path.len()).rev().find_map(|at| Some((at, *self.files.get(path.get(..at)?)?)))?;
        let (module, rest) = path.split_at(at);
        let import = rest.first().and_then(|name| self.imports.get(&(module.to_vec(), name.clone())));
        match import.filter(|_| steps > 0) {
            Some(import) => self.file(module, import, steps - 1),
            None => Some(file),
        }
    }

    fn absolute(&self, from: &[String], path: &[String]) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let join = |base: &[String], rest: &[String]| base.iter().chain(rest).cloned().collect::<Path>();
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some(join(from, rest)),
            "super" => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                Some(join(from.get(..from.len().checked_sub(ups)?)?, path.get(ups..)?))
            }
            child if self.files.contains_key(&join(from, &[child.to_owned()])) => Some(join(from, path)),
            _ => None,
        }
    }
}
