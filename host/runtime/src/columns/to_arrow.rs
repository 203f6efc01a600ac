//! A guest's columns as an Arrow batch: every length, offset and null checked, every buffer taken over without a copy.
//!
//! Does not repair anything: what differs from descriptor and contract is the guest's fault, named by column and row.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions,
    StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Field as ArrowField, SchemaRef};
use records::document::{MOST_LEVELS, too_deep};
use seams::plugin::{ColumnType, Fault, Field, ScalarType};

use super::bitmap::bitmap_bytes;
use crate::bindings::wit;
use crate::fault::{bad_output, host_fault};

/// Takes over `batch`, whose columns must be `fields`; `schema` is the Arrow schema of these.
pub(crate) fn record_batch(batch: wit::Batch, fields: &[Field], schema: &SchemaRef) -> Result<RecordBatch, Fault> {
    let rows = batch.rows as usize;
    let lists = fields.iter().filter(|field| matches!(field.ty, ColumnType::List(_))).count();
    let expected = fields.len() + lists;
    if batch.columns.len() != expected {
        let message = format!(
            "plugin returned {} columns, expected {expected} ({} fields, {lists} of them lists)",
            batch.columns.len(),
            fields.len()
        );
        return Err(bad_output("P171", message));
    }
    let mut columns: Vec<Option<wit::Column>> = batch.columns.into_iter().map(Some).collect();
    let mut arrays = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let array = column(field, rows, index, fields.len(), &mut columns);
        arrays.push(array.map_err(|wrong| {
            bad_output(wrong.code, format!("plugin returned column `{}` wrongly: {}", field.name, wrong.text))
        })?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
        .map_err(|error| host_fault(format!("checked columns make no batch: {error}")))
}

/// What is wrong with a column.
struct Wrong {
    code: &'static str,
    text: String,
}

fn wrong(text: impl Into<String>) -> Wrong {
    Wrong { code: "P171", text: text.into() }
}

fn column(
    field: &Field,
    rows: usize,
    index: usize,
    first_child: usize,
    columns: &mut [Option<wit::Column>],
) -> Result<ArrayRef, Wrong> {
    let column = take(columns, index)?;
    let nulls = validity(column.validity, rows)?;
    if !field.nullable {
        all_present(nulls.as_ref())?;
    }
    match (field.ty, column.values) {
        (ColumnType::Scalar(scalar), values) => array(scalar, values, rows, nulls),
        (ColumnType::List(item), wit::Values::ListOf(list)) => {
            let child = list.child as usize;
            if child < first_child {
                return Err(wrong(format!(
                    "its items are column {child}, expected one behind the {first_child} fields"
                )));
            }
            let offsets = offsets(list.offsets, rows)?;
            let items = take(columns, child)?;
            let count = offsets.last().copied().unwrap_or_default();
            let count = usize::try_from(count).map_err(|_| wrong("its offsets are negative"))?;
            all_present(validity(items.validity, count)?.as_ref())
                .map_err(|inner| wrong(format!("items: {}", inner.text)))?;
            let items = array(item, items.values, count, None)
                .map_err(|inner| Wrong { text: format!("items: {}", inner.text), ..inner })?;
            let item_field = Arc::new(ArrowField::new("element", item.arrow(), false));
            let list =
                ListArray::try_new(item_field, offsets, items, nulls).map_err(|error| wrong(error.to_string()))?;
            Ok(Arc::new(list))
        }
        (ty, values) => Err(mismatch(&ty.to_string(), &values)),
    }
}

fn take(columns: &mut [Option<wit::Column>], index: usize) -> Result<wit::Column, Wrong> {
    let count = columns.len();
    let slot = columns
        .get_mut(index)
        .ok_or_else(|| wrong(format!("its items are column {index}, but there are {count} columns")))?;
    slot.take().ok_or_else(|| wrong(format!("its items are column {index}, which belongs to another column")))
}

fn validity(bits: Option<Vec<u8>>, rows: usize) -> Result<Option<NullBuffer>, Wrong> {
    let Some(bits) = bits else { return Ok(None) };
    let nulls = NullBuffer::new(bitmap(bits, rows, "validity")?);
    Ok((nulls.null_count() > 0).then_some(nulls))
}

fn bitmap(bits: Vec<u8>, rows: usize, what: &str) -> Result<BooleanBuffer, Wrong> {
    if bits.len() != bitmap_bytes(rows) {
        return Err(wrong(format!("{what} has {} bytes, expected {} for {rows} rows", bits.len(), bitmap_bytes(rows))));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows))
}

fn all_present(nulls: Option<&NullBuffer>) -> Result<(), Wrong> {
    match nulls.and_then(|nulls| (0..nulls.len()).find(|row| nulls.is_null(*row))) {
        Some(row) => Err(wrong(format!("row {row} is null, expected a value"))),
        None => Ok(()),
    }
}

