//! Gold of many buckets: merged in groups, it is what it is without them, in every order and number; and a plugin whose `merge` is not
//! associative makes no table.
//!
//! Does not run the roles before: rows are put into Silver as they are.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{AsArray, RecordBatch};
use bytes::Bytes;
use engine::progress::Progress;
use engine::roles::aggregate::{Aggregate, FAN_OUT, GoldTable, Tried};
use futures::TryStreamExt;
use lake::Lake;
use lake::failure::Failure;
use lake::generations::Generations;
use lake::gold::Gold;
use lake::silver::{RowMeta, Silver, Versions};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use seams::plugin::{ColumnType, Descriptor, ScalarType};
use seams::store::{Path, read, replace};
use serde_json::json;
use testkit::plugins::ClosureAggregator;
use testkit::{LeapClock, rows};

/// A lake whose Silver has one column, `label`.
struct Labels {
    lake: Lake,
    silver: Silver,
}

/// What a plugin was asked for.
#[derive(Debug, Default)]
struct Calls {
    folds: AtomicUsize,
    merges: AtomicUsize,
    /// Partial results of the last finish.
    finished: AtomicUsize,
}

impl Calls {
    /// Folds and merges since the last time, and the partial results of the last finish.
    fn take(&self) -> (usize, usize, usize) {
        let [folds, merges, finished] =
            [&self.folds, &self.merges, &self.finished].map(|count| count.swap(0, Ordering::Relaxed));
        (folds, merges, finished)
    }
}

fn label() -> Descriptor {
    let mut descriptor = rows::descriptor("clean-labels", "1.0.0");
    descriptor.output = vec![rows::output("label", ColumnType::Scalar(ScalarType::Utf8))];
    descriptor
}

fn lists(version: &str) -> Descriptor {
    let mut descriptor = rows::descriptor("list-labels", version);
    descriptor.input = vec![rows::input("label", ColumnType::Scalar(ScalarType::Utf8))];
    descriptor.output = label().output;
    descriptor
}

fn labels_in(batches: &[RecordBatch]) -> Vec<String> {
    let columns = batches.iter().map(|batch| batch.column_by_name("label").unwrap().as_string::<i32>());
    columns.flatten().flatten().map(str::to_owned).collect()
}

fn table_of(labels: &[String]) -> RecordBatch {
    rows::batch(&label(), &labels.iter().map(|label| json!({ "label": label })).collect::<Vec<_>>())
}

/// Lists all labels, sorted, each with the version's mark.
fn listing(version: &'static str, calls: &Arc<Calls>) -> ClosureAggregator {
    listed(version, calls, |labels| labels.sort())
}

/// Lists all labels, each with the version's mark: an associative merge which is not commutative, unless the table is put in order.
fn listed(version: &'static str, calls: &Arc<Calls>, in_order: fn(&mut Vec<String>)) -> ClosureAggregator {
    let joined = |partials: &[Bytes]| -> Vec<String> {
        partials.iter().flat_map(|partial| serde_json::from_slice::<Vec<String>>(partial).unwrap()).collect()
    };
    let (of_fold, of_merge, of_finish) = (Arc::clone(calls), Arc::clone(calls), Arc::clone(calls));
    ClosureAggregator::new(
        lists(version),
        move |_, batches| {
            of_fold.folds.fetch_add(1, Ordering::Relaxed);
            let marked = labels_in(batches).into_iter().map(|label| format!("{label}@{version}"));
            Ok(serde_json::to_vec(&marked.collect::<Vec<_>>()).unwrap().into())
        },
        move |_, partials| {
            of_merge.merges.fetch_add(1, Ordering::Relaxed);
            Ok(serde_json::to_vec(&joined(partials)).unwrap().into())
        },
        move |_, partials| {
            of_finish.finished.store(partials.len(), Ordering::Relaxed);
            let mut labels = joined(partials);
            in_order(&mut labels);
            Ok(table_of(&labels))
        },
    )
}

/// The shortest label, with the number of merges of partial results: not associative.
fn counting() -> ClosureAggregator {
    let merged = |partials: &[Bytes]| -> (String, usize) {
        let all = partials.iter().map(|partial| serde_json::from_slice::<(String, usize)>(partial).unwrap());
        all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1) + 1)).unwrap()
    };
    ClosureAggregator::new(
        lists("9.0.0"),
        |_, batches| {
            let least = labels_in(batches).into_iter().min().unwrap();
            Ok(serde_json::to_vec(&(least, 0)).unwrap().into())
        },
        move |_, partials| Ok(serde_json::to_vec(&merged(partials)).unwrap().into()),
        move |_, partials| {
            let (least, merges) = merged(partials);
            Ok(table_of(&[least, format!("{merges} merges")]))
        },
    )
}

