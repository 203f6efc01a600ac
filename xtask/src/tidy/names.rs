//! Answers for names of our own modules in comments, written in backticks as a path: what they name exists.
//!
//! A name is looked for down to its module, and what stands behind that must be a word of the module's file. Does not know more of it: rustdoc
//! checks the links of public documentation, and this the rest. Where a crate has a module or a dependency of another
//! crate's name nothing is said.

use super::finding::Finding;
use super::modules::{Crate, Path};
use super::tree::Source;

/// Findings over the comments of all crates and over the pages beside them.
pub(super) fn check(crates: &[Crate<'_>], sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let page = source.path.ends_with(".md");
        if !page && !source.path.ends_with(".rs") {
            continue;
        }
        let own = crates.iter().filter(|it| in_room(it, &source.path)).max_by_key(|it| it.room.len());
        for (index, line) in source.text.lines().enumerate() {
            let comment = if page { Some(line) } else { line.trim_start().strip_prefix("//") };
            for name in comment.into_iter().flat_map(names) {
                if let Some(hint) = wrong(crates, own, &name) {
                    findings.push(Finding::at(&source.path, index + 1, "names what is not there", hint));
                }
            }
        }
    }
    findings
}

fn in_room(of: &Crate<'_>, path: &str) -> bool {
    path.strip_prefix(of.room).is_some_and(|rest| rest.starts_with('/'))
}

/// The paths in backticks.
fn names(comment: &str) -> impl Iterator<Item = Path> + '_ {
    comment.split('`').skip(1).step_by(2).filter_map(|code| {
        let code = code.trim_end_matches("()").trim_end_matches('!');
        let path: Path = code.split("::").map(str::to_owned).collect();
        let is_word = |word: &String| {
            let plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            plain && !word.is_empty()
        };
        (path.len() > 1 && path.iter().all(is_word)).then_some(path)
    })
}

/// The problem with a path; nothing if it is right or not ours.
fn wrong(crates: &[Crate<'_>], own: Option<&Crate<'_>>, path: &[String]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let of = if first == "crate" {
        own?
    } else {
        let nearer = |it: &&Crate<'_>| it.modules.keys().any(|module| module.last() == Some(first));
        if own.filter(nearer).is_some() {
            return None;
        }
        crates.iter().find(|it| it.name == *first)?
    };
    let depth =
        (0..=rest.len()).rev().find(|depth| rest.get(..*depth).is_some_and(|it| of.modules.contains_key(it)))?;
    let (module, behind) = rest.split_at(depth);
    let file = of.modules.get(module)?;
    let name = behind.first()?;
    // A comment would prove itself.
    let code = file.text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut words = code.flat_map(|line| line.split(|letter: char| !letter.is_alphanumeric() && letter != '_'));
    let has = words.any(|word| word == name);
    (!has).then(|| format!("`{}`: {} has no `{name}`", path.join("::"), file.path))
}

#[cfg(test)]
mod tests {
    use super::super::modules::crates;
    use super::super::tests::{places, source};
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let sources = [
            source("host/a/Cargo.toml", "name = \"a\"\n"),
            source("host/a/src/lib.rs", "pub mod x; pub use x::Thing;"),
            source("host/a/src/x.rs", "pub struct Thing; pub fn make() {}"),
            source("host/b/Cargo.toml", "name = \"b\"\n"),
            source("host/b/src/lib.rs", text),
            source("host/b/src/c.rs", ""),
        ];
        places(check(&crates(&sources), &sources))
    }

    #[test]
    fn what_is_there_is_no_finding() {
        let text =
            "//! `a::x`, [`a::x::Thing`], `a::Thing::new()`, `crate::c`, `std::fs`, `a::*`, `c::no`.\npub mod c;\n";
        assert_eq!(found(text), [""; 0]);
    }

    #[test]
    fn what_is_gone_is_one() {
        assert_eq!(
            found("//! `a::y`\n\n/// [`a::x::Other`]\n// `crate::d::e`\nlet x = \"`a::y`\";\n"),
            ["host/b/src/lib.rs:1", "host/b/src/lib.rs:3", "host/b/src/lib.rs:4"]
        );
    }
}
