//! Reads Parquet: each row as JSON, with all its digits, one row group after the other.
//!
//! Does not know what a column means. How a type is written is in `shape` and `cell`; what is damaged is named with its row group and column.

mod cell;
mod moments;
mod shape;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use chrono_tz::Tz;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;

use self::cell::Writer;
use self::shape::{Column, Columns};
use super::error::Damage;
use super::sink::Sink;
use super::text;
use pipeline::plan::Source;
use records::document;

/// Rows that are in memory at once.
const BATCH: usize = 1_024;

const MAGIC: &[u8] = b"PAR1";
const ENCRYPTED: &[u8] = b"PARE";

pub(super) fn read(source: &Source, bytes: &Bytes, sink: &mut Sink<'_>) -> Result<(), Damage> {
    whole(source, bytes)?;
    let file = guarded(|| File::open(bytes))?;
    if !sink.columns(file.columns.all.iter().map(|column| column.name.clone()).collect())? {
        return Ok(());
    }
    file.notice_zone(source, sink);
    let writer = Writer { zone: source.dialect.timezone.unwrap_or(Tz::UTC) };
    let mut row = 0;
    for group in 0..file.metadata.metadata().num_row_groups() {
        file.readable(group)?;
        guarded(|| file.group(group, &mut |batch| write(&file.columns.all, writer, batch, &mut row, sink)))
            .map_err(|damage| file.blame(group, damage))?;
    }
    Ok(())
}

/// The reader panics on some damaged files; a source must not end the host.
fn guarded<T>(read: impl FnOnce() -> Result<T, Damage>) -> Result<T, Damage> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(damaged("it is damaged: no reader makes sense of it")))
}

fn damaged(reason: impl Into<String>) -> Damage {
    Damage::whole(reason).hint("copy the file again, or have it written again")
}

/// What can be said of the file by its first and last bytes.
fn whole(source: &Source, bytes: &[u8]) -> Result<(), Damage> {
    let (begins, ends) = (bytes.starts_with(MAGIC), bytes.ends_with(MAGIC));
    if begins && ends && bytes.len() > 2 * MAGIC.len() {
        return Ok(());
    }
    if bytes.is_empty() {
        return Err(damaged("it is empty: 0 bytes"));
    }
    if bytes.starts_with(ENCRYPTED) || bytes.ends_with(ENCRYPTED) {
        return Err(Damage::whole("it is encrypted")
            .hint("have it written without encryption: there is no place for its keys here"));
    }
    if begins {
        let reason = format!(
            "it ends after {} bytes without `PAR1` and the index before it: it was cut off or is damaged",
            bytes.len()
        );
        return Err(damaged(reason));
    }
    if let Some(other) = text::other_kind(&source.location.to_string(), bytes) {
        return Err(other);
    }
    let first = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let start: String = String::from_utf8_lossy(first).escape_debug().take(40).collect();
    let damage = Damage::whole(format!("it begins with `{start}`, expected `PAR1`"));
    let is_text = std::str::from_utf8(bytes).is_ok();
    Err(damage.hint(match bytes.trim_ascii_start().first() {
        Some(b'[') if is_text => "if it is JSON, write `format = \"json\"` under `[source]`",
        Some(b'{') if is_text => "if it is JSON, write `format = \"jsonl\"` under `[source]`",
        _ if is_text => "if it is CSV, write `format = \"csv\"` under `[source]`",
        _ => "copy the file again, or have it written again",
    }))
}

/// A file whose index has been read.
struct File<'a> {
    bytes: &'a Bytes,
    metadata: ArrowReaderMetadata,
    columns: Columns,
}

impl<'a> File<'a> {
    fn open(bytes: &'a Bytes) -> Result<Self, Damage> {
        let broken = |error: parquet::errors::ParquetError| match error.to_string() {
            text if text.contains("ncrypt") => {
                Damage::whole("it is encrypted").hint("have it written without encryption")
            }
            text => damaged(format!("its index (at the end of the file) cannot be read: {text}")),
        };
        let found = ArrowReaderMetadata::load(bytes, ArrowReaderOptions::new()).map_err(broken)?;
        let schema = found.metadata().file_metadata().schema_descr();
        let columns =
            Columns::of(found.schema(), schema).map_err(|unfit| Damage::whole(unfit.reason).hint(unfit.hint))?;
        let options = ArrowReaderOptions::new().with_schema(Arc::new(columns.schema.clone()));
        let metadata = ArrowReaderMetadata::try_new(found.metadata().clone(), options).map_err(broken)?;
        Ok(File { bytes, metadata, columns })
    }

