//! Which version of a key stands: a join, so that order and repetition do not matter.
//!
//! A version may make no row where an earlier generation of a plugin made one of the same record version: then the earlier row goes. A
//! version that makes the rows that already stand leaves them as they are, so that nothing that depends on them is computed again.
//!
//! Does no I/O.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef};
use records::keys::rank;

use super::columns::{KEY, ORD, PLUGIN, SEQ, SOURCE, bucket_of, with_metadata_columns};
use super::parts::parts;
use super::rows::{RowMeta, Versions};
use crate::bronze;
use crate::delta::{TableError, conform};

/// The versions of one call, by bucket.
pub(super) struct Incoming {
    /// The plugin's columns, then the metadata columns.
    rows: RecordBatch,
    /// For each bucket its versions.
    units: BTreeMap<u32, Vec<Unit>>,
}

/// The rows of one version in [`Incoming::rows`]; none for one that makes no row.
struct Unit {
    meta: RowMeta,
    rows: Range<usize>,
}

/// What happened to the versions of one call in one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) written: usize,
    pub(super) superseded: usize,
    pub(super) unchanged: usize,
    pub(super) replaced: usize,
    pub(super) retracted: usize,
}

/// A merged bucket.
pub(super) struct Merged {
    /// All rows of the bucket, sorted by key, in parts as [`parts`] makes them; none if they are as before.
    pub(super) rows: Option<Vec<RecordBatch>>,
    pub(super) counts: Counts,
}

impl Incoming {
    /// Sorts versions into buckets. `columns` are the plugin's columns, which the rows must have.
    pub(super) fn sort(
        table: &str,
        versions: &Versions,
        columns: &SchemaRef,
        buckets: NonZeroU32,
    ) -> Result<Self, TableError> {
        let (rows, meta) = (versions.rows.num_rows(), &versions.meta);
        if rows != meta.len() {
            return Err(TableError::input(table, format!("{rows} rows with metadata of {} rows", meta.len())));
        }
        let mut units: BTreeMap<u32, Vec<Unit>> = BTreeMap::new();
        let mut start = 0;
        for run in meta.chunk_by(|a, b| version_of(a) == version_of(b)) {
            let end = start + run.len();
            if let Some(first) = run.first() {
                let unit = Unit { meta: first.clone(), rows: start..end };
                units.entry(bucket_of(&first.key, buckets)).or_default().push(unit);
            }
            start = end;
        }
        for gone in &versions.gone {
            let unit = Unit { meta: gone.clone(), rows: 0..0 };
            units.entry(bucket_of(&gone.key, buckets)).or_default().push(unit);
        }
        Ok(Incoming { rows: with_metadata(table, &conform(table, &versions.rows, columns)?, meta)?, units })
    }

    /// The buckets that get something.
    pub(super) fn buckets(&self) -> impl Iterator<Item = u32> {
        self.units.keys().copied()
    }
}

fn version_of(meta: &RowMeta) -> (&str, &str, &str) {
    (&meta.key, &meta.ord, &meta.source)
}

fn with_metadata(table: &str, rows: &RecordBatch, meta: &[RowMeta]) -> Result<RecordBatch, TableError> {
    let text = |of: fn(&RowMeta) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(meta.iter().map(of))) };
    let ticks = TimestampMicrosecondArray::from_iter_values(meta.iter().map(|meta| meta.seq.timestamp_micros()));
    let mut columns = rows.columns().to_vec();
    columns.extend([text(|meta| &meta.key), text(|meta| &meta.ord), Arc::new(ticks.with_timezone("UTC"))]);
    columns.extend([text(|meta| &meta.source), text(|meta| &meta.plugin)]);
    let mut fields = with_metadata_columns(rows.schema().fields());
    // The last one is the partition column, which no file holds.
    fields.truncate(columns.len());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| TableError::input(table, error))
}

/// The version of a key that stands so far.
struct Standing<'a> {
    /// Its [`rank`].
    version: (&'a str, &'a str, &'a str),
    /// Whether it came with this call.
    new: bool,
    /// Batch and row of each of its rows; batch 0 is what comes in.
    rows: Vec<(usize, usize)>,
}

/// The bucket's rows after the call. `there` are its rows before, `schema` is what all rows must have.
pub(super) fn merge(
    table: &str,
    there: Vec<RecordBatch>,
    incoming: &Incoming,
    bucket: u32,
    schema: &SchemaRef,
) -> Result<Merged, TableError> {
    let mut batches = vec![conform(table, &incoming.rows, schema)?];
    batches.extend(there);
    let mut standing = standing_in(table, &batches)?;
    let units = incoming.units.get(&bucket).map(Vec::as_slice).unwrap_or_default();
    let mut counts = Counts::default();
    let rows = Rows { batches: &batches, compared: plugin_columns(schema) };
    for unit in units {
        offer(&mut standing, unit, &rows, &mut counts);
    }
    count(&standing, units, &mut counts);
    if counts.written == 0 && counts.retracted == 0 {
        return Ok(Merged { rows: None, counts });
    }
    let order: Vec<(usize, usize)> = standing.values().flat_map(|standing| &standing.rows).copied().collect();
    Ok(Merged { rows: Some(parts(table, &batches, &order)?), counts })
}

