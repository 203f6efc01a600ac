//! Answers for words in places where they may not be: the demo's domain in the host, unfinished work, one machine's folders.
//!
//! Does not parse Rust: it reads lines. The words are put together from halves here, so that this file does not find itself.

use super::finding::Finding;
use super::tree::Source;

/// The host serves any pipeline; only examples in its documentation may name this one.
const DOMAIN: [&str; 3] = [concat!("mo", "vie"), concat!("fi", "lm"), concat!("om", "db")];

const UNFINISHED: [&str; 3] = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("#[ig", "nore")];

/// Folders that exist only on one author's machine.
const FOLDERS: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/t", "mp/"),
    concat!("/var/fol", "ders/"),
];

pub(super) fn domain(source: &Source) -> Vec<Finding> {
    let mut in_example = false;
    let mut findings = Vec::new();
    for (number, line) in numbered(&source.text) {
        let comment = line.trim_start();
        let comment = comment.strip_prefix("///").or_else(|| comment.strip_prefix("//!"));
        match comment {
            None => in_example = false,
            Some(text) if text.trim_start().starts_with("```") => in_example = !in_example,
            Some(_) => {}
        }
        let lower = line.to_lowercase();
        for word in DOMAIN.iter().filter(|word| !in_example && lower.contains(**word)) {
            findings.push(Finding::at(
                &source.path,
                number,
                "the host knows no domain",
                format!("`{word}` belongs to plugins/, data/ and tests/: take another example"),
            ));
        }
    }
    findings
}

pub(super) fn unfinished(source: &Source) -> Vec<Finding> {
    found(source, &UNFINISHED, |line, word| {
        line.contains(word).then(|| format!("`{word}`: finish it, or file an issue and remove it"))
    })
    .map(|(line, hint)| Finding::at(&source.path, line, "is unfinished", hint))
    .collect()
}

pub(super) fn machine_paths(source: &Source) -> Vec<Finding> {
    found(source, &FOLDERS, |line, folder| {
        is_absolute(line, folder)
            .then(|| format!("`{folder}…`: use a relative path, the environment or a temporary folder made for it"))
    })
    .map(|(line, hint)| Finding::at(&source.path, line, "names a folder of one machine", hint))
    .collect()
}

/// Whether `folder` is at the start of a path: after a longer path, a URL or a variable it is something else.
fn is_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|letter| letter.is_alphanumeric() || "._-}~*$/".contains(letter))
    })
}

fn found(
    source: &Source,
    words: &'static [&'static str],
    judge: impl Fn(&str, &str) -> Option<String>,
) -> impl Iterator<Item = (usize, String)> {
    numbered(&source.text).flat_map(move |(number, line)| {
        words.iter().filter_map(|word| judge(line, word).map(|hint| (number, hint))).collect::<Vec<_>>()
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, source};
    use super::*;

    #[test]
    fn the_host_may_speak_of_the_domain_in_doc_examples_only() {
        let word = DOMAIN[0];
        let text = format!(
            "//! A {word} in prose.\n//! ```toml\n//! name = \"{word}s\"\n//! ```\n//! {word}\nfn a() {{}}\n\
             /// ```\n/// {word}();\n/// ```\nlet {} = 1;\n",
            word.to_uppercase()
        );
        assert_eq!(places(domain(&source("host/a.rs", &text))), ["host/a.rs:1", "host/a.rs:5", "host/a.rs:10"]);
    }

    #[test]
    fn an_example_ends_with_its_comment() {
        let text = format!("/// ```\n/// open\nfn {}() {{}}\n", DOMAIN[1]);
        assert_eq!(places(domain(&source("host/a.rs", &text))), ["host/a.rs:3"]);
    }

    #[test]
    fn unfinished_work_is_found() {
        let text = format!("fn a() {{ {}() }}\n\n{}]\nfn b() {{}}\n", UNFINISHED[0], UNFINISHED[2]);
        assert_eq!(places(unfinished(&source("a.rs", &text))), ["a.rs:1", "a.rs:3"]);
    }

    #[test]
    fn absolute_folders_are_found_and_relative_ones_are_not() {
        let temporary = FOLDERS[3];
        for bad in [format!("at {temporary}x"), format!("\"{temporary}\""), format!("={}me/x", FOLDERS[0])] {
            assert_eq!(places(machine_paths(&source("a.md", &bad))), ["a.md:1"], "{bad}");
        }
        for good in [
            format!("target{temporary}x"),
            format!("$DIR{temporary}x"),
            format!("${{DIR}}{temporary}x"),
            format!("https://example.org{temporary}x"),
            format!("..{temporary}x"),
        ] {
            assert!(machine_paths(&source("a.md", &good)).is_empty(), "{good}");
        }
    }
}
