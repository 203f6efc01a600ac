//! Answers for circles of files inside a crate: none, so that each file can be read with those that it needs, and without the rest.
//!
//! An arrow goes from a file to each file of its crate whose module its code names: by `use`, or by a path that begins with `crate`, `self`,
//! `super` or a child module. A name that a module only imports or passes on leads to the file that defines it, so that a parent
//! may name its children's types for others. Neither `mod child;` nor a comment nor a test is an arrow.
//!
//! Does not see what a macro makes of a string (`with = "…"`), nor what comes through `use …::*`: such a name belongs to the module
//! with the star. A macro belongs to the file in which it is written.

use std::collections::{BTreeMap, BTreeSet};

use super::arrows::{Arrows, arrows};
use super::finding::Finding;
use super::modules::Crate;

/// Findings for one crate, one for each circle.
pub(super) fn check(of: &Crate<'_>) -> Vec<Finding> {
    let arrows = arrows(of);
    circles(&arrows).iter().map(|circle| finding(circle, &arrows)).collect()
}

/// The largest sets of files in which each reaches each.
fn circles<'a>(arrows: &Arrows<'a>) -> Vec<BTreeSet<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|file| (*file, reach(arrows, file))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (file, others) in &reached {
        let back = |other: &&&str| reached.get(**other).is_some_and(|its| its.contains(file));
        let circle: BTreeSet<&str> = others.iter().filter(back).copied().collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn reach<'a>(arrows: &Arrows<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = vec![from];
    while let Some(file) = next.pop() {
        for other in arrows.get(file).into_iter().flatten() {
            if reached.insert(*other) {
                next.push(other);
            }
        }
    }
    reached
}

fn finding(circle: &BTreeSet<&str>, arrows: &Arrows<'_>) -> Finding {
    let mut hint = String::from("move what several of them need into a file of its own, below them");
    for file in circle {
        let needs = arrows.get(file).into_iter().flatten().filter(|other| circle.contains(*other));
        let needs: Vec<&str> = needs.copied().collect();
        hint.push_str(&format!("\n    {file} needs {}", needs.join(", ")));
    }
    Finding::at(circle.first().copied().unwrap_or_default(), 1, "is in a circle of files", hint)
}

#[cfg(test)]
mod tests {
    use super::super::modules::crates;
    use super::super::tests::{places, source};
    use super::super::tree::Source;
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Finding> {
        let mut sources: Vec<Source> =
            files.iter().map(|(path, text)| source(&format!("host/a/src/{path}"), text)).collect();
        sources.push(source("host/a/Cargo.toml", "name = \"a\"\n"));
        crates(&sources).iter().flat_map(check).collect()
    }

    #[test]
    fn a_parent_that_calls_a_child_that_uses_the_parent_s_type() {
        let parent = ("store.rs", "mod read;\npub struct Key;\npub fn all() { read::one(&Key) }\n");
        let findings = found(&[("lib.rs", "pub mod store;"), parent, ("store/read.rs", "use super::Key;")]);
        let hint = "move what several of them need into a file of its own, below them\
                    \n    host/a/src/store.rs needs host/a/src/store/read.rs\
                    \n    host/a/src/store/read.rs needs host/a/src/store.rs";
        assert_eq!(findings.first().map(|it| it.hint.as_str()), Some(hint));
        assert_eq!(places(findings), ["host/a/src/store.rs:1"]);
    }

    #[test]
    fn a_name_that_a_parent_passes_on_is_no_circle() {
        let parent = ("lib.rs", "mod key; mod read; pub use key::Key; pub fn all() { read::one() }\n");
        let child = ("read.rs", "use super::Key; fn f(_: super::Key, _: crate::Key) {}");
        assert_eq!(found(&[parent, ("key.rs", "pub struct Key;"), child]), []);
        let renamed = ("lib.rs", "mod key; mod read; use key::Key as Name; fn all() { read::one() }\n");
        assert_eq!(found(&[renamed, ("key.rs", ""), ("read.rs", "use super::Name;")]), []);
    }

    #[test]
    fn a_circle_goes_through_many_files() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "fn f() { crate::b::f() }"),
            ("b.rs", "macro_rules! m { () => { $crate::c::f() } }"),
            ("c.rs", "use crate::{b::{self, g}, a::f as other};"),
        ];
        let findings = found(&files);
        assert!(
            findings.iter().all(|it| it.hint.contains("c.rs needs host/a/src/a.rs, host/a/src/b.rs")),
            "{findings:?}"
        );
        assert_eq!(places(findings), ["host/a/src/a.rs:1"]);
    }

    #[test]
    fn tests_comments_and_strings_do_not_count() {
        let parent = ("lib.rs", "mod a; mod tests; pub struct X; pub fn all() { a::f() }\n");
        let child = "// super::X\n/// [`super::X`]\nfn f() { \"super::X\"; 'a'; r#\"crate::X\"#; }\npub(in crate::x) fn g() {}\n\
                     #[cfg(test)]\nuse super::X as Y;\n#[cfg(test)]\n#[allow(x)]\nmod tests { use crate::X; }\n";
        assert_eq!(found(&[parent, ("a.rs", child), ("tests.rs", "#![cfg(test)]\nuse crate::a;")]), []);
    }

    #[test]
    fn an_exported_macro_is_where_it_is_written() {
        let child = "#[macro_export]\nmacro_rules! make { () => { $crate::make!(1) } }";
        assert_eq!(found(&[("lib.rs", "mod a; pub use a::X;"), ("a.rs", child)]), []);
    }

    #[test]
    fn a_crate_is_no_module_of_its_name() {
        let parent = ("lib.rs", "mod a; use ::a::X; fn f(_: ::a::Y) {}");
        assert_eq!(found(&[parent, ("a.rs", "use super::X;")]), []);
    }

    #[test]
    fn a_module_inside_a_file_counts_as_the_file() {
        let parent = ("lib.rs", "mod a; pub mod names { pub use super::a::f; pub struct Own; }\n");
        assert_eq!(found(&[parent, ("a.rs", "mod x { use super::g; }")]), []);
        let findings = found(&[parent, ("a.rs", "use crate::names::Own;")]);
        assert_eq!(places(findings), ["host/a/src/a.rs:1"]);
    }
}
