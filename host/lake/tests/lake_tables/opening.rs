//! Opening: a log of any length is found by its names, one that lacks an entry is never taken for a shorter one, and the listing handles
//! any other log.
//!
//! Does not measure: the benchmark `lake` of the local adapters does.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use lake::silver::Silver;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use seams::store::{Store, replace};

use super::gold;
use super::support::{buckets, clock, content, doc, memory, open, schema, versions};

/// A store that lists nothing, and counts what is read.
#[derive(Debug)]
struct Unlisted {
    inner: Store,
    reads: AtomicUsize,
}

impl std::fmt::Display for Unlisted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unlisted({})", self.inner)
    }
}

fn refused() -> Error {
    Error::Generic { store: "Unlisted", source: "nothing is listed here".into() }
}

#[async_trait]
impl ObjectStore for Unlisted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { Err(refused()) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(refused())
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A table after so many commits.
async fn table(commits: u32) -> Store {
    let store = memory();
    let silver = open(&store, 3).await;
    for at in 0..commits {
        let one = doc(&format!("k{}", at % 7), 1 + at / 500, at % 500);
        assert!(silver.upsert(&versions([&one])).await.unwrap().committed);
    }
    store
}

/// What a process without the right to list finds, and how many reads it took.
async fn unlisted(store: &Store) -> (Silver, usize) {
    let unlisted = Arc::new(Unlisted { inner: Arc::clone(store), reads: AtomicUsize::new(0) });
    let silver = Silver::open(Arc::clone(&unlisted) as Store, clock(), schema(), buckets(3)).await.unwrap();
    let reads = unlisted.reads.load(Ordering::Relaxed);
    (silver, reads)
}

fn log(name: &str) -> Path {
    Path::from(format!("_delta_log/{name}"))
}

fn entry(version: u64) -> Path {
    log(&format!("{version:020}.json"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_any_length_is_opened_with_as_few_reads() {
    let mut taken = Vec::new();
    for commits in [7, 107, 207, 407] {
        let store = table(commits).await;
        let (silver, reads) = unlisted(&store).await;
        assert_eq!(silver.snapshot().await.unwrap().version, i64::from(commits));
        assert_eq!(content(&silver).await, content(&open(&store, 3).await).await);
        taken.push(reads);
    }
    assert_eq!(taken[1], taken[2], "{taken:?}");
    assert_eq!(taken[2], taken[3], "{taken:?}");
    // The checkpoint: its size, its end, and the columns that are read.
    assert!(taken[1] <= taken[0] + 5, "{taken:?}");
}

#[tokio::test]
async fn a_table_that_nobody_looks_at_is_neither_read_nor_made() {
    let store = memory();
    let counted = Arc::new(Unlisted { inner: Arc::clone(&store), reads: AtomicUsize::new(0) });
    let silver = Silver::unopened(Arc::clone(&counted) as Store, clock(), &schema(), buckets(3)).unwrap();
    let objects = async || store.list(None).try_collect::<Vec<_>>().await.unwrap().len();
    assert_eq!((counted.reads.load(Ordering::Relaxed), objects().await), (0, 0));

    // Two processes that look first at the same moment find the same table.
    let unopened = Silver::unopened(Arc::clone(&store), clock(), &schema(), buckets(3)).unwrap();
    let (one, other) = tokio::join!(unopened.snapshot(), unopened.snapshot());
    assert_eq!((one.unwrap().version, other.unwrap().version, objects().await), (0, 0, 1));
    unopened.upsert(&versions([&doc("k", 1, 1)])).await.unwrap();
    assert_eq!(silver.snapshot().await.unwrap().rows, 1);
}

/// The checkpoint and the commits after it add up to what the writer knows, however they are found.
#[tokio::test(flavor = "multi_thread")]
async fn by_name_or_listed_the_table_is_the_same() {
    let store = memory();
    let writer = open(&store, 5).await;
    for at in 0..130 {
        let one = doc(&format!("k{at}"), 1, at);
        writer.upsert(&versions([&one])).await.unwrap();
    }
    let wanted = writer.snapshot().await.unwrap();
    let same = async |how: &str| {
        let open = Silver::open(Arc::clone(&store), clock(), schema(), buckets(5)).await.unwrap();
        let found = open.snapshot().await.unwrap();
        assert_eq!((found.version, found.rows, found.generation), (wanted.version, wanted.rows, wanted.generation));
        assert_eq!(found.buckets, wanted.buckets, "{how}");
        assert_eq!(content(&open).await, content(&writer).await, "{how}");
    };
    same("by the hint").await;
    replace(&*store, &log("_last_checkpoint"), "no hint at all".into()).await.unwrap();
    same("from the first commit on").await;
    store.delete(&log("_last_checkpoint")).await.unwrap();
    same("from the first commit on").await;
    for version in 0..50 {
        store.delete(&entry(version)).await.unwrap();
    }
    same("listed").await;
}

/// Gold's Silver version is in no file and no configuration, but in an action of its own, which a checkpoint keeps as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_says_which_silver_version_gold_was_made_from() {
    let store = memory();
    let writer = gold::open(&store).await;
    for version in 1..=100 {
        writer.publish(&gold::rows(version / 40), version, 1).await.unwrap();
    }
    for version in 1..100 {
        store.delete(&Path::from(format!("sums/{}", entry(version)))).await.unwrap();
    }
    let unlisted: Store = Arc::new(Unlisted { inner: Arc::clone(&store), reads: AtomicUsize::new(0) });
    let found = gold::open(&unlisted).await;
    assert_eq!(found.silver_version().await.unwrap(), Some(100));
    assert_eq!(found.generation().await.unwrap(), Some(1));
    assert_eq!(found.current().await.unwrap().unwrap(), gold::rows(2));
}

/// Up to seven commits in a row may be lost, and the table is not opened as if there were none after them.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lacks_an_entry_is_not_taken_for_a_shorter_one() {
    for (commits, lost) in [(6, 3..4), (6, 1..6), (9, 2..9), (107, 103..104), (107, 101..107)] {
        let store = table(commits).await;
        for version in lost.clone() {
            store.delete(&entry(version)).await.unwrap();
        }
        let opened = Silver::open(Arc::clone(&store), clock(), schema(), buckets(3)).await;
        let Err(error) = opened else { panic!("{commits} commits without {lost:?} were opened") };
        let told = format!("its log lacks version {}, and has a later one", lost.start);
        assert!(error.to_string().contains(&told), "{lost:?} of {commits}: {error}");
    }
}

/// A checkpoint without the commit of its version is no end that can be trusted: both may have been cleaned up since.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_stands_alone_is_listed() {
    let store = table(100).await;
    assert_eq!(unlisted(&store).await.0.snapshot().await.unwrap().version, 100);
    store.delete(&entry(100)).await.unwrap();
    let unlisted: Store = Arc::new(Unlisted { inner: Arc::clone(&store), reads: AtomicUsize::new(0) });
    assert!(Silver::open(unlisted, clock(), schema(), buckets(3)).await.is_err(), "it wants the listing");
}