/// Offsets of `rows` values: from 0, never decreasing.
fn offsets(offsets: Vec<i32>, rows: usize) -> Result<OffsetBuffer<i32>, Wrong> {
    if offsets.len() != rows + 1 {
        return Err(wrong(format!("it has {} offsets, expected {} for {rows} rows", offsets.len(), rows + 1)));
    }
    if offsets.first() != Some(&0) {
        return Err(wrong(format!("its first offset is {:?}, expected 0", offsets.first())));
    }
    if let Some(row) = offsets.windows(2).position(|pair| pair.first() > pair.last()) {
        return Err(wrong(format!("its offsets decrease at row {row}")));
    }
    // The checks above are those of `OffsetBuffer::new`, which panics where they fail.
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

fn array(ty: ScalarType, values: wit::Values, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, Wrong> {
    Ok(match (ty, values) {
        (ScalarType::Boolean, wit::Values::Boolean(bits)) => {
            Arc::new(BooleanArray::new(bitmap(bits, rows, "it")?, nulls))
        }
        (ScalarType::Int64, wit::Values::Int64(values)) => {
            Arc::new(Int64Array::try_new(counted(values, rows)?, nulls).map_err(|error| wrong(error.to_string()))?)
        }
        (ScalarType::Float64, wit::Values::Float64(values)) => {
            let values = counted(values, rows)?;
            all_finite(&values, nulls.as_ref())?;
            Arc::new(Float64Array::try_new(values, nulls).map_err(|error| wrong(error.to_string()))?)
        }
        (ScalarType::Date32, wit::Values::Date32(values)) => {
            Arc::new(Date32Array::try_new(counted(values, rows)?, nulls).map_err(|error| wrong(error.to_string()))?)
        }
        (ScalarType::Timestamp, wit::Values::Timestamp(values)) => {
            let array = TimestampMicrosecondArray::try_new(counted(values, rows)?, nulls)
                .map_err(|error| wrong(error.to_string()))?;
            Arc::new(array.with_timezone("UTC"))
        }
        (ScalarType::Utf8, wit::Values::Utf8(text)) => Arc::new(strings(text, rows, nulls)?),
        (ScalarType::Json, wit::Values::Json(text)) => {
            let array = strings(text, rows, nulls)?;
            all_json(&array)?;
            Arc::new(array)
        }
        (ty, values) => return Err(mismatch(ty.name(), &values)),
    })
}

fn counted<T: arrow::datatypes::ArrowNativeType>(values: Vec<T>, rows: usize) -> Result<ScalarBuffer<T>, Wrong> {
    if values.len() != rows {
        return Err(wrong(format!("it has {} values, expected {rows}", values.len())));
    }
    Ok(ScalarBuffer::from(values))
}

/// Neither JSON nor CSV can write NaN or infinity, and one of them turns every sum over the column into itself: "no value" is null.
fn all_finite(values: &[f64], nulls: Option<&NullBuffer>) -> Result<(), Wrong> {
    let present = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    match values.iter().enumerate().find(|(row, value)| !value.is_finite() && present(*row)) {
        Some((row, value)) => {
            Err(wrong(format!("row {row} is {value}, expected a finite number (return null where there is none)")))
        }
        None => Ok(()),
    }
}

fn strings(text: wit::Text, rows: usize, nulls: Option<NullBuffer>) -> Result<StringArray, Wrong> {
    let offsets = offsets(text.offsets, rows)?;
    let used = offsets.last().copied().unwrap_or_default();
    if usize::try_from(used) != Ok(text.bytes.len()) {
        return Err(wrong(format!(
            "its last offset is {used}, expected {}, the number of its bytes",
            text.bytes.len()
        )));
    }
    if let Some(at) = text.bytes.iter().position(|byte| *byte == 0) {
        return Err(wrong(format!("row {} holds a NUL character", row_at(&offsets, at))));
    }
    let invalid = std::str::from_utf8(&text.bytes).err().map(|error| row_at(&offsets, error.valid_up_to()));
    StringArray::try_new(offsets, Buffer::from_vec(text.bytes), nulls).map_err(|error| {
        let place = invalid.map_or_else(String::new, |row| format!("row {row}: "));
        Wrong { code: "P122", text: format!("{place}invalid text: {error}") }
    })
}

/// The row that byte `at` belongs to.
fn row_at(offsets: &[i32], at: usize) -> usize {
    offsets.partition_point(|offset| usize::try_from(*offset).is_ok_and(|offset| offset <= at)).saturating_sub(1)
}

fn all_json(values: &StringArray) -> Result<(), Wrong> {
    for (row, value) in values.iter().enumerate() {
        if let Some(at) = value.and_then(|value| too_deep(value.as_bytes())) {
            return Err(wrong(format!(
                "row {row} is more than {MOST_LEVELS} levels of lists and objects deep, from its byte {at} on"
            )));
        }
        if let Some(Err(error)) = value.map(serde_json::from_str::<serde::de::IgnoredAny>) {
            return Err(wrong(format!("row {row} is not JSON: {error}")));
        }
    }
    Ok(())
}

fn mismatch(expected: &str, values: &wit::Values) -> Wrong {
    let found = match values {
        wit::Values::Boolean(_) => "boolean",
        wit::Values::Int64(_) => "int64",
        wit::Values::Float64(_) => "float64",
        wit::Values::Utf8(_) => "utf8",
        wit::Values::Date32(_) => "date32",
        wit::Values::Timestamp(_) => "timestamp",
        wit::Values::Json(_) => "json",
        wit::Values::ListOf(_) => "a list",
    };
    wrong(format!("found {found}, expected {expected}"))
}

#[cfg(test)]
#[path = "to_arrow_tests.rs"]
mod tests;