impl Labels {
    /// So many rows in up to so many buckets.
    async fn new(buckets: u32, count: usize) -> Self {
        let store = || -> Arc<dyn ObjectStore> { Arc::new(InMemory::new()) };
        let buckets = NonZeroU32::new(buckets).unwrap();
        let lake = Lake { bronze: store(), silver: store(), gold: store(), buckets };
        let clock = LeapClock::at("2026-01-01T03:00:00Z");
        let silver = Silver::open(lake.silver.clone(), clock, label().output_schema(), buckets).await.unwrap();
        let labels = Labels { lake, silver };
        labels.put((0..count).map(|at| (format!("key-{at}"), format!("label {at}"))), 1).await;
        labels
    }

    async fn put(&self, records: impl Iterator<Item = (String, String)>, generation: u32) {
        let (keys, labels): (Vec<_>, Vec<_>) = records.unzip();
        let meta = |key: &String| RowMeta {
            key: key.clone(),
            ord: format!("2026-01-01T03:00:00Z.{generation:06}"),
            seq: "2026-01-01T03:00:00Z".parse().unwrap(),
            source: format!("run=2026-01-01T03:00:00Z/batch=0.jsonl:{key}"),
            plugin: "sha256:00".into(),
        };
        let meta = keys.iter().map(meta).collect();
        let versions = Versions { rows: table_of(&labels), meta, gone: Vec::new(), generation: 1 };
        self.silver.upsert(&versions).await.unwrap();
    }

    /// A role over it, as in a process that has just started.
    async fn aggregate(&self, plugin: ClosureAggregator) -> Aggregate {
        let clock = LeapClock::at("2026-01-01T03:00:00Z");
        let gold = Gold::open(self.lake.gold.clone(), clock, "labels", label().output_schema()).await.unwrap();
        self.aggregate_with(plugin, gold)
    }

    fn aggregate_with(&self, plugin: ClosureAggregator, gold: Gold) -> Aggregate {
        let table = GoldTable {
            name: "labels".into(),
            plugin: Arc::new(plugin),
            config: "{}".into(),
            gold,
            generations: Generations::of_aggregate(&self.lake, "labels"),
            generation: tokio::sync::OnceCell::new(),
            tried: Tried::default(),
        };
        let (concurrency, progress) = (NonZeroUsize::new(2).unwrap(), Arc::new(Progress::default()));
        Aggregate { lake: self.lake.clone(), silver: self.silver.clone(), tables: vec![table], concurrency, progress }
    }

    /// All labels in their order, by themselves.
    async fn expected(&self, version: &str) -> Vec<String> {
        let snapshot = self.silver.snapshot().await.unwrap();
        let mut all = Vec::new();
        for bucket in snapshot.buckets.keys() {
            all.extend(labels_in(&self.silver.read(&snapshot, *bucket, Some(&["label"])).await.unwrap()));
        }
        let mut all: Vec<String> = all.into_iter().map(|label| format!("{label}@{version}")).collect();
        all.sort();
        all
    }
}

async fn gold(aggregate: &Aggregate) -> Vec<String> {
    labels_in(&[aggregate.tables[0].gold.current().await.unwrap().unwrap()])
}

