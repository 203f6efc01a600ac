//! Two hosts that work on different lines of one Bronze object at the same instant: what each has to say of its lines stays said.
//!
//! Does not race by chance: both have read a receipt before either goes on.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use lake::events::{Again, NewObject};
use lake::{bronze, quarantine, receipts};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use seams::store::{Path, Store};
use testkit::ScriptedHttp;
use tokio::sync::Barrier;

use super::replay::says;
use super::world::{Options, TICK, World};

/// A store that lets the first reads of receipts return in pairs.
#[derive(Debug)]
struct InStep {
    inner: Store,
    reads: AtomicUsize,
    both: Barrier,
}

impl InStep {
    fn over(inner: Store) -> Arc<Self> {
        Arc::new(InStep { inner, reads: AtomicUsize::new(0), both: Barrier::new(2) })
    }

    /// From now on so many.
    fn hold(&self, reads: usize) {
        self.reads.store(reads, Ordering::SeqCst);
    }
}

impl std::fmt::Display for InStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InStep({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for InStep {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.inner.get_opts(location, options).await;
        let one_less = |left: usize| left.checked_sub(1);
        if location.as_ref().starts_with("_receipts/")
            && self.reads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
        {
            self.both.wait().await;
        }
        found
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Of ten orders the plugin of version 1 rejects the second and the seventh; all are in one object.
fn service() -> Arc<ScriptedHttp> {
    says(&["o1", "o6"], "reject")
}

/// Each reads the receipt to see what is to be done, and once more when it is.
const READS: usize = 4;

#[tokio::test(start_paused = true)]
async fn two_cleaners_of_one_object_lose_nothing_of_each_other() {
    let options = Options { batch_size: 10, ..Options::default() };
    let mut world = World::new(&options);
    let store = InStep::over(world.lake.silver.clone());
    world.lake.silver = store.clone();
    world.once(&world.host(&options, service()).await, TICK).await.unwrap();
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 2);
    let [object] = &bronze::inventory(&world.lake, None).await.unwrap().objects[..] else { panic!("one object") };

    let later = Options { clean_version: "2.0.0", ..options };
    let (one, other) = (world.host(&later, service()).await, world.host(&later, service()).await);
    let event = |lines: &[usize]| [NewObject { bronze: object.to_string(), lines: lines.to_vec(), again: false }];
    store.hold(READS);
    // The fifth is in two hands.
    let (some, others) = (event(&[1, 2, 3, 4, 5]), event(&[5, 6, 7, 8, 9]));
    let (first, second) = tokio::join!(one.clean.objects(&some), other.clean.objects(&others));
    first.unwrap();
    second.unwrap();
    assert_eq!(store.reads.load(Ordering::SeqCst), 0, "they were in step");
    let receipt = receipts::get(&world.lake, object).await.unwrap().unwrap();
    assert_eq!(receipt.stale_lines(2).collect::<Vec<_>>(), [10]);
    assert_eq!((receipt.cleaned, receipt.quarantined.len()), (10, 0), "both have let one go");
    assert_eq!(quarantine::ids(&world.lake).await.unwrap(), Vec::<String>::new());
    assert!(world.once(&one, TICK).await.unwrap().left.is_nothing());
    let report = world.verify(&one).await;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[tokio::test(start_paused = true)]
async fn two_enrichers_of_one_object_lose_nothing_of_each_other() {
    let options = Options { batch_size: 10, ..Options::default() };
    let mut world = World::new(&options);
    let store = InStep::over(world.lake.bronze.clone());
    world.lake.bronze = store.clone();
    world.once(&world.host(&options, service()).await, TICK).await.unwrap();
    let [object] = &bronze::inventory(&world.lake, None).await.unwrap().objects[..] else { panic!("one object") };

    let later = Options { enrich_version: "2.0.0", ..options };
    let (one, other) = (world.host(&later, service()).await, world.host(&later, service()).await);
    let again = |lines: &[usize]| Again {
        pipeline: "orders".into(),
        bronze: object.to_string(),
        lines: lines.to_vec(),
        fetch: false,
    };
    store.hold(READS);
    let (some, others) = (again(&[1, 2, 3]), again(&[4, 5, 6]));
    let stage = tokio::sync::Semaphore::new(4);
    let (first, second) = tokio::join!(one.enrich.again(&some, &stage), other.enrich.again(&others, &stage));
    first.unwrap();
    second.unwrap();
    assert_eq!(store.reads.load(Ordering::SeqCst), 0, "they were in step");
    let receipt = receipts::enriched(&world.lake, object).await.unwrap().unwrap();
    assert_eq!(receipt.seen.into_keys().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}
