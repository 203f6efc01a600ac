//! A version of Silver by number and table: a table that was removed and made again counts its versions from the start.
//!
//! Does not say which of two tables is there now: the log of Silver does.

use serde::{Deserialize, Serialize};

/// A version of a Silver table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilverVersion {
    /// The table's own id. None if an earlier version of the program wrote the number alone. Such a number counts for the current table if
    /// that table has reached it, and else for a table that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The number, from 0.
    pub number: i64,
}

impl SilverVersion {
    /// Whether it is a version of the table whose newest version is `newest`.
    #[must_use]
    pub fn is_of(&self, newest: &SilverVersion) -> bool {
        match (&self.table, &newest.table) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.number <= newest.number,
        }
    }

    /// Whether what was made from this holds for `wanted`: a version of the same table, and not an older one.
    #[must_use]
    pub fn holds_for(&self, wanted: &SilverVersion, newest: &SilverVersion) -> bool {
        self.is_of(newest) && self.number >= wanted.number
    }
}

/// A number alone.
impl From<i64> for SilverVersion {
    fn from(number: i64) -> Self {
        SilverVersion { table: None, number }
    }
}

impl std::fmt::Display for SilverVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(table: &str, number: i64) -> SilverVersion {
        SilverVersion { table: Some(table.to_owned()), number }
    }

    #[test]
    fn numbers_of_two_tables_are_never_compared() {
        assert!(of("a", 3).is_of(&of("a", 1)) && !of("a", 3).is_of(&of("b", 9)));
        assert!(of("a", 3).holds_for(&of("a", 3), &of("a", 4)) && !of("a", 2).holds_for(&of("a", 3), &of("a", 4)));
        assert!(!of("a", 30).holds_for(&of("b", 3), &of("b", 4)));
    }

    #[test]
    fn a_number_alone_is_of_the_table_that_has_come_so_far() {
        assert!(SilverVersion::from(4).is_of(&of("a", 4)) && !SilverVersion::from(5).is_of(&of("a", 4)));
    }
}
