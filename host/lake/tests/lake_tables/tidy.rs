//! Tidying up: what goes, what stays, and that no live file is ever lost, whichever processes race and whatever fails.
//!
//! Does not run the service that calls it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::join_all;
use lake::TableError;
use lake::delta::Tidied;
use lake::silver::{Silver, bucket_of};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use seams::clock::Clock;
use seams::store::{Store, read_if_there, replace};
use testkit::{Counting, Dated, Fate, Faults, Faulty, Requests, SimClock, Verb};

use super::model::Model;
use super::support::{Doc, Stalling, buckets, content, doc, memory, schema, versions};

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// A store and its time.
struct World {
    clock: Arc<SimClock>,
    store: Store,
}

impl World {
    fn new() -> Self {
        let clock = SimClock::at("2026-03-01T04:00:00Z");
        World { store: Dated::over(memory(), clock.clone()), clock }
    }

    async fn silver(&self, store: &Store, count: u32) -> Result<Silver, TableError> {
        Silver::open(Arc::clone(store), self.clock.clone(), schema(), buckets(count)).await
    }

    fn pass(&self, span: Duration) {
        self.clock.jump(self.clock.now() + span);
    }

    /// One commit an hour; each replaces the file of its bucket.
    async fn commits(&self, silver: &Silver, generations: std::ops::Range<u32>) -> Vec<Doc> {
        let docs: Vec<Doc> = generations.map(|at| doc(&format!("k{}", at % 5), 1, at)).collect();
        for doc in &docs {
            self.pass(HOUR);
            silver.upsert(&versions([doc])).await.unwrap();
        }
        docs
    }

    async fn objects(&self, below: &str) -> Vec<String> {
        let all: Vec<_> = self.store.list(None).try_collect().await.unwrap();
        let paths = all.into_iter().map(|object| object.location.to_string());
        paths.filter(|path| path.starts_with(below)).collect()
    }
}

async fn is_whole(silver: &Silver, version: i64) -> bool {
    let snapshot = silver.snapshot_at(version).await.unwrap();
    for bucket in snapshot.buckets.keys() {
        match silver.read(&snapshot, *bucket, None).await {
            Ok(_) => {}
            Err(TableError::Missing { .. }) => return false,
            Err(error) => panic!("version {version}: {error}"),
        }
    }
    true
}

/// Silver holds a receipt for each message of each tick: after a year that is far more than the table has files.
#[tokio::test(flavor = "multi_thread")]
async fn a_tidy_up_lists_the_table_and_not_what_lies_beside_it() {
    let world = World::new();
    let requests = Requests::default();
    let counted: Store = Counting::over(Arc::clone(&world.store), "silver", &requests);
    let silver = world.silver(&counted, 2).await.unwrap();
    world.commits(&silver, 0..3).await;
    let cost = async || {
        let before = requests.of(Verb::List);
        silver.tidy(WEEK).await.unwrap();
        requests.of(Verb::List) - before
    };
    let alone = cost().await;
    for receipt in 0..2_500 {
        let path = Path::from(format!("_receipts/run=20260301T030000Z/batch={receipt:05}.json"));
        world.store.put(&path, "{}".into()).await.unwrap();
    }
    assert_eq!(cost().await, alone);
}

/// 350 commits, one an hour: what a week's versions need stays to the last file, and the rest goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_retention_covers_stays_and_the_rest_goes() {
    let world = World::new();
    let silver = world.silver(&world.store, 1).await.unwrap();
    let docs = world.commits(&silver, 1..351).await;
    let done = silver.tidy(WEEK).await.unwrap();
    // Version 182 was the newest a week ago; each version before it had one file of its own.
    assert_eq!((done.files, done.log_entries), (181, 100), "{done:?}");
    assert!(done.bytes > 0);
    assert_eq!(content(&silver).await, Model::of(&docs).content(1));
    assert_eq!(content(&world.silver(&world.store, 1).await.unwrap()).await, Model::of(&docs).content(1));
    for version in (182..=350).step_by(7).chain([182, 183, 350]) {
        assert!(is_whole(&silver, version).await, "version {version} is within the retention");
    }
    assert!(!is_whole(&silver, 181).await, "nobody needs its file any more");
    let error = silver.snapshot_at(99).await.unwrap_err();
    assert!(error.to_string().starts_with("table `silver` has no version 99: its log has 100 to 350"), "{error}");
    assert_eq!(silver.history().await.unwrap().len(), 251);
    assert_eq!(silver.tidy(WEEK).await.unwrap(), Tidied::default(), "it is done");
    // Life goes on: an hour later one more version is too old, and a day later a checkpoint moves up.
    world.commits(&silver, 351..352).await;
    assert_eq!(silver.tidy(WEEK).await.unwrap().files, 1);
    world.commits(&silver, 352..372).await;
    assert_eq!(silver.tidy(WEEK).await.unwrap().log_entries, 101, "100 commits and the checkpoint before them");
}

