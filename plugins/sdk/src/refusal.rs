//! A plugin's own "no" for one record: its words, for the operator who will read them.
//!
//! Not here: plugins that break. A panic is a trap, which the host tells apart from a refusal.

use std::fmt;

/// Why a record makes no output.
///
/// With `Result<_, Refusal>` the rules can use `?`: a `String` or `&str` that comes up through it is
/// a reason to reject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The record rightly has no output: it is counted and left.
    Skip(String),
    /// The record is at fault, or the plugin cannot cope with it: it is quarantined with this reason,
    /// from where it can be replayed.
    Reject(String),
}

impl Refusal {
    /// The record rightly has no output.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::Skip(reason.into())
    }

    /// The record is to be quarantined. A good reason names the field, what was expected and what
    /// was found.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject(reason.into())
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Reject(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Reject(reason.to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip(reason) => write!(f, "skipped: {reason}"),
            Self::Reject(reason) => write!(f, "rejected: {reason}"),
        }
    }
}

impl std::error::Error for Refusal {}
