//! Eight writers on eight buckets of one table: our commits, against work that is redone whenever any other writer was faster.
//!
//! The other side is `deltalake-core`'s own commit with its conflict checker, which without a query engine takes every file for read. It does
//! less for each commit than Silver does: it encodes and writes the bucket's rows, but reads, merges and compares nothing. Both write to real
//! directories with fsync, in turn, and both start from the same table.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Add};
use deltalake_core::logstore::{StorageConfig, default_logstore};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use futures::future::join_all;
use lake::silver::bucket_of;
use local::DirStore;
use parquet::arrow::ArrowWriter;
use seams::store::{self, Store};

use super::rows::{amount, key, open, versions};
use super::{Size, median, timed};

const WRITERS: u32 = 8;
/// Rows of a bucket at first.
const ROWS: usize = 1000;

pub(crate) async fn measure(size: Size) {
    let (each, rounds) = if size == Size::Quick { (2, 1) } else { (25, 5) };
    let (mut ours, mut theirs, mut lost) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        ours.push(rebasing(each).await);
        let (rate, redone) = redoing(each).await;
        theirs.push(rate);
        lost += redone;
    }
    let commits = rounds * each as usize * WRITERS as usize;
    let (ours, theirs) = (median(ours), median(theirs));
    println!("commits: {WRITERS} writers on {WRITERS} buckets, fsync on: {ours:.0} commits/s");
    println!(
        "commits: the same, redone on any conflict: {theirs:.0} commits/s ({lost} redone for {commits}); ratio {:.1}×",
        ours / theirs
    );
}

/// Parts whose keys are in the bucket.
fn parts_of(bucket: u32) -> impl Iterator<Item = u32> {
    let buckets = WRITERS.try_into().unwrap();
    (0..).filter(move |part| bucket_of(&key(*part), buckets) == bucket)
}

async fn table(folder: &Path) -> Store {
    let store = DirStore::open(folder).unwrap();
    let parts: Vec<_> = (0..WRITERS).flat_map(|bucket| parts_of(bucket).take(ROWS)).collect();
    let all = versions(parts.iter().map(|part| (*part, amount(*part))), 0);
    open(&store, WRITERS).await.upsert(&all).await.unwrap();
    store
}

/// Each writer corrects a record of its bucket so many times; commits a second.
async fn rebasing(each: u32) -> f64 {
    let place = tempfile::tempdir().unwrap();
    table(place.path()).await;
    let mut writers = Vec::new();
    for bucket in 0..WRITERS {
        let silver = open(&DirStore::open(place.path()).unwrap(), WRITERS).await;
        let part = parts_of(bucket).next().unwrap();
        writers.push(async move {
            for generation in 1..=each {
                let done =
                    silver.upsert(&versions([(part, -i64::from(generation))].into_iter(), generation)).await.unwrap();
                assert!(done.committed);
            }
        });
    }
    rate(each, writers).await
}

async fn rate(each: u32, writers: Vec<impl Future<Output = ()> + Send + 'static>) -> f64 {
    let (took, ()) = timed(async {
        let tasks = writers.into_iter().map(tokio::spawn);
        join_all(tasks).await.into_iter().for_each(Result::unwrap);
    })
    .await;
    f64::from(WRITERS * each) / took.as_secs_f64()
}

/// The same by the other way; commits a second, and how often work was redone.
async fn redoing(each: u32) -> (f64, usize) {
    let place = tempfile::tempdir().unwrap();
    let store = table(place.path()).await;
    let silver = open(&store, WRITERS).await;
    let snapshot = silver.snapshot().await.unwrap();
    let redone = Arc::new(AtomicUsize::new(0));
    let mut writers = Vec::new();
    for bucket in 0..WRITERS {
        let rows = silver.read(&snapshot, bucket, None).await.unwrap().remove(0);
        let writer = Redoing { store: DirStore::open(place.path()).unwrap(), bucket, rows };
        let redone = Arc::clone(&redone);
        writers.push(async move {
            let mut table = writer.open().await;
            for _ in 0..each {
                while !writer.replace(&mut table).await {
                    redone.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let rate = rate(each, writers).await;
    (rate, redone.load(Ordering::Relaxed))
}

/// A writer of one bucket that starts over whenever its commit conflicts.
struct Redoing {
    store: Store,
    bucket: u32,
    rows: RecordBatch,
}

impl Redoing {
    async fn open(&self) -> DeltaTable {
        let root = "file:///".parse().unwrap();
        let log = default_logstore(Arc::clone(&self.store), Arc::clone(&self.store), &root, &StorageConfig::default());
        let mut table = DeltaTable::new(log);
        table.load().await.unwrap();
        table
    }

    /// Writes the bucket's new file and commits it in place of the one that is there. False if others were faster.
    async fn replace(&self, table: &mut DeltaTable) -> bool {
        table.update_state().await.unwrap();
        let state = table.snapshot().unwrap();
        let folder = format!("_bucket={}/", self.bucket);
        let files = state.log_data();
        let old = files.iter().filter(|file| file.path().starts_with(&folder));
        let mut actions: Vec<Action> = old.map(|file| Action::Remove(file.remove_action(true))).collect();
        actions.push(Action::Add(self.write(&folder).await));
        let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
        let commit = CommitBuilder::default().with_actions(actions);
        commit.build(Some(state), table.log_store(), operation).await.is_ok()
    }

    async fn write(&self, folder: &str) -> Add {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, self.rows.schema(), None).unwrap();
        writer.write(&self.rows).unwrap();
        writer.close().unwrap();
        let path = format!("{folder}{:032x}.parquet", rand::random::<u128>());
        let size = i64::try_from(bytes.len()).unwrap();
        store::replace(self.store.as_ref(), &path.as_str().into(), bytes.into()).await.unwrap();
        Add {
            path,
            size,
            partition_values: HashMap::from([("_bucket".to_owned(), Some(self.bucket.to_string()))]),
            data_change: true,
            stats: Some(format!(r#"{{"numRecords":{}}}"#, self.rows.num_rows())),
            ..Add::default()
        }
    }
}
