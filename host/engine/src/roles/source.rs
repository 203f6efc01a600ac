//! Reads a source: from bytes to the first n records in the asked order.
//!
//! Does not fetch the bytes, and does not decide what a key is.

use std::cmp::Ordering;

use bytes::Bytes;
use serde_json::Value;
use thiserror::Error;

use crate::lake::keys::Record;
use crate::pipeline::plan::{OrderBy, Source, SourceFormat};

/// Why a source cannot be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It is not written in the expected format.
    #[error("source `{location}` is not valid {format}: {reason}")]
    Malformed {
        /// The source.
        location: String,
        /// The expected format.
        format: &'static str,
        /// What was found, and where.
        reason: String,
    },
    /// It has not the column that the pipeline needs.
    #[error("source `{location}` has no column `{column}`\n  hint: its columns are {found}")]
    NoColumn {
        /// The source.
        location: String,
        /// The missing column.
        column: String,
        /// The columns that it has.
        found: String,
    },
}

/// The first `top_n` records of `bytes` in the source's order. Equal ones keep the order in which they stand.
pub fn top(source: &Source, bytes: &Bytes) -> Result<Vec<Record>, SourceError> {
    let mut top = Top { order: source.order_by.as_ref(), most: source.top_n.get(), records: Vec::new() };
    let location = source.location.to_string();
    let columns = match source.format {
        SourceFormat::Csv => read_csv(&location, bytes, &mut top)?,
        SourceFormat::JsonLines => read_json_lines(&location, bytes, &mut top)?,
        SourceFormat::Json => read_json(&location, bytes, &mut top)?,
        SourceFormat::Parquet => read_parquet(&location, bytes, &mut top)?,
    };
    let records = top.finish();
    let needed = source.key.iter().chain(source.order_by.as_ref().map(|order| &order.column));
    for column in needed {
        // A file of JSON names no columns: there the records tell, if there are any.
        let known = columns.as_ref().map_or_else(
            || records.is_empty() || records.iter().any(|record| record.contains_key(column)),
            |columns| columns.contains(column),
        );
        if !known {
            let found = columns
                .unwrap_or_else(|| records.first().map(|record| record.keys().cloned().collect()).unwrap_or_default());
            return Err(SourceError::NoColumn { location, column: column.clone(), found: quoted(&found) });
        }
    }
    Ok(records)
}

/// The columns that `bytes` name, if the format names any.
pub fn columns(source: &Source, bytes: &Bytes) -> Result<Option<Vec<String>>, SourceError> {
    let mut none = Top { order: None, most: 0, records: Vec::new() };
    let location = source.location.to_string();
    match source.format {
        SourceFormat::Csv => read_csv(&location, bytes, &mut none),
        SourceFormat::Parquet => read_parquet(&location, bytes, &mut none),
        SourceFormat::Json | SourceFormat::JsonLines => Ok(None),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Keeps the first n of any number of records in memory for 2n.
struct Top<'a> {
    order: Option<&'a OrderBy>,
    most: usize,
    records: Vec<Record>,
}

impl Top<'_> {
    /// Takes a record; false when no later one can matter.
    fn push(&mut self, record: Record) -> bool {
        if self.order.is_none() && self.records.len() >= self.most {
            return false;
        }
        self.records.push(record);
        if self.order.is_some() && self.records.len() >= self.most.saturating_mul(2) {
            self.cut();
        }
        true
    }

    fn cut(&mut self) {
        if let Some(order) = self.order {
            self.records.sort_by(|a, b| compare(a.get(&order.column), b.get(&order.column), order.descending));
        }
        self.records.truncate(self.most);
    }

    fn finish(mut self) -> Vec<Record> {
        self.cut();
        self.records
    }
}

/// Numbers (also those written as text) by value, then other text, and records without a value last whatever the direction.
fn compare(a: Option<&Value>, b: Option<&Value>, descending: bool) -> Ordering {
    let (a, b) = (Rank::of(a), Rank::of(b));
    match (&a, &b) {
        (Rank::Nothing, Rank::Nothing) => Ordering::Equal,
        (Rank::Nothing, _) => Ordering::Greater,
        (_, Rank::Nothing) => Ordering::Less,
        _ if descending => b.order(&a),
        _ => a.order(&b),
    }
}

enum Rank<'a> {
    Number(f64),
    Text(std::borrow::Cow<'a, str>),
    Nothing,
}

