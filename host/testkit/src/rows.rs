//! Descriptors and batches for closure plugins, written as JSON rows.
//!
//! Does not project documents; a closure parses them itself.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use seams::plugin::{ColumnType, Descriptor, Field, InputField, ScalarType};
use serde_json::Value;

/// A descriptor without columns, and with a configuration that may be any object.
#[must_use]
pub fn descriptor(name: &str, version: &str) -> Descriptor {
    Descriptor {
        name: name.into(),
        version: version.into(),
        input: Vec::new(),
        output: Vec::new(),
        config_schema: r#"{"type":"object"}"#.into(),
    }
}

/// A nullable output column.
#[must_use]
pub fn output(name: &str, ty: ColumnType) -> Field {
    Field { name: name.into(), ty, nullable: true }
}

/// A nullable input column that a cleaner finds at `/NAME`.
#[must_use]
pub fn input(name: &str, ty: ColumnType) -> InputField {
    InputField { name: name.into(), pointer: format!("/{name}"), ty, nullable: true }
}

/// JSON objects as a batch of the descriptor's output. A missing member is null.
///
/// # Panics
/// If a value has another type than its column, or is null where the column forbids it.
#[must_use]
pub fn batch(descriptor: &Descriptor, rows: &[Value]) -> RecordBatch {
    let columns = descriptor.output.iter().map(|field| column(field, rows)).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(descriptor.output_schema(), columns, &options)
        .expect("rows that fit the descriptor")
}

fn column(field: &Field, rows: &[Value]) -> ArrayRef {
    let values = rows.iter().map(|row| row.get(&field.name).filter(|value| !value.is_null()));
    match field.ty {
        ColumnType::Scalar(ScalarType::Boolean) => {
            Arc::new(values.map(|v| v.map(|v| v.as_bool().expect("a boolean"))).collect::<BooleanArray>())
        }
        ColumnType::Scalar(ScalarType::Int64) => Arc::new(values.map(|v| v.map(integer)).collect::<Int64Array>()),
        ColumnType::Scalar(ScalarType::Float64) => {
            Arc::new(values.map(|v| v.map(|v| v.as_f64().expect("a number"))).collect::<Float64Array>())
        }
        ColumnType::Scalar(ScalarType::Utf8) => Arc::new(values.map(|v| v.map(text)).collect::<StringArray>()),
        ColumnType::Scalar(ScalarType::Json) => {
            Arc::new(values.map(|v| v.map(Value::to_string)).collect::<StringArray>())
        }
        ColumnType::Scalar(ScalarType::Date32) => {
            let days = values.map(|v| v.map(|v| i32::try_from(integer(v)).expect("days that fit 32 bits")));
            Arc::new(days.collect::<Date32Array>())
        }
        ColumnType::Scalar(ScalarType::Timestamp) => {
            Arc::new(values.map(|v| v.map(integer)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        ColumnType::List(ScalarType::Utf8) => Arc::new(text_lists(field, values)),
        ColumnType::List(other) => {
            panic!("lists of {} are not written as JSON rows here; build the array yourself", other.name())
        }
    }
}

fn text_lists<'a>(field: &Field, values: impl Iterator<Item = Option<&'a Value>>) -> arrow::array::ListArray {
    let arrow::datatypes::DataType::List(element) = field.ty.arrow() else { panic!("`{}` is no list", field.name) };
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(element);
    for value in values {
        if let Some(value) = value {
            value.as_array().expect("a list").iter().for_each(|item| lists.values().append_value(text(item)));
        }
        lists.append(value.is_some());
    }
    lists.finish()
}

fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("expected an integer, got `{value}`"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected text, got `{value}`"))
}
