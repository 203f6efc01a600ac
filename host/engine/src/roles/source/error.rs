//! Why a source cannot be read, with its place and what helps.
//!
//! Does not cover a single line: that is a `BadLine` of the `Reading`.

use pipeline::plan::Percent;
use thiserror::Error;

/// Why a source cannot be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It is not written in the expected format.
    #[error("source `{location}` is not valid {format}: {reason}{}", hint_line(hint.as_deref()))]
    Malformed {
        /// The source.
        location: String,
        /// The expected format.
        format: &'static str,
        /// What was found, and where.
        reason: String,
        /// What helps.
        hint: Option<String>,
    },
    /// It lacks the column that the pipeline needs.
    #[error("source `{location}` has no column `{column}`, which {asked} names\n  hint: {hint}")]
    NoColumn {
        /// The source.
        location: String,
        /// The missing column.
        column: String,
        /// Where it is asked for.
        asked: &'static str,
        /// What helps: the one that may be meant, and the columns that there are.
        hint: String,
    },
    /// So many lines are no records that something is wrong with the whole.
    #[error(
        "source `{location}`: {bad} of {lines} {unit}s are no records, allowed are {allowed}; the first is {unit} {first}: {reason}\n  hint: {hint}"
    )]
    TooManyBad {
        /// The source.
        location: String,
        /// What is counted: lines of text, rows of a table.
        unit: &'static str,
        /// Lines that are no records.
        bad: usize,
        /// All lines but blank ones.
        lines: usize,
        /// The allowed share.
        allowed: Percent,
        /// The number of the first bad line.
        first: u64,
        /// What is wrong with it.
        reason: String,
        /// What helps.
        hint: String,
    },
}

fn hint_line(hint: Option<&str>) -> String {
    hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default()
}

/// What is wrong with a source as a whole: its records cannot be told apart, or it is something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// What was found, what was expected, and the line.
    pub(super) reason: String,
    /// What helps.
    pub(super) hint: Option<String>,
}

impl Damage {
    /// Of the whole source.
    pub(super) fn whole(reason: impl Into<String>) -> Self {
        Damage { reason: reason.into(), hint: None }
    }

    /// Of a line.
    pub(super) fn at_line(line: u64, reason: impl std::fmt::Display) -> Self {
        Damage::whole(format!("line {line}: {reason}"))
    }

    /// The same, and what helps.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Damage { hint: Some(hint.into()), ..self }
    }
}