/// Files that were never committed go when they are old; an object that is no data file stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_dead_writers_left_goes_and_what_is_no_data_file_stays() {
    let world = World::new();
    let silver = world.silver(&world.store, 1).await.unwrap();
    silver.upsert(&versions(&[doc("a", 1, 0)])).await.unwrap();
    let left = ["_bucket=0/left.parquet", "left.parquet"];
    let others = ["_bucket=0/notes.txt", "_receipts/run=1/x.parquet", ".hidden/x.parquet", "_bucket=0/.x.parquet"];
    for path in left.iter().chain(&others) {
        replace(world.store.as_ref(), &Path::from(*path), "bytes".into()).await.unwrap();
    }
    world.pass(WEEK - HOUR);
    replace(world.store.as_ref(), &"_bucket=0/young.parquet".into(), "bytes".into()).await.unwrap();
    assert_eq!(silver.tidy(WEEK).await.unwrap(), Tidied::default());
    world.pass(HOUR);
    assert_eq!(silver.tidy(WEEK).await.unwrap(), Tidied::default(), "a writer may still stand before its commit");
    let next = doc("b", 1, 0);
    silver.upsert(&versions([&next])).await.unwrap();
    assert_eq!(silver.tidy(WEEK).await.unwrap(), Tidied { files: 2, bytes: 10, log_entries: 0 });
    for path in others.iter().chain(&["_bucket=0/young.parquet"]) {
        assert!(read_if_there(world.store.as_ref(), &Path::from(*path)).await.unwrap().is_some(), "{path}");
    }
    assert_eq!(content(&silver).await, Model::of(&[doc("a", 1, 0), next]).content(1));
}

/// A retention of zero counts as one hour: within it a writer may be about to commit.
#[tokio::test(flavor = "multi_thread")]
async fn no_retention_is_shorter_than_a_writer_may_take() {
    let world = World::new();
    let silver = world.silver(&world.store, 1).await.unwrap();
    replace(world.store.as_ref(), &"_bucket=0/fresh.parquet".into(), "bytes".into()).await.unwrap();
    world.pass(HOUR - Duration::from_secs(1));
    silver.upsert(&versions(&[doc("a", 1, 0)])).await.unwrap();
    assert_eq!(silver.tidy(Duration::ZERO).await.unwrap(), Tidied::default());
    world.pass(Duration::from_secs(1));
    silver.upsert(&versions(&[doc("a", 2, 0)])).await.unwrap();
    assert_eq!(silver.tidy(Duration::ZERO).await.unwrap().files, 1);
    assert_eq!(silver.tidy(Duration::MAX).await.unwrap(), Tidied::default());
}

/// A writer stalls before each of its calls in turn, for three hours, while a tidy-up with a retention of one hour runs. What it has
/// written and not committed is gone by then; it must notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_stalls_for_longer_than_the_retention_loses_nothing() {
    let (mut finished, mut late, mut gone) = (false, 0, 0);
    let mut stops = 0..60;
    while !finished {
        let stop = stops.next().expect("an upsert takes fewer calls");
        let world = World::new();
        let before = [doc("a", 1, 0), doc("b", 1, 0)];
        let silver = world.silver(&world.store, 1).await.unwrap();
        silver.upsert(&versions(&before)).await.unwrap();
        let stalling = Stalling::over(&world.store);
        let slow = stalling.passing(world.silver(&stalling.store, 1)).await.unwrap();
        let mine = [doc("a", 2, 0), doc("c", 1, 0)];
        let call = versions(&mine);
        let from = stalling.calls();
        let task = tokio::spawn({
            let (slow, call) = (slow.clone(), call.clone());
            async move { slow.upsert(&call).await }
        });
        stalling.until_call(&task, from + stop).await;
        finished = task.is_finished();
        world.pass(3 * HOUR);
        let others = doc("other", 1, 0);
        silver.upsert(&versions([&others])).await.unwrap();
        gone += silver.tidy(HOUR).await.unwrap().files;
        stalling.until_call(&task, u64::MAX).await;
        match task.await.unwrap() {
            Ok(done) => assert_eq!(done.written, 2),
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                late += usize::from(matches!(error, TableError::Late { .. }));
                silver.upsert(&call).await.unwrap();
            }
        }
        assert_eq!(
            content(&silver).await,
            Model::of(before.iter().chain(&mine).chain([&others])).content(1),
            "stalled at call {stop}"
        );
    }
    assert!(late > 0 && gone > 0, "no stop was between the file and its commit: {late} late, {gone} gone");
}

