//! Answers for codes such as P and three digits: each that the host can say is explained, and some test sees it.
//!
//! Does not read what a test does with it: that a file of tests has the code in it must do.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::tree::Source;

/// Where codes are explained.
const EXPLAINED: &str = "host/engine/src/codes.rs";

/// Findings over the whole tree.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let of = |wanted: &dyn Fn(&Source) -> bool| -> BTreeSet<String> {
        sources.iter().filter(|source| wanted(source)).flat_map(|source| codes(&source.text)).collect()
    };
    let explained = of(&|source| source.path == EXPLAINED);
    let said = of(&|source| is_host(&source.path) && source.path != EXPLAINED);
    let tested: BTreeSet<String> = sources.iter().flat_map(|source| codes(tests_of(source))).collect();
    let finding = |rule, code: &String, hint: &str| Finding::at(EXPLAINED, 1, rule, format!("`{code}`: {hint}"));
    let mut findings = Vec::new();
    for code in said.difference(&explained) {
        findings.push(finding("leaves a code unexplained", code, "say what it means, what follows, and what to do"));
    }
    for code in explained.difference(&said) {
        findings.push(finding("explains a code that nothing says", code, "take it out"));
    }
    for code in said.difference(&tested) {
        findings.push(finding("has a code that no test sees", code, "write a test that reaches it"));
    }
    findings
}

fn is_host(path: &str) -> bool {
    path.starts_with("host/")
        && path.contains("/src/")
        && !path.starts_with("host/testkit/")
        && !path.ends_with("tests.rs")
}

/// The tests of a file: all of it, or the part after the mark.
fn tests_of(source: &Source) -> &str {
    let path = source.path.as_str();
    if path == EXPLAINED || !path.ends_with(".rs") {
        return "";
    }
    if path.contains("tests/") || path.ends_with("tests.rs") {
        return &source.text;
    }
    source.text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests)
}

/// The codes of plugins, records and stores in a text.
fn codes(text: &str) -> impl Iterator<Item = String> + '_ {
    let starts = text.match_indices(['P', 'R', 'S']).map(|(at, _)| at);
    starts.filter_map(|at| {
        let code = text.get(at..at + 4)?;
        let digits = code.get(1..).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        let around = |index: Option<usize>| index.and_then(|index| text.as_bytes().get(index)).copied();
        let alone = |byte: Option<u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
        (digits && alone(around(at.checked_sub(1))) && alone(around(Some(at + 4)))).then(|| code.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn codes_are_found_alone() {
        let found: Vec<String> = codes("[P104] \"R001\" XP105 P1066 SP107").collect();
        assert_eq!(found, ["P104", "R001"]);
    }

    #[test]
    fn a_code_must_be_explained_said_and_tested() {
        let explained = source(EXPLAINED, "\"P101\" \"P102\"");
        let host = source("host/runtime/src/fault.rs", "\"P101\" \"P103\"");
        let test = source("host/runtime/tests/a.rs", "\"P101\"");
        let told: Vec<String> = check(&[explained, host, test]).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("P103") && told[0].contains("unexplained"), "{told:?}");
        assert!(told[1].contains("P102") && told[1].contains("nothing says"), "{told:?}");
        assert!(told[2].contains("P103") && told[2].contains("no test"), "{told:?}");
    }
}
