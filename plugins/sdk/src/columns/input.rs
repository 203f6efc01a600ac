//! What a type must offer to be read from a column.
//!
//! Not here: which types do (`read`, `list`).

use super::{Batch, ColumnType, ScalarType, Values};

/// A value of one column.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a column type",
    note = "possible are bool, i64, f64, String, &str, Date, Timestamp, Json, JsonRef; Vec or List of one of these; Option around any of them"
)]
pub trait InputValue<'b>: Sized {
    /// What the column holds.
    const TYPE: ColumnType;
    /// Whether its values may be null.
    const NULLABLE: bool;
    /// The column.
    type Reader;
    /// The reader of the column at `index`.
    fn reader(batch: &'b Batch, index: usize) -> Self::Reader;
    /// The value of one row.
    fn get(reader: &Self::Reader, row: usize) -> Self;
}

/// A value that is no list.
pub trait InputScalar<'b>: Clone + 'b {
    /// What the column holds.
    const SCALAR: ScalarType;
    /// The column's values.
    type Values: Copy;
    /// The values, or nothing if the column is of another type.
    fn values(values: &'b Values) -> Option<Self::Values>;
    /// One of them.
    fn at(values: Self::Values, index: usize) -> Self;
}
