//! Buckets of Silver become partial results: each bucket is read once, for all tables that lack what it comes to.
//!
//! Does not merge. A table that fails is left out from then on, and holds up no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use lake::TableError;
use lake::failure::Failure;
use lake::silver::Snapshot;
use seams::spans;

use super::role::Aggregate;
use super::stop::Stop;
use super::table::GoldTable;

/// Partial results with their places among the buckets.
pub(super) type Folded = Vec<(usize, Bytes)>;

/// What a table needs of the buckets.
pub(super) struct Share<'a> {
    pub(super) table: &'a GoldTable,
    /// What its plugin reads.
    columns: Vec<&'a str>,
    /// The buckets that it lacks, with their places.
    missing: BTreeMap<u32, usize>,
    folded: Mutex<Result<Folded, Stop>>,
}

impl<'a> Share<'a> {
    /// The share of a table that lacks these buckets, or has failed already.
    pub(super) fn of(table: &'a GoldTable, columns: Vec<&'a str>, missing: Result<BTreeMap<u32, usize>, Stop>) -> Self {
        let (missing, folded) = match missing {
            Ok(missing) => (missing, Ok(Folded::new())),
            Err(stop) => (BTreeMap::new(), Err(stop)),
        };
        Share { table, columns, missing, folded: Mutex::new(folded) }
    }

    /// The partial results of its buckets.
    pub(super) fn ended(self) -> Result<Folded, Stop> {
        self.folded.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn wants(&self, bucket: u32) -> bool {
        self.missing.contains_key(&bucket) && self.folded().is_ok()
    }

    fn fail(&self, stop: Stop) {
        let mut folded = self.folded();
        if folded.is_ok() {
            *folded = Err(stop);
        }
    }

    fn folded(&self) -> MutexGuard<'_, Result<Folded, Stop>> {
        self.folded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fold(&self, bucket: u32, rows: &[RecordBatch]) {
        let own: Result<Vec<RecordBatch>, TableError> = rows.iter().map(|rows| self.project(rows)).collect();
        let partial = match own {
            Ok(own) => {
                let count = own.iter().map(RecordBatch::num_rows).sum();
                let plugin = &*self.table.plugin;
                spans::called(spans::call(plugin, "fold", count), plugin.fold(&own)).await.map_err(Stop::from)
            }
            Err(error) => Err(error.into()),
        };
        match (partial, self.missing.get(&bucket)) {
            (Ok(partial), Some(at)) => {
                if let Ok(folded) = self.folded().as_mut() {
                    folded.push((*at, partial));
                }
            }
            (Ok(_), None) => {}
            (Err(stop), _) => self.fail(stop),
        }
    }

    /// The columns that its plugin reads, in the plugin's order.
    fn project(&self, rows: &RecordBatch) -> Result<RecordBatch, TableError> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for name in &self.columns {
            let found = rows.schema_ref().column_with_name(name).zip(rows.column_by_name(name));
            let ((_, field), column) =
                found.ok_or_else(|| TableError::input("silver", format!("no column `{name}`")))?;
            fields.push(field.clone());
            columns.push(column.clone());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(Schema::new(fields).into(), columns, &options)
            .map_err(|error| TableError::input("silver", error))
    }
}

/// Folds what the shares lack, some buckets at a time.
pub(super) async fn all(role: &Aggregate, snapshot: &Snapshot, shares: &[&Share<'_>]) {
    let buckets: BTreeSet<u32> = shares.iter().flat_map(|share| share.missing.keys().copied()).collect();
    let folds: Vec<_> = buckets.into_iter().map(|bucket| one(role, snapshot, shares, bucket)).collect();
    futures::stream::iter(folds).buffer_unordered(role.concurrency.get()).collect::<()>().await;
}

async fn one(role: &Aggregate, snapshot: &Snapshot, shares: &[&Share<'_>], bucket: u32) {
    let wanting: Vec<&&Share<'_>> = shares.iter().filter(|share| share.wants(bucket)).collect();
    if wanting.is_empty() {
        return;
    }
    let columns: BTreeSet<&str> = wanting.iter().flat_map(|share| share.columns.iter().copied()).collect();
    match role.silver.read(snapshot, bucket, Some(&columns.into_iter().collect::<Vec<_>>())).await {
        Ok(rows) => drop(join_all(wanting.iter().map(|share| share.fold(bucket, &rows))).await),
        Err(error) => {
            let stop = unread(role, snapshot, error).await;
            wanting.iter().for_each(|share| share.fail(stop.clone()));
        }
    }
}

/// What it means that a bucket could not be read.
async fn unread(role: &Aggregate, snapshot: &Snapshot, error: TableError) -> Stop {
    if let TableError::Missing { .. } = error {
        match role.silver.snapshot().await {
            // A host that slept for longer than old versions are kept goes on from the newest, the next time.
            Ok(newest) if newest.version > snapshot.version => return Failure::Transient(error.to_string()).into(),
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
    role.silver.distrust(&error);
    error.into()
}
