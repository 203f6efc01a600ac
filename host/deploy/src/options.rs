//! Everything beside the plan that a template depends on: the processor, what the program is told, the tables' columns.
//!
//! Does not find out the columns: whoever has loaded the plugins says them.

use std::collections::BTreeMap;

use seams::plugin::Field;

/// The processor that the program is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// Intel's and AMD's.
    X86_64,
    /// Graviton.
    Arm64,
}

/// Everything beside the plan that a template depends on.
#[derive(Clone, Debug)]
pub struct Options {
    /// For which processor.
    pub arch: Arch,
    /// The target whose section was laid over the file: the program is told to do the same.
    pub target: Option<String>,
    /// What was set on the command line, likewise.
    pub set: Vec<String>,
    /// The columns of the tables, as far as they are known.
    pub columns: Columns,
}

/// What the plugins make. Without them tables are declared without columns, and QuickSight gets no data set.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// The clean plugin's.
    pub silver: Vec<Field>,
    /// The aggregate plugins', by the table's name.
    pub gold: BTreeMap<String, Vec<Field>>,
}
