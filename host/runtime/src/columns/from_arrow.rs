//! An Arrow batch as columns for a guest: the fields that its descriptor names, in its order, copied buffer by buffer.
//!
//! Does not convert values: a column of another type is an error of the host, which compared the layers' contracts before.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use seams::plugin::{ColumnType, Fault, InputField, ScalarType};

use super::bitmap::bitmap;
use crate::bindings::wit;
use crate::fault::host_fault;

/// The `fields` of `batch`, found by name.
pub(crate) fn batch_of(batch: &RecordBatch, fields: &[InputField]) -> Result<wit::Batch, Fault> {
    let rows = u32::try_from(batch.num_rows())
        .map_err(|_| host_fault(format!("batch of {} rows is too long", batch.num_rows())))?;
    let mut columns = Vec::with_capacity(fields.len());
    let mut children = Vec::new();
    for field in fields {
        let array = batch
            .column_by_name(&field.name)
            .ok_or_else(|| host_fault(format!("there is no column `{}`, which the plugin reads", field.name)))?;
        if !is_of(array.data_type(), field.ty) {
            let message = format!("column `{}` is {}, the plugin reads {}", field.name, array.data_type(), field.ty);
            return Err(host_fault(message));
        }
        if !field.nullable && array.null_count() > 0 {
            return Err(host_fault(format!(
                "column `{}` holds nulls, the plugin expects a value in every row",
                field.name
            )));
        }
        let validity = array.nulls().filter(|nulls| nulls.null_count() > 0).map(validity);
        let values = match field.ty {
            ColumnType::Scalar(scalar) => values(scalar, array.as_ref()),
            ColumnType::List(item) => {
                let list = array.as_list::<i32>();
                let (offsets, start, end) = rebased(list.value_offsets());
                let items = list.values().slice(start, end - start);
                if items.null_count() > 0 {
                    return Err(host_fault(format!("column `{}` holds null items, no plugin takes these", field.name)));
                }
                children.push(wit::Column { validity: None, values: values(item, items.as_ref()) });
                let child = fields.len() + children.len() - 1;
                wit::Values::ListOf(wit::ListValues { offsets, child: u32::try_from(child).unwrap_or(u32::MAX) })
            }
        };
        columns.push(wit::Column { validity, values });
    }
    columns.append(&mut children);
    Ok(wit::Batch { rows, columns })
}

/// Whether an Arrow type holds that column type. What readers name differently (a list's item field, UTC) does not matter.
fn is_of(found: &DataType, ty: ColumnType) -> bool {
    match ty {
        ColumnType::Scalar(scalar) => is_scalar(found, scalar),
        ColumnType::List(item) => matches!(found, DataType::List(field) if is_scalar(field.data_type(), item)),
    }
}

fn is_scalar(found: &DataType, scalar: ScalarType) -> bool {
    match (scalar, found) {
        (ScalarType::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, Some(zone))) => {
            matches!(zone.as_ref(), "UTC" | "+00:00" | "Z")
        }
        (scalar, found) => *found == scalar.arrow(),
    }
}

/// The type has been checked.
fn values(scalar: ScalarType, array: &dyn Array) -> wit::Values {
    match scalar {
        ScalarType::Boolean => wit::Values::Boolean(packed(array.as_boolean().values())),
        ScalarType::Int64 => wit::Values::Int64(array.as_primitive::<Int64Type>().values().to_vec()),
        ScalarType::Float64 => wit::Values::Float64(array.as_primitive::<Float64Type>().values().to_vec()),
        ScalarType::Date32 => wit::Values::Date32(array.as_primitive::<Date32Type>().values().to_vec()),
        ScalarType::Timestamp => {
            wit::Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>().values().to_vec())
        }
        ScalarType::Utf8 => wit::Values::Utf8(text(array)),
        ScalarType::Json => wit::Values::Json(text(array)),
    }
}

fn text(array: &dyn Array) -> wit::Text {
    let array = array.as_string::<i32>();
    let (offsets, start, end) = rebased(array.value_offsets());
    wit::Text { offsets, bytes: array.value_data().get(start..end).unwrap_or_default().to_vec() }
}

/// Offsets that start at 0, and the range of values that they cover: those of a slice start elsewhere.
fn rebased(offsets: &[i32]) -> (Vec<i32>, usize, usize) {
    let first = offsets.first().copied().unwrap_or_default();
    let last = offsets.last().copied().unwrap_or_default();
    let place = |offset: i32| usize::try_from(offset).unwrap_or_default();
    (offsets.iter().map(|offset| offset - first).collect(), place(first), place(last))
}

fn validity(nulls: &NullBuffer) -> Vec<u8> {
    packed(nulls.inner())
}

/// The bits from bit 0 of byte 0 on, even if they are part of a larger buffer.
fn packed(bits: &BooleanBuffer) -> Vec<u8> {
    bitmap(bits.sliced().as_slice(), bits.len())
}

#[cfg(test)]
#[path = "from_arrow_tests.rs"]
mod tests;
