//! Answers for the shape of a Rust file: it opens by saying what it answers for, and it is small enough to be read at once.
//!
//! Does not judge what the header says.

use super::finding::Finding;
use super::tree::Source;

/// Past this a file wants splitting along a real seam.
const MOST_LINES: usize = 600;

pub(super) fn header(source: &Source) -> Option<Finding> {
    if source.text.starts_with("//!") {
        return None;
    }
    Some(Finding::at(
        &source.path,
        1,
        "does not start with `//!`",
        "say what the file answers for, then what it deliberately does not do",
    ))
}

pub(super) fn length(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    if lines <= MOST_LINES {
        return None;
    }
    Some(Finding::at(
        &source.path,
        MOST_LINES + 1,
        "is too long",
        format!("{lines} lines, {MOST_LINES} are allowed: split it along a real seam"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    #[test]
    fn the_header_comes_first() {
        assert!(header(&source("a.rs", "//! Answers.\n")).is_none());
        assert!(header(&source("a.rs", "// Answers.\n")).is_some());
        assert!(header(&source("a.rs", "\n//! Answers.\n")).is_some());
        assert!(header(&source("a.rs", "")).is_some());
    }

    #[test]
    fn six_hundred_lines_are_enough() {
        assert!(length(&source("a.rs", &"\n".repeat(600))).is_none());
        let finding = length(&source("a.rs", &"\n".repeat(601))).unwrap();
        assert_eq!(finding.place, "a.rs:601");
    }
}