/// What stands in the batches after the first.
fn standing_in<'a>(table: &str, batches: &'a [RecordBatch]) -> Result<BTreeMap<&'a str, Standing<'a>>, TableError> {
    let mut standing: BTreeMap<&str, Standing<'_>> = BTreeMap::new();
    for (batch_index, batch) in batches.iter().enumerate().skip(1) {
        let text = |name: &str| {
            let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            column.ok_or_else(|| TableError::corrupt(table, format!("a file has no column `{name}` of text")))
        };
        let (keys, ords, sources) = (text(KEY)?, text(ORD)?, text(SOURCE)?);
        for row in 0..batch.num_rows() {
            let version = rank(ords.value(row), sources.value(row));
            let here = (batch_index, row);
            let entry =
                standing.entry(keys.value(row)).or_insert_with(|| Standing { version, new: false, rows: Vec::new() });
            match version.cmp(&entry.version) {
                Ordering::Equal => entry.rows.push(here),
                Ordering::Greater => *entry = Standing { version, new: false, rows: vec![here] },
                Ordering::Less => {}
            }
        }
    }
    Ok(standing)
}

fn offer<'a>(standing: &mut BTreeMap<&'a str, Standing<'a>>, unit: &'a Unit, rows: &Rows<'_>, counts: &mut Counts) {
    let version = rank(&unit.meta.ord, &unit.meta.source);
    let fresh = || Standing { version, new: true, rows: unit.rows.clone().map(|row| (0, row)).collect() };
    let Some(entry) = standing.get_mut(unit.meta.key.as_str()) else {
        if !unit.rows.is_empty() {
            standing.insert(&unit.meta.key, fresh());
        }
        return;
    };
    if unit.rows.is_empty() {
        // Only what was made of this very line goes, or of the lines that it replaces: any other version stands in its own right.
        let same = entry.version.1 == version.1 || stands_for_others(version.1);
        if same && entry.version < version && tick_in(entry.version.0) == tick_in(version.0) {
            counts.retracted += usize::from(!entry.new);
            standing.remove(unit.meta.key.as_str());
        }
        return;
    }
    let same_place = entry.version.1 == version.1;
    if entry.version > version || (same_place && rows.equal(&entry.rows, &unit.rows)) {
        return;
    }
    counts.replaced += usize::from(!entry.new);
    *entry = fresh();
}

/// Whether a line was enriched again: then it stands for every earlier line of its record version.
fn stands_for_others(source: &str) -> bool {
    bronze::place(source).is_some_and(|(object, _)| bronze::is_redo(&object))
}

/// The tick in the text that orders versions.
fn tick_in(ord: &str) -> &str {
    ord.split_once('.').map_or(ord, |(tick, _)| tick)
}

/// The rows that versions are made of.
struct Rows<'a> {
    batches: &'a [RecordBatch],
    /// The plugin's columns, by index: a difference in the engine's own columns does not make another row.
    compared: Vec<usize>,
}

impl Rows<'_> {
    /// Whether the rows that stand equal those that come in.
    fn equal(&self, standing: &[(usize, usize)], incoming: &Range<usize>) -> bool {
        let one = |batch: usize, row: usize, column: usize| {
            self.batches.get(batch).and_then(|rows| rows.columns().get(column)).map(|values| values.slice(row, 1))
        };
        standing.len() == incoming.len()
            && standing.iter().zip(incoming.clone()).all(|((batch, row), new)| {
                self.compared.iter().all(|column| one(*batch, *row, *column) == one(0, new, *column))
            })
    }
}

fn plugin_columns(schema: &Schema) -> Vec<usize> {
    let own = [KEY, ORD, SEQ, SOURCE, PLUGIN];
    let columns = schema.fields().iter().enumerate();
    columns.filter(|(_, field)| !own.contains(&field.name().as_str())).map(|(index, _)| index).collect()
}

/// Counts each different version of the call once, by what stands in the end.
fn count(standing: &BTreeMap<&str, Standing<'_>>, units: &[Unit], counts: &mut Counts) {
    let with_rows = units.iter().filter(|unit| !unit.rows.is_empty());
    let versions: BTreeSet<_> = with_rows.map(|unit| version_of(&unit.meta)).collect();
    for (key, ord, source) in versions {
        match standing.get(key) {
            Some(winner) if winner.version == rank(ord, source) && winner.new => counts.written += 1,
            // The same rows stand, perhaps made by an earlier generation.
            Some(winner) if winner.version.1 == source => counts.unchanged += 1,
            _ => counts.superseded += 1,
        }
    }
}
