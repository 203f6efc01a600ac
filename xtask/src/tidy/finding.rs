//! Answers for a finding: the place, the rule that it breaks, and what to do.
//!
//! Does not look for any.

use std::fmt;

/// One place that breaks one rule.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) place: String,
    pub(super) rule: &'static str,
    pub(super) hint: String,
}

impl Finding {
    pub(super) fn at(path: &str, line: usize, rule: &'static str, hint: impl Into<String>) -> Self {
        Self { place: format!("{path}:{line}"), rule, hint: hint.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  hint: {}", self.place, self.rule, self.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_place_rule_hint() {
        let finding = Finding::at("a/b.rs", 7, "is odd", "make it even");
        assert_eq!(finding.to_string(), "a/b.rs:7: is odd\n  hint: make it even");
    }
}
