//! A table whose log holds arbitrary bytes.
//!
//! Does not know what a log entry means: it only asks that reading one ends in a table or an error.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::TryStreamExt as _;
use lake::Lake;
use lake::silver::Silver;
use object_store::ObjectStore as _;
use object_store::memory::InMemory;
use seams::plugin::{ColumnType, ScalarType};
use seams::store::{Path, Store, read, replace};
use testkit::SimClock;
use testkit::rows::{descriptor, output};

/// A lake in memory with nothing in it.
pub(crate) fn empty_lake() -> Lake {
    let store = || Arc::new(InMemory::new()) as Store;
    Lake { bronze: store(), silver: store(), gold: store(), buckets: NonZeroU32::MIN }
}

/// Waits for work that needs no reactor but its own.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
    Some(runtime.block_on(work))
}

/// An entry of a Delta log. The first byte chooses which object of the log it is: the first commit, a later one, or the hint to the last
/// checkpoint.
pub fn delta_log(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let name = match choice % 3 {
        0 => "_delta_log/00000000000000000000.json",
        1 => "_delta_log/00000000000000000001.json",
        _ => "_delta_log/_last_checkpoint",
    };
    wait(open_with(name, Bytes::copy_from_slice(data)));
}

/// The objects of a table that was just made: making it again for each input would take most of the time.
static NEW: OnceLock<Vec<(Path, Bytes)>> = OnceLock::new();

async fn open(store: &Store) -> Option<Silver> {
    let mut plugin = descriptor("clean-parts", "1.0.0");
    plugin.output = vec![output("label", ColumnType::Scalar(ScalarType::Utf8))];
    let clock = SimClock::at("2026-03-01T04:00:00Z");
    Silver::open(Arc::clone(store), clock, plugin.output_schema(), NonZeroU32::MIN).await.ok()
}

async fn objects_of_a_new_table() -> Option<Vec<(Path, Bytes)>> {
    let store: Store = Arc::new(InMemory::new());
    open(&store).await?;
    let mut objects = Vec::new();
    let paths: Vec<Path> = store.list(None).map_ok(|object| object.location).try_collect().await.ok()?;
    for path in paths {
        objects.push((path.clone(), read(&*store, &path).await.ok()?));
    }
    Some(objects)
}

async fn open_with(name: &str, entry: Bytes) -> Option<()> {
    if NEW.get().is_none() {
        let _ = NEW.set(objects_of_a_new_table().await?);
    }
    let store: Store = Arc::new(InMemory::new());
    let entry = (Path::from(name), entry);
    for (path, bytes) in NEW.get()?.iter().chain([&entry]) {
        replace(&*store, path, bytes.clone()).await.ok()?;
    }
    let silver = open(&store).await?;
    let snapshot = silver.snapshot().await.ok()?;
    for bucket in snapshot.buckets.keys() {
        let _ = silver.read(&snapshot, *bucket, None).await;
    }
    let _ = silver.last_commit().await;
    let _ = silver.damaged(&snapshot).await;
    Some(())
}
