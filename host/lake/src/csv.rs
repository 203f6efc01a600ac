//! Tables as CSV for people and spreadsheets.
//!
//! RFC 4180 with LF line ends and a header line. Null is an empty field; dates are `2020-02-29`, timestamps `2020-02-29T12:00:00Z`; numbers are
//! as short as reads back to the same value; the items of a list are joined by `|`, with `\|` for a `|` and `\\` for a `\` inside of an item.
//!
//! Does not read CSV, and does not defuse text that a spreadsheet may take for a formula: the Parquet file beside it has the same rows.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;

use super::delta::TableError;

/// `rows` as CSV.
pub(crate) fn encode(table: &str, rows: &RecordBatch) -> Result<Bytes, TableError> {
    let fail =
        |error: &dyn std::fmt::Display| TableError::input(table, format!("rows cannot be written as CSV: {error}"));
    let schema = rows.schema();
    let cells = rows.columns().iter().map(|column| Cells::new(column)).collect::<Result<Vec<_>, _>>();
    let cells = cells.map_err(|error| fail(&error))?;
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(schema.fields().iter().map(|field| field.name())).map_err(|error| fail(&error))?;
    for row in 0..rows.num_rows() {
        for cell in &cells {
            let text = cell.text(row).map_err(|error| fail(&error))?;
            writer.write_field(text).map_err(|error| fail(&error))?;
        }
        writer.write_record(None::<&[u8]>).map_err(|error| fail(&error))?;
    }
    writer.into_inner().map(Bytes::from).map_err(|error| fail(&error))
}

/// A column that says its values as text.
enum Cells<'a> {
    Scalar(&'a dyn Array, ArrayFormatter<'a>),
    List(&'a dyn Array, FormatOptions<'a>),
}

impl<'a> Cells<'a> {
    fn new(column: &'a dyn Array) -> Result<Self, ArrowError> {
        let options = FormatOptions::new().with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
        match column.data_type() {
            DataType::List(_) => Ok(Cells::List(column, options)),
            _ => Ok(Cells::Scalar(column, ArrayFormatter::try_new(column, &options)?)),
        }
    }

    fn text(&self, row: usize) -> Result<String, ArrowError> {
        match self {
            Cells::Scalar(column, _) if column.is_null(row) => Ok(String::new()),
            Cells::Scalar(_, cells) => cells.value(row).try_to_string(),
            Cells::List(column, _) if column.is_null(row) => Ok(String::new()),
            Cells::List(column, options) => {
                let items = column.as_list::<i32>().value(row);
                let texts = ArrayFormatter::try_new(items.as_ref(), options)?;
                let item =
                    |at| texts.value(at).try_to_string().map(|text| text.replace('\\', "\\\\").replace('|', "\\|"));
                Ok((0..items.len()).map(item).collect::<Result<Vec<_>, _>>()?.join("|"))
            }
        }
    }
}
