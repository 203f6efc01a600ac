//! Answers for the verb `tidy`: the house rules that a machine can keep. Each rule is a function from text to findings.
//!
//! Does not repeat what rustfmt and clippy check, and mends nothing by itself.

mod codes;
mod imports;
mod links;
mod lockfile;
mod sources;
mod words;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{data, shell};

/// One place that breaks one rule.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    place: String,
    rule: &'static str,
    hint: String,
}

impl Finding {
    fn at(path: &str, line: usize, rule: &'static str, hint: impl Into<String>) -> Self {
        Self { place: format!("{path}:{line}"), rule, hint: hint.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  hint: {}", self.place, self.rule, self.hint)
    }
}

/// A text file of the tree.
pub(crate) struct Source {
    /// From the workspace root, with `/`.
    path: String,
    text: String,
}

/// Prints every finding and fails if there is one.
pub(crate) fn run() -> Result<()> {
    let root = shell::workspace_root();
    let sources = tree(&root)?;
    let mut findings: Vec<Finding> = sources.iter().flat_map(of_source).collect();
    findings.extend(codes::check(&sources));
    findings.extend(links::check(&root, &sources));
    findings.extend(imports::check(&shell::metadata()?)?);
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read `Cargo.lock`")?;
    findings.extend(lockfile::check(&lock));
    if !data::is_current()? {
        let hint = "run: cargo xtask data";
        findings.push(Finding::at("data/movies.csv", 1, "does not fit data/films.csv", hint));
    }
    none(&findings)?;
    shell::step(format!("tidy: {} files keep the house rules", sources.len()));
    Ok(())
}

/// Fails for links alone: what a writer of pages wants to know at once.
pub(crate) fn links_only() -> Result<()> {
    let root = shell::workspace_root();
    none(&links::check(&root, &tree(&root)?))
}

/// Prints findings and fails if there is one.
fn none(findings: &[Finding]) -> Result<()> {
    for finding in findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} findings"),
    }
}

fn of_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_our_rust(&source.path) {
        findings.extend(sources::header(source));
        findings.extend(sources::length(source));
        findings.extend(words::unfinished(source));
    }
    if source.path.starts_with("host/") {
        findings.extend(words::domain(source));
    }
    findings.extend(words::machine_paths(source));
    findings
}

fn is_our_rust(path: &str) -> bool {
    let rooms = ["host/", "plugins/", "tests/", "xtask/"];
    path.ends_with(".rs") && rooms.iter().any(|room| path.starts_with(room))
}

/// What git tracks or would track; binary files are left out.
fn tree(root: &Path) -> Result<Vec<Source>> {
    let listed = shell::read(
        Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root),
    )
    .context("tidy reads what git tracks, and git does not say")?;
    let mut sources = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // Deleted but not committed yet, or not text: nothing to read.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places that a rule complains about.
    pub(super) fn places(findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
        findings.into_iter().map(|it| it.place).collect()
    }

    pub(super) fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_finding_reads_as_place_rule_hint() {
        let finding = Finding::at("a/b.rs", 7, "is odd", "make it even");
        assert_eq!(finding.to_string(), "a/b.rs:7: is odd\n  hint: make it even");
    }

    #[test]
    fn rules_apply_by_room() {
        let text = "fn main() {}\n";
        assert_eq!(places(of_source(&source("host/a/build.rs", text))), ["host/a/build.rs:1"]);
        assert!(of_source(&source("examples/a.rs", text)).is_empty());
        let film = "let a_film = 1;\n";
        assert_eq!(places(of_source(&source("host/a/x.toml", film))), ["host/a/x.toml:1"]);
        assert!(of_source(&source("plugins/a/x.toml", film)).is_empty());
    }

    #[test]
    fn this_tree_is_read() {
        let sources = tree(&shell::workspace_root()).unwrap();
        assert!(sources.iter().any(|it| it.path == "xtask/src/tidy/mod.rs"));
        assert!(!sources.iter().any(|it| it.path.starts_with("target/")));
    }
}