#[tokio::test(flavor = "multi_thread")]
async fn gold_is_the_same_with_groups_and_without() {
    let fan_out = FAN_OUT as usize;
    for (buckets, records) in [(1, 3), (63, 700), (64, 700), (65, 700), (200, 2000), (200, 150)] {
        let labels = Labels::new(buckets, records).await;
        let calls = Arc::new(Calls::default());
        let aggregate = labels.aggregate(listing("1.0.0", &calls)).await;
        aggregate.versions(&[]).await.unwrap();
        assert_eq!(gold(&aggregate).await, labels.expected("1.0.0").await, "{buckets} buckets");
        let there = labels.silver.snapshot().await.unwrap().buckets.len();
        assert_eq!(calls.take().0, there, "each bucket is folded once");
        assert!(records < buckets as usize || there == buckets as usize, "{there} of {buckets} buckets have rows");

        labels.put([("key-1".to_owned(), "another".to_owned())].into_iter(), 2).await;
        aggregate.versions(&[]).await.unwrap();
        let now = gold(&aggregate).await;
        assert_eq!(now, labels.expected("1.0.0").await, "{buckets} buckets");
        assert!(now.contains(&"another@1.0.0".to_owned()));
        let groups = buckets.div_ceil(FAN_OUT) as usize;
        let wanted = if there > fan_out { (1, 1, groups) } else { (1, 0, there) };
        assert_eq!(calls.take(), wanted, "what one correction among {buckets} buckets costs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_groups_survive_the_process() {
    let labels = Labels::new(200, 2000).await;
    let calls = Arc::new(Calls::default());
    labels.aggregate(listing("1.0.0", &calls)).await.versions(&[]).await.unwrap();
    // Four groups to make, and four to try the plugin.
    assert_eq!(calls.take(), (200, 8, 4));
    let next = labels.aggregate(listing("1.0.0", &calls)).await;
    next.versions(&[]).await.unwrap();
    assert_eq!(calls.take(), (0, 4, 4), "a process tries the plugin again, and makes nothing");
    assert_eq!(gold(&next).await, labels.expected("1.0.0").await);
}

/// One process goes from a plugin to the next, so that what the first has merged is in its memory.
#[tokio::test(flavor = "multi_thread")]
async fn another_generation_never_uses_what_the_one_before_has_merged() {
    let labels = Labels::new(200, 2000).await;
    let calls = Arc::new(Calls::default());
    let first = labels.aggregate(listing("1.0.0", &calls)).await;
    first.versions(&[]).await.unwrap();
    calls.take();
    let second = labels.aggregate_with(listing("2.0.0", &calls), first.tables[0].gold.clone());
    second.versions(&[]).await.unwrap();
    assert_eq!(calls.take(), (200, 8, 4), "all again");
    assert_eq!(gold(&second).await, labels.expected("2.0.0").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_costs_folds_and_merges_and_changes_nothing() {
    let labels = Labels::new(65, 700).await;
    let calls = Arc::new(Calls::default());
    labels.aggregate(listing("1.0.0", &calls)).await.versions(&[]).await.unwrap();
    let store = &labels.lake.gold;
    let packs: Vec<_> = store.list(Some(&Path::from("_partials/labels"))).try_collect().await.unwrap();
    assert_eq!(packs.len(), 1);
    let mut bytes = read(&**store, &packs[0].location).await.unwrap().to_vec();
    // The last byte belongs to a partial result: the closing bracket of a list.
    *bytes.last_mut().unwrap() = b' ';
    replace(&**store, &packs[0].location, bytes.into()).await.unwrap();
    calls.take();
    let next = labels.aggregate(listing("1.0.0", &calls)).await;
    labels.put([("key-1".to_owned(), "another".to_owned())].into_iter(), 2).await;
    next.versions(&[]).await.unwrap();
    assert_eq!(calls.take().0, 65, "everything is folded again");
    assert_eq!(gold(&next).await, labels.expected("1.0.0").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_not_associative_is_refused_and_the_old_table_stays() {
    for (buckets, told) in [(4, "4 partial results merged one by one"), (200, "200 partial results merged one by one")]
    {
        let labels = Labels::new(buckets, 2000).await;
        let calls = Arc::new(Calls::default());
        let good = labels.aggregate(listing("1.0.0", &calls)).await;
        good.versions(&[]).await.unwrap();
        let bad = labels.aggregate(counting()).await;
        for _ in 0..2 {
            let failure = bad.versions(&[]).await.unwrap_err();
            let Failure::Plugin(words) = &failure else { panic!("{failure:?}") };
            assert!(words.contains("P141") && words.contains(told), "{words}");
            let one_by_one = format!("row 2 ({} merges): `label` is {} merges, recomputed", buckets - 1, buckets - 1);
            assert!(words.contains(&one_by_one), "the counter-example is told: {words}");
        }
        assert_eq!(gold(&bad).await, labels.expected("1.0.0").await);
        assert_eq!(bad.tables[0].gold.generation().await.unwrap(), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_not_commutative_is_refused_and_the_old_table_stays() {
    for buckets in [2, 4, 200] {
        let labels = Labels::new(buckets, 2000).await;
        let calls = Arc::new(Calls::default());
        labels.aggregate(listing("1.0.0", &calls)).await.versions(&[]).await.unwrap();
        let bad = labels.aggregate(listed("2.0.0", &calls, |_| {})).await;
        let failure = bad.versions(&[]).await.unwrap_err();
        let Failure::Plugin(words) = &failure else { panic!("{failure:?}") };
        assert!(words.contains("P141") && words.contains("`merge` is not commutative"), "{words}");
        assert!(words.contains("row 1 ("), "the counter-example is told: {words}");
        assert_eq!(gold(&bad).await, labels.expected("1.0.0").await);
    }
}
