//! Reads a source: from bytes to the first n records in the asked order, and the lines that are no records.
//!
//! Does not fetch the bytes, does not decide what a key is, and writes nothing. How a format is read is the business of the modules
//! below; each pushes what it finds into a [`Sink`].

use bytes::Bytes;
use pipeline::plan::{Source, SourceFormat};

use crate::contract;

mod csv;
mod error;
mod json;
mod order;
mod parquet;
mod reading;
mod scan;
mod sink;
mod text;

use error::Damage;
pub use error::SourceError;
pub use reading::{BadLine, Reading, Taken};
use sink::Sink;

/// Among fewer lines, a few odd ones are a large share.
const LEAST_LINES: usize = 50;

/// The first `top_n` records of `bytes` in the source's order; equal ones keep the order in which they stand. All records are counted.
///
/// # Errors
/// The source is damaged as a whole, or more of its lines than `suspend_above` are no records.
pub fn read(source: &Source, bytes: &Bytes) -> Result<Reading, SourceError> {
    let mut sink = Sink::new(source.order_by.as_ref(), source.top_n.get());
    fill(source, bytes, &mut sink)?;
    let reading = sink.finish();
    judge(source, bytes, &reading)?;
    needed(source, &reading.columns)?;
    Ok(reading)
}

/// The columns that identify records and put them in order must be there. JSON without a record does not show its columns.
fn needed(source: &Source, found: &[String]) -> Result<(), SourceError> {
    let keys = source.key.iter().map(|column| (column, "`key` under `[source]`"));
    let order = source.order_by.as_ref().map(|order| (&order.column, "`order_by` under `[source]`"));
    for (column, asked) in keys.chain(order) {
        if found.is_empty() || found.contains(column) {
            continue;
        }
        let near = contract::columns::similar(column, found.iter().map(String::as_str));
        let meant = near.map(|near| format!("did you mean {}? ", contract::columns::shown(near))).unwrap_or_default();
        let hint = format!("{meant}its columns are {}", contract::columns::listed(found));
        return Err(SourceError::NoColumn {
            location: source.location.to_string(),
            column: column.clone(),
            asked,
            hint,
        });
    }
    Ok(())
}

/// The columns that `bytes` name, if the format names any.
pub fn columns(source: &Source, bytes: &Bytes) -> Result<Option<Vec<String>>, SourceError> {
    match source.format {
        SourceFormat::Csv | SourceFormat::Parquet => {
            let mut sink = Sink::for_columns();
            fill(source, bytes, &mut sink)?;
            Ok(Some(sink.finish().columns))
        }
        SourceFormat::Json | SourceFormat::JsonLines => Ok(None),
    }
}

fn fill(source: &Source, bytes: &Bytes, sink: &mut Sink<'_>) -> Result<(), SourceError> {
    let filled = match source.format {
        SourceFormat::Csv => csv::read(source, bytes, sink),
        SourceFormat::JsonLines => json::read_lines(source, bytes, sink),
        SourceFormat::Json => json::read_array(source, bytes, sink),
        SourceFormat::Parquet => parquet::read(source, bytes, sink),
    };
    filled.map_err(|damage| malformed(source, damage))
}

fn malformed(source: &Source, Damage { reason, hint }: Damage) -> SourceError {
    SourceError::Malformed { location: source.location.to_string(), format: format_name(source.format), reason, hint }
}

fn format_name(format: SourceFormat) -> &'static str {
    match format {
        SourceFormat::Csv => "CSV",
        SourceFormat::JsonLines => "JSON Lines (one object a line)",
        SourceFormat::Json => "JSON (one array of objects)",
        SourceFormat::Parquet => "Parquet",
    }
}

/// Refuses the whole for its bad lines: none is a record, or too many are not.
fn judge(source: &Source, bytes: &Bytes, reading: &Reading) -> Result<(), SourceError> {
    let (bad, lines) = (reading.bad.len(), reading.total + reading.bad.len());
    let Some(first) = reading.bad.first() else { return Ok(()) };
    let unit = unit(source.format);
    let instead = match source.format {
        SourceFormat::JsonLines => json::instead_of_lines(source, bytes),
        SourceFormat::Csv | SourceFormat::Json | SourceFormat::Parquet => None,
    };
    match instead {
        // Of a value over several lines single lines may well be records, such as the last one of a list.
        Some((shape, damage)) if reading.total == 0 || shape == json::Shape::OverLines => {
            return Err(malformed(source, damage));
        }
        _ if reading.total == 0 => {
            let what = if lines == 1 { format!("its only {unit}") } else { format!("none of its {lines} {unit}s") };
            let reason = format!(
                "{what} is {}record; {unit} {}: {}",
                if lines == 1 { "no " } else { "a " },
                first.number,
                first.reason
            );
            return Err(malformed(source, Damage::whole(reason)));
        }
        _ => {}
    }
    if lines < LEAST_LINES || bad * 100 <= lines * usize::from(source.suspend_above.get()) {
        return Ok(());
    }
    let mend =
        format!("mend the {unit}s, or allow more: `suspend_above = \"{}%\"` under `[source]`", share(bad, lines));
    Err(SourceError::TooManyBad {
        location: source.location.to_string(),
        unit,
        bad,
        lines,
        allowed: source.suspend_above,
        first: first.number,
        reason: first.reason.clone(),
        hint: mend,
    })
}

/// What a source of that format is counted in.
#[must_use]
pub fn unit(format: SourceFormat) -> &'static str {
    if format == SourceFormat::Parquet { "row" } else { "line" }
}

/// A share in whole percent, rounded up.
fn share(part: usize, whole: usize) -> usize {
    (part * 100).div_ceil(whole.max(1))
}

#[cfg(test)]
#[path = "source/tests.rs"]
mod tests;
