//! Rows as JSON objects: the form that people write and read, dates as `2026-03-01`, timestamps as RFC 3339.
//!
//! Does not compare rows, and does not handle any data of a running pipeline.

use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow_json::ReaderBuilder;
use arrow_json::writer::{JsonArray, WriterBuilder};
use pipeline::problem::nearest;
use seams::plugin::{ColumnType, InputField, ScalarType};
use serde_json::{Map, Value};

use crate::golden::exact;

mod strict;

/// A row.
pub(crate) type Row = Map<String, Value>;

/// The rows of a batch, with an explicit null where there is no value.
pub(crate) fn from_batch(batch: &RecordBatch) -> anyhow::Result<Vec<Row>> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let bytes = writer.into_inner();
    // The writer writes nothing at all for no rows.
    let mut rows: Vec<Row> = if bytes.is_empty() { Vec::new() } else { serde_json::from_slice(&bytes)? };
    tell_not_finite(&mut rows, batch);
    Ok(rows)
}

/// JSON has no number for these floats, and null would be another value.
fn tell_not_finite(rows: &mut [Row], batch: &RecordBatch) {
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let Some(column) = column.as_any().downcast_ref::<Float64Array>() else { continue };
        for (row, float) in rows.iter_mut().zip(column) {
            if let (Some(float), Some(value)) = (float.filter(|float| !float.is_finite()), row.get_mut(field.name())) {
                *value = Value::from(float.to_string());
            }
        }
    }
}

/// Parses the text of JSON columns, so that people see values and not text in text.
pub(crate) fn open_json_columns<'f>(rows: &mut [Row], columns: impl Iterator<Item = (&'f str, ColumnType)>) {
    let is_json =
        |ty: &ColumnType| matches!(ty, ColumnType::Scalar(ScalarType::Json) | ColumnType::List(ScalarType::Json));
    for (name, _) in columns.filter(|(_, ty)| is_json(ty)) {
        rows.iter_mut().filter_map(|row| row.get_mut(name)).for_each(open);
    }
}

fn open(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(open),
        Value::String(text) => *value = exact::parse(text).unwrap_or_else(|_| Value::from(text.as_str())),
        _ => {}
    }
}

/// A batch of the columns in `fields`; rows may have others. A key that looks like a misspelt column is an error.
pub(crate) fn to_batch(rows: &[Row], fields: &[InputField]) -> anyhow::Result<RecordBatch> {
    refuse_misspelt(rows, fields)?;
    strict::check(rows, fields).with_context(|| format!("rows do not fit the plugin's input; {}", expected(fields)))?;
    let columns = fields.iter().map(|field| Field::new(&field.name, field.ty.arrow(), field.nullable));
    let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
    let mut prepared = rows.to_vec();
    for row in &mut prepared {
        fields.iter().for_each(|field| close_json(row, field));
    }
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).with_batch_size(rows.len().max(1)).build_decoder()?;
    decoder.serialize(&prepared).map_err(|error| explain(&error.to_string(), fields))?;
    let batch = decoder.flush().map_err(|error| explain(&error.to_string(), fields))?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(schema)))
}

/// A column that no row has, beside a key of nearly the same name: it would silently be a column of nulls.
fn refuse_misspelt(rows: &[Row], fields: &[InputField]) -> anyhow::Result<()> {
    let nowhere = |name: &&str| rows.iter().all(|row| !row.contains_key(*name));
    let absent: Vec<&str> = fields.iter().map(|field| field.name.as_str()).filter(nowhere).collect();
    let unknown = rows.iter().flat_map(Row::keys).filter(|key| fields.iter().all(|field| field.name != **key));
    for key in unknown {
        if let Some(meant) = nearest(key, absent.iter().copied()) {
            anyhow::bail!("the plugin reads no column `{key}`; is `{meant}` meant?");
        }
    }
    Ok(())
}

fn explain(error: &str, fields: &[InputField]) -> anyhow::Error {
    anyhow::anyhow!("{}", error.trim_start_matches("Json error: "))
        .context(format!("rows do not fit the plugin's input; {}", expected(fields)))
}

