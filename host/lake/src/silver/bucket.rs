//! One bucket: reading its rows, and making the file that replaces it.
//!
//! Does not commit, and decides nothing about versions: that is `merge`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use chrono::{DateTime, SecondsFormat};
use deltalake_core::kernel::Add;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use seams::store::StoreError;
use serde_json::json;

use super::columns::{BUCKET, KEY, SEQ, bucket_in, row_schema};
use super::merge::{Counts, Incoming, Merged, merge};
use super::parts::parts;
use crate::delta::{self, DataFile, FileReader, Table, TableError, TableState};

/// Longest key that goes into a file's statistics, in bytes.
const STATS_KEY_AT_MOST: usize = 512;

/// What is to become of a bucket.
pub(super) struct Replacement {
    /// Which.
    pub(super) bucket: u32,
    /// The bucket's files when the work was done.
    pub(super) replaces: Vec<Arc<DataFile>>,
    /// The schema when the work was done.
    schema: SchemaRef,
    change: Change,
    /// What happened to the versions.
    pub(super) counts: Counts,
}

/// What becomes of a bucket's files.
enum Change {
    Nothing,
    File(NewFile),
    /// No row is left.
    Emptied,
}

/// A bucket's new file.
struct NewFile {
    written: delta::Written,
    stats: String,
}

impl Replacement {
    /// Whether the bucket changes.
    pub(super) fn changes(&self) -> bool {
        !matches!(self.change, Change::Nothing)
    }

    /// Whether the bucket and the columns are in `state` as they were when the work was done.
    pub(super) fn still_fits(&self, state: &TableState) -> bool {
        self.schema == row_schema(state) && self.replaces.iter().eq(files_of(state, self.bucket))
    }
}

fn files_of(state: &TableState, bucket: u32) -> impl Iterator<Item = &Arc<DataFile>> {
    state.files.values().filter(move |file| bucket_in(file) == Some(bucket))
}

