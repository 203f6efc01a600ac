//! The inputs of a template besides the plan: the processor, the program's settings, the tables' columns.
//!
//! Does not find out the columns: the caller loads the plugins.

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

/// The inputs of a template besides the plan.
#[derive(Clone, Debug)]
pub struct Options {
    /// The processor.
    pub arch: Arch,
    /// The target whose section was laid over the file: the program gets the same.
    pub target: Option<String>,
    /// The values set on the command line: the program gets the same.
    pub set: Vec<String>,
    /// The columns of the tables, if they are known.
    pub columns: Columns,
}

/// The columns that the plugins make. Without them tables are declared without columns, and QuickSight gets no data set.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// The clean plugin's.
    pub silver: Vec<Field>,
    /// The aggregate plugins', by the table's name.
    pub gold: BTreeMap<String, Vec<Field>>,
}
