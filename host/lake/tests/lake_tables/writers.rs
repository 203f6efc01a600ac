//! Many writers at once, in memory and on disk: nothing is lost, and the result is that of one writer.
//!
//! Does not inject faults: that is `faults`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use lake::silver::bucket_of;
use object_store::local::LocalFileSystem;
use seams::store::Store;

use super::model::{Model, shuffle};
use super::support::{Doc, Stalling, buckets, content, doc, files_written, memory, open, versions};

const WRITERS: u32 = 8;
const BUCKETS: u32 = 8;

/// What happened.
struct Race {
    versions: i64,
    calls: usize,
    took: Duration,
}

impl Race {
    fn report(&self, what: &str) {
        let rate = f64::from(u32::try_from(self.versions).unwrap()) / self.took.as_secs_f64();
        println!("{what}: {} calls, {} commits, {rate:.0} commits/s", self.calls, self.versions);
    }
}

/// Lets each writer put in its documents, one a call, all at once, each through a handle of its own; then compares the table with the
/// model.
async fn race(store: &Store, work: Vec<Vec<Doc>>) -> Race {
    open(store, BUCKETS).await;
    let all: Vec<Doc> = work.iter().flatten().cloned().collect();
    let start = Instant::now();
    let writers = work.into_iter().map(|docs| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let silver = open(&store, BUCKETS).await;
            let mut seen = 0;
            for doc in &docs {
                let done = silver.upsert(&versions([doc])).await.unwrap();
                assert!(done.version >= seen, "a writer never goes back");
                assert_eq!(done.written + done.superseded + done.unchanged, 1);
                seen = done.version;
            }
        })
    });
    try_join_all(writers).await.unwrap();
    let took = start.elapsed();
    let silver = open(store, BUCKETS).await;
    assert_eq!(content(&silver).await, Model::of(&all).content(BUCKETS));
    let versions = silver.snapshot().await.unwrap().version;
    Race { versions, calls: all.len(), took }
}

/// For each writer, documents with keys that are all in a bucket of its own.
fn apart(each: usize) -> Vec<Vec<Doc>> {
    let mine = |writer: u32| {
        let keys = (0..).map(|at| format!("part-{at}")).filter(move |key| bucket_of(key, buckets(BUCKETS)) == writer);
        keys.take(each).map(|key| doc(&key, 1 + writer, 0)).collect()
    };
    (0..WRITERS).map(mine).collect()
}

/// For each writer the same keys, each in versions of its own, in an order of its own.
fn together(each: u32) -> Vec<Vec<Doc>> {
    let mine = |writer: u32| {
        let mut docs: Vec<Doc> = (0..each)
            .map(|at| Doc { line: writer, ..doc(&format!("part-{}", at % 5), 1 + at % 9, writer % 3) })
            .collect();
        shuffle(&mut docs, u64::from(writer) + 7);
        docs
    };
    (0..WRITERS).map(mine).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_different_buckets_in_memory() {
    let race = race(&memory(), apart(20)).await;
    assert_eq!(race.versions, 160, "each call is one commit: none was lost, none was made twice");
    race.report("memory, buckets apart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_the_same_buckets_in_memory() {
    race(&memory(), together(20)).await.report("memory, same buckets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_different_buckets_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let race = race(&disk(&folder), apart(12)).await;
    assert_eq!(race.versions, 96, "each call is one commit: none was lost, none was made twice");
    race.report("disk, buckets apart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_the_same_buckets_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    race(&disk(&folder), together(12)).await.report("disk, same buckets");
}

/// A writer stalls before each of its calls in turn while another commits to the same bucket and to another bucket.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_stalls_loses_nothing_of_others() {
    let (mut finished, mut redone) = (false, 0);
    let mut stops = 0..60;
    while !finished {
        let stop = stops.next().expect("an upsert takes fewer calls");
        let store = memory();
        let before = [doc("a", 1, 0), doc("b", 1, 0)];
        open(&store, 1).await.upsert(&versions(&before)).await.unwrap();
        let stalling = Stalling::over(&store);
        let slow_store = Arc::clone(&stalling.store);
        let mine = [doc("a", 2, 0), doc("b", 2, 0), doc("c", 1, 0)];
        let call = versions(&mine);
        let slow = tokio::spawn(async move { open(&slow_store, 1).await.upsert(&call).await.unwrap() });
        stalling.until_call(&slow, stop).await;
        finished = slow.is_finished();
        let theirs = [doc("a", 3, 0), doc("d", 1, 0)];
        open(&store, 1).await.upsert(&versions(&theirs)).await.unwrap();
        stalling.until_call(&slow, u64::MAX).await;
        let done = slow.await.unwrap();
        assert_eq!(done.written + done.superseded, 3, "{done:?}");
        // Two commits of others and its own make three files; a fourth is work that was overtaken and done again.
        redone += usize::from(files_written(&store).await == 4);
        let all = before.iter().chain(&mine).chain(&theirs);
        assert_eq!(content(&open(&store, 1).await).await, Model::of(all).content(1), "stalled at call {stop}");
    }
    assert!(redone > 0, "no stop was between the work and its commit");
}

fn disk(folder: &tempfile::TempDir) -> Store {
    Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap())
}
