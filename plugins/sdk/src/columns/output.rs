//! What a type must offer to be written to a column, and what a column under construction must.
//!
//! Not here: which types do (`write`), and the columns themselves (`build`).

use super::{Batch, Column, ColumnType, ScalarType};

/// A value of one column.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a column type",
    note = "possible are bool, i64, f64, String, &str, Date, Timestamp, Json, JsonRef; Vec or List of one of these; Option around any of them"
)]
pub trait OutputValue: Sized {
    /// What the column holds.
    const TYPE: ColumnType;
    /// Whether its values may be null.
    const NULLABLE: bool;
    /// The column under construction.
    type Builder: ColumnBuilder;
    /// Adds the value.
    fn put(self, builder: &mut Self::Builder);
}

/// A value that is no list.
pub trait OutputScalar: OutputValue {
    /// What the column holds.
    const SCALAR: ScalarType;
}

/// A column under construction.
pub trait ColumnBuilder: Sized {
    /// An empty column with room for so many values.
    fn with_capacity(rows: usize) -> Self;
    /// Adds a placeholder under a null.
    fn push_absent(&mut self);
    /// The finished column; a list adds its items to `parts`.
    fn finish(self, parts: &mut BatchParts) -> Column;
}

/// Finished columns on their way into a batch: first those of the fields, then those of the items.
#[derive(Debug)]
pub struct BatchParts {
    width: usize,
    columns: Vec<Column>,
    items: Vec<Column>,
}

impl BatchParts {
    /// For a table of so many fields.
    pub fn new(width: usize) -> Self {
        Self { width, columns: Vec::with_capacity(width), items: Vec::new() }
    }

    /// Adds the column of the next field.
    pub fn add(&mut self, column: Column) {
        self.columns.push(column);
    }

    /// The batch.
    pub fn into_batch(mut self, rows: u32) -> Batch {
        self.columns.append(&mut self.items);
        Batch { rows, columns: self.columns }
    }

    /// Adds a column of items and tells its index.
    pub(super) fn add_items(&mut self, column: Column) -> u32 {
        let index = self.width + self.items.len();
        self.items.push(column);
        index as u32
    }
}