fn expected(fields: &[InputField]) -> String {
    let column = |field: &InputField| format!("`{}` {}{}", field.name, field.ty, if field.nullable { "?" } else { "" });
    format!("expected {}", fields.iter().map(column).collect::<Vec<_>>().join(", "))
}

/// The reverse of `open_json_columns`: a JSON column is text.
fn close_json(row: &mut Row, field: &InputField) {
    let Some(value) = row.get_mut(&field.name).filter(|value| !value.is_null()) else { return };
    match (field.ty, &mut *value) {
        (ColumnType::Scalar(ScalarType::Json), value) => *value = Value::from(value.to_string()),
        (ColumnType::List(ScalarType::Json), Value::Array(items)) => {
            items.iter_mut().for_each(|item| *item = Value::from(item.to_string()));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields() -> Vec<InputField> {
        let field =
            |name: &str, ty, nullable| InputField { name: name.into(), pointer: format!("/{name}"), ty, nullable };
        vec![
            field("flag", ColumnType::Scalar(ScalarType::Boolean), true),
            field("count", ColumnType::Scalar(ScalarType::Int64), true),
            field("ratio", ColumnType::Scalar(ScalarType::Float64), true),
            field("name", ColumnType::Scalar(ScalarType::Utf8), false),
            field("day", ColumnType::Scalar(ScalarType::Date32), true),
            field("at", ColumnType::Scalar(ScalarType::Timestamp), true),
            field("raw", ColumnType::Scalar(ScalarType::Json), true),
            field("tags", ColumnType::List(ScalarType::Utf8), true),
        ]
    }

    fn rows(value: Value) -> Vec<Row> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn rows_of_every_type_survive_the_way_there_and_back() {
        let there = rows(json!([
            {"flag": true, "count": -9_007_199_254_740_993_i64, "ratio": 0.1, "name": "é", "day": "1969-12-31",
             "at": "2026-03-01T06:00:00.250Z", "raw": {"a": [1, null]}, "tags": ["x", "y"]},
            {"flag": null, "count": null, "ratio": null, "name": "", "day": null, "at": null, "raw": null, "tags": null},
        ]));
        let mut back = from_batch(&to_batch(&there, &fields()).unwrap()).unwrap();
        open_json_columns(&mut back, fields().iter().map(|field| (field.name.as_str(), field.ty)));
        assert_eq!(back, there);
    }

    #[test]
    fn floats_that_are_no_numbers_are_told_from_null() {
        let there = rows(json!([
            {"name": "a", "ratio": "NaN"}, {"name": "b", "ratio": "inf"}, {"name": "c", "ratio": "-inf"}, {"name": "d"}
        ]));
        let back = from_batch(&to_batch(&there, &fields()).unwrap()).unwrap();
        let ratios: Vec<&Value> = back.iter().map(|row| &row["ratio"]).collect();
        assert_eq!(ratios, [&json!("NaN"), &json!("inf"), &json!("-inf"), &Value::Null]);
    }

    #[test]
    fn no_rows_are_an_empty_batch() {
        let batch = to_batch(&[], &fields()).unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (0, 8));
        assert!(from_batch(&batch).unwrap().is_empty());
    }

    #[test]
    fn a_row_that_does_not_fit_is_an_error_that_says_what_does() {
        let misspelt = to_batch(&rows(json!([{"name": "a", "cuont": 1}])), &fields()).unwrap_err();
        assert_eq!(format!("{misspelt:#}"), "the plugin reads no column `cuont`; is `count` meant?");
        assert!(to_batch(&rows(json!([{"name": "a", "elsewhere": 1}])), &fields()).is_ok());
        let missing = to_batch(&rows(json!([{"count": 1}])), &fields()).unwrap_err();
        assert!(format!("{missing:#}").contains("name"), "{missing:#}");
        let wrong = to_batch(&rows(json!([{"name": "a", "count": "one"}])), &fields()).unwrap_err();
        assert!(format!("{wrong:#}").contains("count"), "{wrong:#}");
    }
}
