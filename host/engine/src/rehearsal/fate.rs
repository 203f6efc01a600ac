//! What comes out of one input of a plugin, in words.
//!
//! Does not call a plugin, and does not compare.

use std::fmt;

use arrow::array::RecordBatch;

/// What comes out of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// A document.
    Document(String),
    /// Rows.
    Rows(RecordBatch),
    /// Nothing, rightly.
    Skipped(String),
    /// A refusal in the plugin's words, or the host's for a field that does not fit.
    Refused(String),
    /// A fault, with its code.
    Broke(&'static str, String),
    /// It is not known: an answer that the plugin asks for is not kept.
    Unknown,
}

impl Fate {
    /// Whether the plugin is to blame for it.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Fate::Refused(_) | Fate::Broke(..))
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Document(_) => f.write_str("a document"),
            Fate::Rows(rows) if rows.num_rows() == 1 => f.write_str("a row"),
            Fate::Rows(rows) => write!(f, "{} rows", rows.num_rows()),
            Fate::Skipped(reason) => write!(f, "skipped ({reason})"),
            Fate::Refused(reason) => write!(f, "refused ({reason})"),
            Fate::Broke(code, reason) => write!(f, "broken [{code}] ({reason})"),
            Fate::Unknown => f.write_str("unknown, for an answer is not kept"),
        }
    }
}
