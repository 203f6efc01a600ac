//! The order of records: by the exact value of a column, whatever its digits.
//!
//! Does not keep records, and turns no number into one of the machine.

use std::cmp::Ordering;

use lake::decimal::Decimal;
use serde_json::value::RawValue;

/// What a record's value counts as where records are ordered by it.
///
/// Numbers come first, by value; then everything else that is there, as text; then records without a value. The direction turns numbers and
/// text each within themselves, and never their places. The largest votes come before `n/a` whether the order is ascending or not. A column
/// of names or dates, all of them text, is ordered as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// A number, also one that is written as text.
    Number(Decimal),
    /// Anything else that is there.
    Text(String),
    /// Null, or no such column.
    Nothing,
}

impl Rank {
    pub(super) fn of(value: Option<&RawValue>) -> Self {
        let raw = value.map_or("null", RawValue::get);
        if raw == "null" {
            return Rank::Nothing;
        }
        let text = match serde_json::from_str::<String>(raw) {
            Ok(text) => text,
            Err(_) => raw.to_owned(),
        };
        Decimal::parse(text.trim()).map_or(Rank::Text(text), Rank::Number)
    }

    pub(super) fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let ascending = match (self, other) {
            (Rank::Number(a), Rank::Number(b)) => a.cmp(b),
            (Rank::Text(a), Rank::Text(b)) => a.cmp(b),
            _ => return self.place().cmp(&other.place()),
        };
        if descending { ascending.reverse() } else { ascending }
    }

    fn place(&self) -> u8 {
        match self {
            Rank::Number(_) => 0,
            Rank::Text(_) => 1,
            Rank::Nothing => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(raw: &str) -> Rank {
        Rank::of(Some(&RawValue::from_string(raw.to_owned()).unwrap()))
    }

    #[test]
    fn numbers_are_compared_to_their_last_digit() {
        let ascending = [
            "-1e400",
            "-100000000000000000002",
            "-100000000000000000001",
            "-2.5",
            "\"-1\"",
            "-1e-400",
            "0",
            "1e-400",
            "\".05\"",
            "0.1234567890123456788",
            "0.1234567890123456789",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "\"1e30\"",
            "1e400",
            "1e401",
        ];
        for (index, one) in ascending.iter().enumerate() {
            for (other, two) in ascending.iter().enumerate() {
                assert_eq!(rank(one).compare(&rank(two), false), index.cmp(&other), "{one} {two}");
                assert_eq!(rank(one).compare(&rank(two), true), other.cmp(&index), "{one} {two}");
            }
        }
    }

    #[test]
    fn one_number_written_in_two_ways_is_one_place() {
        for (one, two) in
            [("1", "1.0"), ("100", "1e2"), ("0", "-0.0"), ("\" 7 \"", "7"), ("\"007\"", "7"), ("\"+7\"", "7.00")]
        {
            assert_eq!(rank(one).compare(&rank(two), true), Ordering::Equal, "{one} {two}");
        }
    }

    #[test]
    fn words_come_behind_numbers_and_nothing_behind_words_in_both_directions() {
        let names = ["9", "\"x\"", "\"\"", "\"NaN\"", "\"inf\"", "\"1.2.3\"", "\"1e\"", "true", "[1]", "null"];
        for descending in [false, true] {
            for name in names.iter().skip(1) {
                assert_eq!(rank("-5").compare(&rank(name), descending), Ordering::Less, "{name}");
                assert_eq!(rank(name).compare(&rank("3"), descending), Ordering::Greater, "{name}");
            }
            assert_eq!(rank("null").compare(&rank("\"x\""), descending), Ordering::Greater);
            assert_eq!(Rank::of(None).compare(&rank("null"), descending), Ordering::Equal);
        }
        assert_eq!(rank("\"2026-01-02\"").compare(&rank("\"2026-01-10\""), true), Ordering::Greater);
    }
}
