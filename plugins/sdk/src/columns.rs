//! The layer between structs and the columns of the contract. The derives write code against it;
//! authors meet only [`List`].
//!
//! A column that does not fit its descriptor is a breach of the contract by the host, so reading one
//! panics, which is a trap: there is nothing that the plugin could answer. Not here: what the types
//! mean (`wit/`), and how a struct is mapped to its columns (`sluicebox-sdk-macros`).

mod build;
mod input;
mod list;
mod output;
mod read;
mod write;

pub use crate::bindings::columns::{
    Batch, Column, ColumnType, Field, InputField as WitInputField, ListValues, ScalarType, Text, Values,
};
pub use input::{InputScalar, InputValue};
pub use list::List;
pub use output::{BatchParts, ColumnBuilder, OutputScalar, OutputValue};

/// A column that the plugin reads.
#[derive(Debug, Clone, Copy)]
pub struct InputField {
    /// The column's name.
    pub name: &'static str,
    /// Where the value is in the JSON document.
    pub pointer: &'static str,
    /// What the value must be.
    pub column_type: ColumnType,
    /// Whether it may be missing or null.
    pub nullable: bool,
}

/// A column that the plugin writes.
#[derive(Debug, Clone, Copy)]
pub struct OutputField {
    /// The column's name.
    pub name: &'static str,
    /// What its values are.
    pub column_type: ColumnType,
    /// Whether some may be null.
    pub nullable: bool,
}

impl From<&InputField> for WitInputField {
    fn from(field: &InputField) -> Self {
        Self {
            name: field.name.to_owned(),
            pointer: field.pointer.to_owned(),
            type_: field.column_type,
            nullable: field.nullable,
        }
    }
}

impl From<&OutputField> for Field {
    fn from(field: &OutputField) -> Self {
        Self { name: field.name.to_owned(), type_: field.column_type, nullable: field.nullable }
    }
}

/// A struct that is read from columns. Derive it.
///
/// Each field is a column; the struct may have one lifetime, and then borrows text and lists from
/// the columns instead of copying them.
///
/// | field | column |
/// |---|---|
/// | `bool`, `i64`, `f64` | boolean, int64, float64 |
/// | `&'a str`, `String` | utf8 |
/// | [`Date`](crate::Date), [`Timestamp`](crate::Timestamp) | date32, timestamp |
/// | [`JsonRef<'a>`](crate::JsonRef), [`Json`](crate::Json) | json: whatever is there, as text |
/// | `List<'a, T>` (borrowed), `Vec<T>` | list of one of the above |
/// | `Option<T>` | the value may be missing or null |
///
/// `#[field(pointer = "/Title")]` says where the value is in the document (by default the member of
/// the field's name), `#[field(rename = "votes")]` names the column, and `#[input(rename_all =
/// "PascalCase")]` on the struct names all columns that carry no `rename`.
///
/// ```
/// use sluicebox_sdk::Input;
///
/// #[derive(Input)]
/// struct Film<'a> {
///     #[field(pointer = "/Title")]
///     title: &'a str,
///     #[field(pointer = "/Released")]
///     released: Option<&'a str>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from columns",
    note = "derive it: `#[derive(sluicebox_sdk::Input)]`"
)]
pub trait Input<'b>: Sized {
    /// The columns of one batch, ready to be read by index.
    type Columns;
    /// What the struct reads.
    const FIELDS: &'static [InputField];
    /// The columns of a batch.
    fn columns(batch: &'b Batch) -> Self::Columns;
    /// One row of them.
    fn row(columns: &Self::Columns, row: usize) -> Self;
}

/// A struct that is written to columns. Derive it.
///
/// The fields are as in [`Input`]; `#[field(rename = "…")]` and `#[output(rename_all = "…")]` name
/// the columns. Names that start with `_` are the host's own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to columns",
    note = "derive it: `#[derive(sluicebox_sdk::Output)]`"
)]
pub trait Output: Sized {
    /// The columns under construction.
    type Builders;
    /// What the struct writes.
    const FIELDS: &'static [OutputField];
    /// Empty columns with room for so many rows.
    fn builders(rows: usize) -> Self::Builders;
    /// Adds one row.
    fn push(self, builders: &mut Self::Builders);
    /// How many rows there are.
    fn rows(builders: &Self::Builders) -> u32;
    /// The finished columns.
    fn finish(builders: Self::Builders) -> Batch;
}

#[cfg(test)]
mod tests;
