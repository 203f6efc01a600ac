//! Answers for the verb `tidy`: the house rules that a machine can keep. Each rule is a function from text to findings.
//!
//! Does not repeat what rustfmt and clippy check, and mends nothing by itself.

mod arrows;
mod circles;
mod codes;
mod finding;
mod imports;
mod invariants;
mod links;
mod lockfile;
mod modules;
mod names;
mod paths;
mod plain;
mod sources;
mod strangers;
mod tree;
mod words;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{data, shell};
use finding::Finding;
use tree::Source;

/// Prints every finding and fails if there is one.
pub(crate) fn run() -> Result<()> {
    let root = shell::workspace_root();
    let sources = tree::read(&root)?;
    let mut findings: Vec<Finding> = sources.iter().flat_map(of_source).collect();
    findings.extend(codes::check(&sources));
    findings.extend(links::check(&root, &sources));
    findings.extend(invariants::check(&sources));
    let crates = modules::crates(&sources);
    findings.extend(crates.iter().flat_map(circles::check));
    findings.extend(names::check(&crates, &sources));
    findings.extend(imports::check(&shell::metadata()?)?);
    findings.extend(strangers::check(&shell::resolved()?));
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

/// Fails for links alone, for a writer of pages who wants a quick check.
pub(crate) fn links_only() -> Result<()> {
    let root = shell::workspace_root();
    none(&links::check(&root, &tree::read(&root)?))
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
    findings.extend(plain::check(source));
    findings
}

fn is_our_rust(path: &str) -> bool {
    let rooms = ["host/", "plugins/", "tests/", "xtask/"];
    path.ends_with(".rs") && rooms.iter().any(|room| path.starts_with(room))
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
    fn rules_apply_by_room() {
        let text = "fn main() {}\n";
        assert_eq!(places(of_source(&source("host/a/build.rs", text))), ["host/a/build.rs:1"]);
        assert!(of_source(&source("examples/a.rs", text)).is_empty());
        let film = "let a_film = 1;\n";
        assert_eq!(places(of_source(&source("host/a/x.toml", film))), ["host/a/x.toml:1"]);
        assert!(of_source(&source("plugins/a/x.toml", film)).is_empty());
    }
}