impl<'a> Rank<'a> {
    fn of(value: Option<&'a Value>) -> Self {
        match value {
            None | Some(Value::Null) => Rank::Nothing,
            Some(Value::Number(number)) => number.as_f64().map_or(Rank::Nothing, Rank::Number),
            Some(Value::String(text)) => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Rank::Number(number),
                _ => Rank::Text(text.into()),
            },
            Some(other) => Rank::Text(other.to_string().into()),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Rank::Number(a), Rank::Number(b)) => a.total_cmp(b),
            (Rank::Number(_), _) => Ordering::Less,
            (_, Rank::Number(_)) => Ordering::Greater,
            (Rank::Text(a), Rank::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

/// The columns in the header, if the format has one.
type Columns = Option<Vec<String>>;

fn read_csv(location: &str, bytes: &Bytes, top: &mut Top<'_>) -> Result<Columns, SourceError> {
    let malformed = |error: csv::Error| SourceError::Malformed {
        location: location.to_owned(),
        format: "CSV",
        reason: error.to_string(),
    };
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().from_reader(text);
    let columns: Vec<String> = reader.headers().map_err(malformed)?.iter().map(str::to_owned).collect();
    for (index, column) in columns.iter().enumerate() {
        if columns.iter().take(index).any(|earlier| earlier == column) {
            let reason = format!("column `{column}` stands twice in the header");
            return Err(SourceError::Malformed { location: location.to_owned(), format: "CSV", reason });
        }
    }
    for row in reader.records() {
        let row = row.map_err(malformed)?;
        let value = |text: &str| if text.is_empty() { Value::Null } else { Value::String(text.to_owned()) };
        if !top.push(columns.iter().cloned().zip(row.iter().map(value)).collect()) {
            break;
        }
    }
    Ok(Some(columns))
}

fn read_json_lines(location: &str, bytes: &Bytes, top: &mut Top<'_>) -> Result<Columns, SourceError> {
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record = serde_json::from_slice(line).map_err(|error| SourceError::Malformed {
            location: location.to_owned(),
            format: "JSON lines",
            reason: format!("line {}: {error}", index + 1),
        })?;
        if !top.push(record) {
            break;
        }
    }
    Ok(None)
}

fn read_json(location: &str, bytes: &Bytes, top: &mut Top<'_>) -> Result<Columns, SourceError> {
    let records: Vec<Record> = serde_json::from_slice(bytes).map_err(|error| SourceError::Malformed {
        location: location.to_owned(),
        format: "JSON (one array of objects)",
        reason: error.to_string(),
    })?;
    for record in records {
        if !top.push(record) {
            break;
        }
    }
    Ok(None)
}

fn read_parquet(location: &str, bytes: &Bytes, top: &mut Top<'_>) -> Result<Columns, SourceError> {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let malformed =
        |reason: String| SourceError::Malformed { location: location.to_owned(), format: "Parquet", reason };
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|error| malformed(error.to_string()))?;
    let columns: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    for batch in builder.build().map_err(|error| malformed(error.to_string()))? {
        let batch = batch.map_err(|error| malformed(error.to_string()))?;
        let mut json = Vec::new();
        let mut writer = arrow::json::LineDelimitedWriter::new(&mut json);
        writer.write(&batch).and_then(|()| writer.finish()).map_err(|error| malformed(error.to_string()))?;
        for record in serde_json::Deserializer::from_slice(&json).into_iter::<Record>() {
            if !top.push(record.map_err(|error| malformed(error.to_string()))?) {
                return Ok(Some(columns));
            }
        }
    }
    Ok(Some(columns))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::pipeline::plan::Location;

    fn source(format: SourceFormat, order_by: Option<(&str, bool)>, top_n: usize) -> Source {
        Source {
            location: Location::Local("data/x".into()),
            format,
            key: vec!["name".into()],
            order_by: order_by.map(|(column, descending)| OrderBy { column: column.into(), descending }),
            top_n: NonZeroUsize::new(top_n).unwrap(),
            batch_size: NonZeroUsize::MIN,
        }
    }

    fn names(records: &[Record]) -> String {
        records.iter().map(|record| record["name"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    const TEXT: &str = "name,votes\na,9\nb,\nc,10\nd,x\ne,10\n";

    #[test]
    fn csv_is_ordered_by_number_with_nothing_last() {
        let csv = Bytes::from(TEXT);
        let top_of = |order, n| names(&top(&source(SourceFormat::Csv, order, n), &csv).unwrap());
        assert_eq!(top_of(Some(("votes", true)), 9), "d c e a b");
        assert_eq!(top_of(Some(("votes", false)), 9), "a c e d b");
        assert_eq!(top_of(Some(("votes", true)), 2), "d c");
        assert_eq!(top_of(None, 2), "a b");
    }

    #[test]
    fn empty_is_null_and_all_else_text() {
        let records = top(&source(SourceFormat::Csv, None, 9), &Bytes::from(TEXT)).unwrap();
        assert_eq!(records[0]["votes"], Value::String("9".into()));
        assert_eq!(records[1]["votes"], Value::Null);
    }

    #[test]
    fn a_missing_column_is_named_beside_those_there_are() {
        let error = top(&source(SourceFormat::Csv, Some(("stars", true)), 9), &Bytes::from(TEXT)).unwrap_err();
        assert_eq!(error.to_string(), "source `data/x` has no column `stars`\n  hint: its columns are `name`, `votes`");
    }

    #[test]
    fn json_and_json_lines_say_where_they_break() {
        let lines = Bytes::from("{\"name\":\"a\"}\n\n{\"name\":}\n");
        let error = top(&source(SourceFormat::JsonLines, None, 9), &lines).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
        let array = Bytes::from("[{\"name\":\"a\",\"votes\":2},{\"name\":\"b\",\"votes\":3}]");
        assert_eq!(names(&top(&source(SourceFormat::Json, Some(("votes", true)), 1), &array).unwrap()), "b");
    }
}
