//! What a source holds: records, lines that are no records, and how many there are.
//!
//! Does not judge it.

use records::record::Record;

/// What a source holds.
#[derive(Debug, Default)]
pub struct Reading {
    /// The first n records in the asked order.
    pub records: Vec<Taken>,
    /// How many records there are, without bad lines.
    pub total: usize,
    /// Lines that are no records, in their order.
    pub bad: Vec<BadLine>,
    /// Values of the order's column that are there and are no numbers, if others are numbers.
    pub not_numbers: usize,
    /// The columns that the format names, else those that any record has.
    pub columns: Vec<String>,
    /// What an operator should know once a tick.
    pub notices: Vec<String>,
}

/// A record and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The line in which it begins, or its row in Parquet, from 1.
    pub number: u64,
    /// The record.
    pub record: Record,
}

/// A line of the source that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The line in which it begins, or its row in Parquet, from 1.
    pub number: u64,
    /// What stands there, shortened if it is long; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Why it is no record.
    pub reason: String,
}