/// The rows of a bucket, with exactly the columns of `schema`.
pub(super) async fn read(
    table: &Table,
    state: &TableState,
    bucket: u32,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>, TableError> {
    let reader = FileReader { table: table.name(), store: table.store(), version: state.version };
    let mut rows = Vec::new();
    for file in files_of(state, bucket) {
        rows.extend(reader.read(file, schema).await?);
    }
    Ok(rows)
}

/// Text columns of a file that a version has named; none if the file is gone.
pub(super) async fn read_file(
    table: &Table,
    path: &str,
    columns: &[&str],
) -> Result<Option<Vec<RecordBatch>>, TableError> {
    let path = Path::from(path);
    let size = match table.store().head(&path).await {
        Ok(object) => object.size,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(TableError::store(table.name(), error)),
    };
    let fields: Vec<Field> = columns.iter().map(|column| Field::new(*column, DataType::Utf8, false)).collect();
    let file = DataFile::new(path, HashMap::new(), size, None);
    let reader = FileReader { table: table.name(), store: table.store(), version: 0 };
    reader.read(&file, &Arc::new(Schema::new(fields))).await.map(Some)
}

/// Merges what comes into a bucket with what is there, and writes the result if it differs.
pub(super) async fn replace(
    table: &Table,
    state: &TableState,
    incoming: Arc<Incoming>,
    bucket: u32,
) -> Result<Replacement, TableError> {
    let schema = row_schema(state);
    let there = read(table, state, bucket, &schema).await?;
    let (name, columns) = (table.name().to_owned(), Arc::clone(&schema));
    // Sorting and compressing a bucket takes a while: not on the reactor.
    let work = tokio::task::spawn_blocking(move || {
        let Merged { rows, counts } = merge(&name, there, &incoming, bucket, &columns)?;
        let encoded = match rows {
            Some(rows) => Some((delta::encode_parts(&name, &rows)?, statistics(&rows), count(&rows))),
            None => None,
        };
        Ok((encoded, counts))
    });
    let (encoded, counts) = work.await.map_err(|error| TableError::input(table.name(), error))??;
    let change = match encoded {
        Some((_, _, 0)) => Change::Emptied,
        Some((bytes, stats, rows)) => {
            let folder = Path::from(format!("{BUCKET}={bucket}"));
            Change::File(NewFile { written: table.write(&folder, bytes, rows).await?, stats })
        }
        None => Change::Nothing,
    };
    Ok(Replacement { bucket, replaces: files_of(state, bucket).cloned().collect(), schema, change, counts })
}

/// The bucket without the rows of a key, and how many those are.
pub(super) async fn without(
    table: &Table,
    state: &TableState,
    bucket: u32,
    key: &str,
) -> Result<(Replacement, usize), TableError> {
    let others = |keys: &StringArray| keys.iter().map(|one| Some(one != Some(key))).collect();
    only(table, state, bucket, KEY, others).await
}

/// The bucket with only the rows that `stays` accepts by a text column, and how many rows go.
pub(super) async fn only(
    table: &Table,
    state: &TableState,
    bucket: u32,
    column: &str,
    stays: impl Fn(&StringArray) -> BooleanArray,
) -> Result<(Replacement, usize), TableError> {
    let schema = row_schema(state);
    let there = read(table, state, bucket, &schema).await?;
    let mut order = Vec::new();
    for (at, batch) in there.iter().enumerate() {
        let mask = match batch.column_by_name(column).and_then(|texts| texts.as_string_opt::<i32>()) {
            Some(texts) => stays(texts),
            None => return Err(TableError::corrupt(table.name(), format!("a file has no column `{column}`"))),
        };
        order.extend(mask.iter().enumerate().filter(|(_, stays)| *stays == Some(true)).map(|(row, _)| (at, row)));
    }
    let gone = count(&there) - order.len();
    let change = match (gone, order.len()) {
        (0, _) => Change::Nothing,
        (_, 0) => Change::Emptied,
        (_, rows) => {
            let folder = Path::from(format!("{BUCKET}={bucket}"));
            let left = parts(table.name(), &there, &order)?;
            let written = table.write(&folder, delta::encode_parts(table.name(), &left)?, rows).await?;
            Change::File(NewFile { written, stats: statistics(&left) })
        }
    };
    let replaces = files_of(state, bucket).cloned().collect();
    Ok((Replacement { bucket, replaces, schema, change, counts: Counts::default() }, gone))
}

/// The action that brings a bucket's new file into the table, if there is one.
pub(super) fn add(work: &Replacement) -> Option<Add> {
    let Change::File(file) = &work.change else { return None };
    Some(Add {
        path: file.written.path.to_string(),
        partition_values: HashMap::from([(BUCKET.to_owned(), Some(work.bucket.to_string()))]),
        size: i64::try_from(file.written.size).unwrap_or(i64::MAX),
        modification_time: file.written.since,
        data_change: true,
        stats: Some(file.stats.clone()),
        ..Add::default()
    })
}

/// How many rows these are.
fn count(parts: &[RecordBatch]) -> usize {
    parts.iter().map(RecordBatch::num_rows).sum()
}

/// Delta's statistics of a file whose rows are sorted by key: how many, and the range of `_key` and `_seq`.
fn statistics(parts: &[RecordBatch]) -> String {
    let mut least = serde_json::Map::new();
    let mut greatest = serde_json::Map::new();
    let keys = |part: Option<&RecordBatch>| part?.column_by_name(KEY)?.as_string_opt::<i32>().cloned();
    if let Some((first, last)) = keys(parts.first()).zip(keys(parts.last())) {
        let ends = (!first.is_empty() && !last.is_empty()).then(|| (first.value(0), last.value(last.len() - 1)));
        if let Some((first, last)) = ends.filter(|(first, last)| first.len().max(last.len()) <= STATS_KEY_AT_MOST) {
            least.insert(KEY.to_owned(), first.into());
            greatest.insert(KEY.to_owned(), last.into());
        }
    }
    let ticks = parts.iter().filter_map(|part| part.column_by_name(SEQ));
    let ticks: Vec<_> = ticks.filter_map(|ticks| ticks.as_primitive_opt::<TimestampMicrosecondType>()).collect();
    let text = |micros| {
        // Statistics have milliseconds; a bound must not exclude the value that it was cut from.
        DateTime::from_timestamp_micros(micros).map(|tick| tick.to_rfc3339_opts(SecondsFormat::Millis, true))
    };
    let first = ticks.iter().filter_map(|ticks| arrow::compute::min(ticks)).min();
    let last = ticks.iter().filter_map(|ticks| arrow::compute::max(ticks)).max();
    let bounds = first.zip(last.map(|micros| micros.saturating_add(999)));
    if let Some((first, last)) = bounds.and_then(|(first, last)| text(first).zip(text(last))) {
        least.insert(SEQ.to_owned(), first.into());
        greatest.insert(SEQ.to_owned(), last.into());
    }
    let nulls = json!({ KEY: 0, SEQ: 0 });
    json!({ "numRecords": count(parts), "minValues": least, "maxValues": greatest, "nullCount": nulls }).to_string()
}