/// A process sleeps before each of its calls in turn while the log moves on and is cut off behind it: it must not write the number of
/// a version that was there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_sleeps_through_a_cut_of_the_log_does_not_fork_it() {
    let (mut finished, mut stops) = (false, 0..60);
    while !finished {
        let stop = stops.next().expect("an upsert takes fewer calls");
        let world = World::new();
        let silver = world.silver(&world.store, 1).await.unwrap();
        let before = world.commits(&silver, 1..4).await;
        let stalling = Stalling::over(&world.store);
        let sleeper = stalling.passing(world.silver(&stalling.store, 1)).await.unwrap();
        let from = stalling.calls();
        let mine = doc("mine", 1, 0);
        let call = versions([&mine]);
        let task = tokio::spawn({
            let (sleeper, call) = (sleeper.clone(), call.clone());
            async move { sleeper.upsert(&call).await }
        });
        stalling.until_call(&task, from + stop).await;
        finished = task.is_finished();
        let after = world.commits(&silver, 4..108).await;
        world.pass(WEEK);
        world.commits(&silver, 108..109).await;
        world.pass(WEEK);
        assert!(silver.tidy(WEEK).await.unwrap().log_entries >= 100);
        stalling.until_call(&task, u64::MAX).await;
        if let Err(error) = task.await.unwrap() {
            assert!(error.is_transient(), "{error}");
            stalling.passing(sleeper.upsert(&call)).await.unwrap();
        }
        let last = doc("k3", 1, 108);
        let all: Vec<&Doc> = before.iter().chain(&after).chain([&last, &mine]).collect();
        let fresh = world.silver(&world.store, 1).await.unwrap();
        assert_eq!(content(&fresh).await, Model::of(all).content(1), "slept at call {stop}");
        let log = world.objects("_delta_log/0").await;
        assert!(!log.iter().any(|path| path.contains("00000000000000000004.json")), "slept at call {stop}: {log:?}");
    }
}