    fn notice_zone(&self, source: &Source, sink: &mut Sink<'_>) {
        let names = &self.columns.without_zone;
        if names.is_empty() || source.dialect.timezone.is_some() {
            return;
        }
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        sink.notice(format!(
            "timestamps without a zone are read as UTC: {}\n  hint: write `timezone = \"UTC\"` under `[source]` if that is right, else the \
             zone that they are in, such as `timezone = \"Europe/Berlin\"`",
            names.join(", ")
        ));
    }

    /// Refuses what no reader here unpacks.
    fn readable(&self, group: usize) -> Result<(), Damage> {
        for column in self.metadata.metadata().row_group(group).columns() {
            let path = column.column_path().string();
            if column.compression() == Compression::LZO {
                let damage = Damage::whole(format!("column `{path}` in row group {} is packed with LZO", group + 1));
                return Err(damage.hint("have it written with zstd, snappy, gzip, lz4 or brotli"));
            }
        }
        Ok(())
    }

    fn builder(&self, group: usize) -> ParquetRecordBatchReaderBuilder<Bytes> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone())
            .with_row_groups(vec![group])
            .with_batch_size(BATCH)
    }

    fn group(&self, group: usize, each: &mut dyn FnMut(&RecordBatch)) -> Result<(), Damage> {
        let mut rows = 0;
        for batch in self.builder(group).build().map_err(|error| Damage::whole(error.to_string()))? {
            let batch = batch.map_err(|error| Damage::whole(error.to_string()))?;
            rows += batch.num_rows();
            each(&batch);
        }
        let expected = self.metadata.metadata().row_group(group).num_rows();
        if usize::try_from(expected) != Ok(rows) {
            return Err(Damage::whole(format!("it has {rows} rows, and the file's index says {expected}")));
        }
        Ok(())
    }

    /// Names the row group, and the first column in it that cannot be read by itself.
    fn blame(&self, group: usize, damage: Damage) -> Damage {
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        let guilty = schema.columns().iter().enumerate().find(|(leaf, _)| {
            let mask = ProjectionMask::leaves(schema, [*leaf]);
            let read = || {
                self.builder(group)
                    .with_projection(mask)
                    .build()
                    .map(|batches| batches.into_iter().all(|batch| batch.is_ok()))
            };
            !catch_unwind(AssertUnwindSafe(read)).is_ok_and(|read| read.unwrap_or(false))
        });
        let column = guilty.map(|(_, leaf)| format!(", column `{}`", leaf.path().string())).unwrap_or_default();
        Damage::whole(format!("row group {}{column} cannot be read: {}", group + 1, damage.reason))
            .hint("copy the file again, or have it written again, without encryption if the column is encrypted")
    }
}

/// Writes the rows of a batch, and refuses those alone that have no JSON.
fn write(columns: &[Column], writer: Writer, batch: &RecordBatch, row: &mut u64, sink: &mut Sink<'_>) {
    for index in 0..batch.num_rows() {
        *row += 1;
        let mut json = String::from("{");
        let mut refused = None;
        for (column, array) in columns.iter().zip(batch.columns()) {
            let before = json.len();
            if before > 1 {
                json.push(',');
            }
            json.push_str(&serde_json::Value::from(column.name.as_str()).to_string());
            json.push(':');
            if let Err(no_json) = writer.write(&column.shape, array, index, &mut json) {
                json.truncate(before);
                refused.get_or_insert_with(|| format!("column `{}{}` has {}", column.name, no_json.path, no_json.what));
            }
        }
        json.push('}');
        match refused.map_or_else(|| document::record(json.as_bytes()).map_err(|unfit| unfit.to_string()), Err) {
            Ok(record) => sink.record(*row, record),
            Err(reason) => sink.bad(*row, json.as_bytes(), reason),
        }
    }
}

#[cfg(test)]
mod tests;
