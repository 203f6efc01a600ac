//! Arrow schemas against Delta schemas: conversion, comparison, growth.
//!
//! Does not commit anything.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake_core::kernel::{Metadata, MetadataExt, StructType};

use super::error::{ColumnChange, TableError};

/// What to do about rows that do not fit.
const REPLAY: &str = "`sluicebox replay --rebuild` builds the layer again with the new columns; or keep the old columns and add new ones as nullable";

/// Characters that Parquet column names must not have if every engine is to read them.
const FORBIDDEN: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=', '.', '`'];

/// The Delta schema of an Arrow schema. A name that not every engine can read, or twice the same one, is an error.
pub(crate) fn to_delta(table: &str, schema: &Schema) -> Result<StructType, TableError> {
    let mut seen = std::collections::HashSet::new();
    for field in schema.fields() {
        let name = field.name();
        if name.is_empty() || name.contains(FORBIDDEN) || !seen.insert(name.to_lowercase()) {
            return Err(TableError::Schema {
                table: table.to_owned(),
                columns: vec![ColumnChange { name: name.clone(), table: None, wanted: Some(describe(field)) }],
                hint: "a column's name must be unique, whatever its case, and have no space and none of `,;{}()=.`",
            });
        }
    }
    schema.try_into_kernel().map_err(|error| TableError::input(table, format!("no such column type in Delta: {error}")))
}

/// The Arrow schema of a table.
pub(crate) fn to_arrow(table: &str, metadata: &Metadata) -> Result<Schema, TableError> {
    let schema = metadata.parse_schema().map_err(|error| TableError::corrupt(table, error))?;
    let schema: Schema = (&schema).try_into_arrow().map_err(|error| TableError::corrupt(table, error))?;
    Ok(schema)
}

/// `schema` as it comes back from a Delta table: same columns, with Delta's names and flags inside of lists.
pub(crate) fn normalise(table: &str, schema: &Schema) -> Result<Schema, TableError> {
    let delta = to_delta(table, schema)?;
    let schema: Schema = (&delta).try_into_arrow().map_err(|error| TableError::input(table, error))?;
    Ok(schema)
}

/// `metadata` with another schema.
pub(crate) fn metadata_with_schema(table: &str, metadata: &Metadata, schema: &Schema) -> Result<Metadata, TableError> {
    let delta = to_delta(table, schema)?;
    metadata.clone().with_schema(&delta).map_err(|error| TableError::corrupt(table, error))
}

/// `metadata` with another value in its configuration.
pub(crate) fn metadata_with_setting(
    table: &str,
    metadata: Metadata,
    name: &str,
    value: String,
) -> Result<Metadata, TableError> {
    metadata.add_config_key(name.to_owned(), value).map_err(|error| TableError::corrupt(table, error))
}

/// The columns of `wanted`, if rows with `has` are rows of it too: columns may be added as nullable ones, and required ones may become
/// nullable. `None` if nothing changes. Both are normalised.
pub(crate) fn evolve(
    table: &str,
    has: &[Arc<Field>],
    wanted: &[Arc<Field>],
) -> Result<Option<Vec<Arc<Field>>>, TableError> {
    let mut columns = Vec::new();
    let mut changed = false;
    for new in wanted {
        match has.iter().find(|old| old.name() == new.name()) {
            None if new.is_nullable() => changed = true,
            Some(old) if old.data_type() == new.data_type() && (new.is_nullable() || !old.is_nullable()) => {
                changed |= old.is_nullable() != new.is_nullable();
            }
            old => columns.push(change(new.name(), old.map(AsRef::as_ref), Some(new))),
        }
    }
    for old in has {
        if !wanted.iter().any(|new| new.name() == old.name()) {
            columns.push(change(old.name(), Some(old), None));
        }
    }
    if !columns.is_empty() {
        return Err(TableError::Schema { table: table.to_owned(), columns, hint: REPLAY });
    }
    Ok(changed.then(|| wanted.to_vec()))
}

/// `rows` with exactly the columns of `schema`, in its order: columns that `rows` lacks are null, others are left out.
pub fn conform(table: &str, rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, TableError> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    let mut misfits = Vec::new();
    for field in schema.fields() {
        match rows.column_by_name(field.name()) {
            Some(column) if column.null_count() > 0 && !field.is_nullable() => {
                misfits.push(ColumnChange {
                    name: field.name().clone(),
                    table: Some(describe(field)),
                    wanted: Some(format!("{} nulls", column.null_count())),
                });
            }
            Some(column) if column.data_type() == field.data_type() => columns.push(Arc::clone(column)),
            Some(column) => {
                match same_kind(column.data_type(), field.data_type()).then(|| cast(column, field.data_type())) {
                    Some(Ok(cast)) => columns.push(cast),
                    _ => {
                        let got = Field::new(field.name(), column.data_type().clone(), true);
                        misfits.push(change(field.name(), Some(field), Some(&got)));
                    }
                }
            }
            None if field.is_nullable() => columns.push(new_null_array(field.data_type(), rows.num_rows())),
            None => misfits.push(change(field.name(), Some(field), None)),
        }
    }
    if !misfits.is_empty() {
        return Err(TableError::Schema { table: table.to_owned(), columns: misfits, hint: REPLAY });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| TableError::corrupt(table, error))
}

/// Whether two types hold the same values in another layout: what another engine's rewrite of a file may change.
fn same_kind(got: &DataType, wanted: &DataType) -> bool {
    use DataType::{Dictionary, LargeList, LargeUtf8, List, ListView, Timestamp, Utf8, Utf8View};
    match (got, wanted) {
        (LargeUtf8 | Utf8View, Utf8) => true,
        (Dictionary(_, value), wanted) => value.as_ref() == wanted || same_kind(value, wanted),
        (Timestamp(_, got), Timestamp(TimeUnit::Microsecond, wanted)) => got.is_some() == wanted.is_some(),
        (List(got) | LargeList(got) | ListView(got), List(wanted)) => {
            got.data_type() == wanted.data_type() || same_kind(got.data_type(), wanted.data_type())
        }
        _ => false,
    }
}

fn change(name: &str, table: Option<&Field>, wanted: Option<&Field>) -> ColumnChange {
    ColumnChange { name: name.to_owned(), table: table.map(describe), wanted: wanted.map(describe) }
}

/// A column's type in a plugin author's words: `int64`, `list<utf8>`, `float64, never null`.
pub(crate) fn describe(field: &Field) -> String {
    let ty = type_name(field.data_type());
    if field.is_nullable() { ty } else { format!("{ty}, never null") }
}

fn type_name(ty: &DataType) -> String {
    match ty {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Utf8 => "utf8".to_owned(),
        DataType::Date32 => "date32".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp".to_owned(),
        DataType::List(item) => format!("list<{}>", type_name(item.data_type())),
        other => other.to_string(),
    }
}