/// Writers, tidy-ups and time race, while one call in fifty fails: with more failures no log of dozens of commits could be read whole. No
/// live file is ever missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tidying_races_with_writers_on_a_failing_store() {
    const WRITERS: u32 = 4;
    let world = Arc::new(World::new());
    world.silver(&world.store, WRITERS).await.unwrap();
    let faults = Arc::new(Faults::seeded(42, 0.01, 0.01));
    let failing: Store = Faulty::<dyn ObjectStore>::new(Arc::clone(&world.store), Arc::clone(&faults));
    let running = Arc::new(AtomicBool::new(true));
    let writers = (0..WRITERS).map(|writer| {
        let (world, failing) = (Arc::clone(&world), Arc::clone(&failing));
        tokio::spawn(async move {
            let silver = opened(&world, &failing, WRITERS).await;
            let key =
                (0..).map(|at| format!("part-{at}")).find(|key| bucket_of(key, buckets(WRITERS)) == writer).unwrap();
            for generation in 0..24 {
                // A good part of the retention, so that everything gets old while it is in use; and with the work, not beside it, or
                // on a slow machine no commit would be in time.
                world.pass(Duration::from_secs(20 * 60));
                let call = versions(&[doc(&key, 1, generation), doc(&format!("{key}-{generation}"), 1, 0)]);
                while let Err(error) = silver.upsert(&call).await {
                    assert!(error.is_transient(), "{error}");
                }
            }
            (0..24).flat_map(|at| [doc(&key, 1, at), doc(&format!("{key}-{at}"), 1, 0)]).collect::<Vec<Doc>>()
        })
    });
    let writers: Vec<_> = writers.collect();
    let tidiers = (0..2).map(|_| {
        let (world, failing, running) = (Arc::clone(&world), Arc::clone(&failing), Arc::clone(&running));
        tokio::spawn(async move {
            let silver = opened(&world, &failing, WRITERS).await;
            let mut files = 0;
            while running.load(Ordering::Relaxed) {
                files += silver.tidy(HOUR).await.map_or(0, |done| done.files);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            files
        })
    });
    let tidiers: Vec<_> = tidiers.collect();
    let docs: Vec<Doc> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    running.store(false, Ordering::Relaxed);
    let files: usize = join_all(tidiers).await.into_iter().map(Result::unwrap).sum();
    faults.stop();
    let silver = world.silver(&world.store, WRITERS).await.unwrap();
    assert_eq!(content(&silver).await, Model::of(&docs).content(WRITERS));
    assert!(files > 0 && faults.failed() > 0, "{files} files deleted, {} calls failed", faults.failed());
    world.pass(WEEK);
    let last = doc("last", 1, 0);
    silver.upsert(&versions([&last])).await.unwrap();
    world.pass(WEEK);
    silver.tidy(HOUR).await.unwrap();
    assert_eq!(content(&silver).await, Model::of(docs.iter().chain([&last])).content(WRITERS));
    let live: usize = silver.snapshot().await.unwrap().buckets.values().map(Vec::len).sum();
    assert_eq!(world.objects("_bucket=").await.len(), live, "in the end exactly the live files are there");
}

async fn opened(world: &World, store: &Store, count: u32) -> Silver {
    loop {
        match world.silver(store, count).await {
            Ok(silver) => return silver,
            Err(error) => assert!(matches!(error, TableError::Store { .. } | TableError::Log { .. }), "{error}"),
        }
    }
}

/// Each call of a tidy-up fails in turn, before and after its effect: the table is whole, and the next tidy-up does the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_tidy_up_that_fails_anywhere_harms_nothing() {
    for fate in [Fate::FailBefore, Fate::FailAfter] {
        for at in (0..40).step_by(6).chain([200, 270, 285, 300]) {
            let world = World::new();
            let silver = world.silver(&world.store, 1).await.unwrap();
            let docs = world.commits(&silver, 1..121).await;
            world.pass(WEEK);
            let faults = Arc::new(Faults::script(std::iter::repeat_n(Fate::Pass, at).chain([fate])));
            let failing: Store = Faulty::<dyn ObjectStore>::new(Arc::clone(&world.store), faults);
            if let Ok(silver) = world.silver(&failing, 1).await {
                silver.tidy(WEEK).await.ok();
            }
            let fresh = world.silver(&world.store, 1).await.unwrap();
            assert_eq!(content(&fresh).await, Model::of(&docs).content(1), "{fate:?} at call {at}");
            fresh.tidy(WEEK).await.unwrap();
            assert_eq!(world.objects("_bucket=").await.len(), 1, "{fate:?} at call {at}");
            assert_eq!(
                world.objects("_delta_log/").await.len(),
                23,
                "20 commits, the checkpoint, its commit, the hint"
            );
            assert_eq!(content(&fresh).await, Model::of(&docs).content(1), "{fate:?} at call {at}");
        }
    }
}

/// The writer of version 100 died before its checkpoint was written. A later writer notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_a_dead_writer_owes_is_written_by_the_next() {
    let world = World::new();
    let silver = world.silver(&world.store, 1).await.unwrap();
    let mut docs = world.commits(&silver, 1..106).await;
    for name in ["00000000000000000100.checkpoint.parquet", "_last_checkpoint"] {
        world.store.delete(&Path::from("_delta_log").join(name)).await.unwrap();
    }
    let silver = world.silver(&world.store, 1).await.unwrap();
    docs.extend(world.commits(&silver, 106..125).await);
    let checkpoints = world.objects("_delta_log/").await;
    let checkpoints: Vec<_> = checkpoints.iter().filter(|path| path.contains(".checkpoint.")).collect();
    assert_eq!(checkpoints, ["_delta_log/00000000000000000110.checkpoint.parquet"]);
    assert_eq!(content(&world.silver(&world.store, 1).await.unwrap()).await, Model::of(&docs).content(1));
}
