//! When a tick is closed, what opens it again, and that nothing is lost in between.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use engine::drivers::heal::heal;
use engine::drivers::sweep::{everything, sweep};
use engine::progress::Steps;
use engine::replay::{self, Selection, Which};
use lake::closed::{self, Sums};
use lake::events::{NewObject, encode};
use lake::{bronze, open, sweeping};
use pipeline::role::Role;
use pipeline::schedule::{Missed, Schedule};
use proof::reset;
use proof::status::status;
use records::keys::{Key, Tick};
use seams::clock::Clock;
use seams::store::{ObjectStoreExt, Path, read, replace};
use testkit::ScriptedHttp;
use tokio_util::sync::CancellationToken;

use crate::world::{Options, TICK, World, expected, good};

fn tick() -> Tick {
    Tick::parse(TICK).unwrap()
}

async fn is_open(world: &World) -> bool {
    open::ticks(&world.lake).await.unwrap().contains_key(&tick())
}

async fn sums(world: &World) -> Option<Sums> {
    closed::get(&world.lake, tick()).await.unwrap()
}

fn http() -> Arc<ScriptedHttp> {
    ScriptedHttp::new(|request, _| Ok(good(&request.url)))
}

#[tokio::test(start_paused = true)]
async fn a_tick_is_open_until_gold_has_it() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    service.ingest.fire(tick()).await.unwrap();
    assert!(is_open(&world).await && sums(&world).await.is_none());
    // Up to Silver, and no further.
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let (service, stop) = (service.clone(), stop.clone());
        async move { service.serve(&[Role::Enrich, Role::Clean], &stop).await }
    });
    world.clock.sleep(Duration::from_secs(1300)).await;
    stop.cancel();
    serving.await.unwrap().unwrap();
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 10);
    assert_eq!(sweep(&service, true).await.unwrap().tables, 1);
    assert!(is_open(&world).await, "Gold has not got it");
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    assert!(!is_open(&world).await);
    let sums = sums(&world).await.unwrap();
    assert_eq!((sums.messages, sums.records, sums.lines, sums.cleaned), (4, 10, 10, 10));
}

/// The mark is there before the snapshot is.
#[tokio::test(start_paused = true)]
async fn a_mark_without_a_snapshot_is_kept_for_its_writer_and_goes_when_that_has_died() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    drop(open::begin(&world.lake, [tick()], world.clock.now()).await.unwrap());
    sweep(&service, true).await.unwrap();
    assert!(is_open(&world).await, "its writer may be about to write the snapshot");
    world.clock.sleep(Duration::from_secs(3601)).await;
    sweep(&service, true).await.unwrap();
    assert!(!is_open(&world).await && sums(&world).await.is_none());
}

/// A host that closes a tick removes the marks that it has seen, and no later one.
#[tokio::test(start_paused = true)]
async fn a_tick_that_is_opened_while_it_is_closed_stays_open() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    assert!(!is_open(&world).await);
    let opening = open::begin(&world.lake, [tick()], world.clock.now()).await.unwrap();
    sweep(&service, true).await.unwrap();
    assert!(is_open(&world).await, "its writer is not done");
    opening.settle(&world.lake, world.clock.now()).await.unwrap();
    sweep(&service, true).await.unwrap();
    assert!(!is_open(&world).await);
}

#[tokio::test(start_paused = true)]
async fn a_late_duplicate_of_a_closed_tick_changes_nothing() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    service.ingest.fire(tick()).await.unwrap();
    let message = world.queues.enrich.live.receive(1, Duration::ZERO).await.unwrap().remove(0);
    world.queues.enrich.live.release(&message.receipt, Duration::ZERO).await.unwrap();
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    let before = sums(&world).await.unwrap();
    world.queues.enrich.live.send(vec![message.body.clone()]).await.unwrap();
    // News of S3 that comes late, too.
    let object = bronze::inventory(&world.lake, Some(tick())).await.unwrap().objects.remove(0);
    world.queues.clean.live.send(vec![encode(&NewObject::whole(&object))]).await.unwrap();
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    assert!(!is_open(&world).await);
    assert_eq!((sums(&world).await.unwrap(), world.sums(&service).await), (before, expected(10)));
    assert!(world.verify(&service).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_lake_of_an_earlier_version_gets_marks_once_and_is_closed_by_them() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    let later = "20260102T030000Z";
    service.ingest.fire(Tick::parse(later).unwrap()).await.unwrap();
    // An earlier version has written no mark, and has died with its queue.
    for folder in ["_open", "_closed"] {
        for object in listed(&world, folder).await {
            world.lake.bronze.delete(&object).await.unwrap();
        }
    }
    world.lake.bronze.delete(&Path::from("_sweep.json")).await.unwrap();
    for delivery in world.queues.enrich.live.receive(20, Duration::ZERO).await.unwrap() {
        world.queues.enrich.live.ack(&delivery.receipt).await.unwrap();
    }
    let told = status(&service).await.unwrap();
    assert_eq!((told.bronze.records, told.silver.seen, told.last_tick), (20, 10, Tick::parse(later)));
    assert_eq!(listed(&world, "_open").await.len(), 0, "who only looks writes nothing");
    assert_eq!(sweep(&service, true).await.unwrap().messages, 4);
    assert!(!is_open(&world).await && sums(&world).await.is_some());
    assert!(world.once(&service, later).await.unwrap().left.is_nothing());
    assert!(open::ticks(&world.lake).await.unwrap().is_empty());
    assert!(world.verify(&service).await.is_clean());
}

async fn listed(world: &World, folder: &str) -> Vec<Path> {
    use futures::TryStreamExt as _;
    let found = world.lake.bronze.list(Some(&Path::from(folder)));
    found.map_ok(|object| object.location).try_collect().await.unwrap()
}

/// A host of an earlier version fires a tick beside one that writes marks.
#[tokio::test(start_paused = true)]
async fn a_tick_without_a_mark_is_found_within_a_day() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    let later = Tick::parse("20260101T040000Z").unwrap();
    service.ingest.fire(later).await.unwrap();
    let marks = open::ticks(&world.lake).await.unwrap().remove(&later).unwrap();
    open::remove(&world.lake, &marks).await.unwrap();
    assert!(sweep(&service, true).await.unwrap().is_nothing());
    assert_eq!(everything(&service).await.unwrap().messages, 4, "who verifies looks at all");
    world.clock.jump(TimeDelta::hours(25));
    assert_eq!(sweep(&service, true).await.unwrap().messages, 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_again_opens_its_tick_and_its_sums_follow() {
    let odd = |request: &seams::http::HttpRequest| {
        let mut answer = good(&request.url);
        if request.url.path().ends_with("/o3") {
            answer.body = Bytes::from_static(b"nothing");
        }
        answer
    };
    let options = Options::default();
    let world = World::new(&options);
    let http = ScriptedHttp::new(move |request, _| Ok(odd(request)));
    let first = world.host(&options, http.clone()).await;
    assert!(world.once(&first, TICK).await.unwrap().left.is_nothing());
    assert_eq!(sums(&world).await.map(|sums| (sums.quarantined, sums.lines)), Some((1, 10)));
    let second = world.host(&Options { enrich_version: "2.0.0", ..options }, http).await;
    let selection = Selection { which: Which::Quarantined(None), ..Selection::default() };
    let planned = replay::plan(&second, &selection, &Steps::default()).await.unwrap();
    replay::queue(&second, &planned).await.unwrap();
    assert!(world.once(&second, TICK).await.unwrap().left.is_nothing());
    assert!(!is_open(&world).await);
    let now = sums(&world).await.unwrap();
    assert_eq!((now.quarantined, now.superseded, now.lines), (0, 1, 11));
    let told = status(&second).await.unwrap();
    assert_eq!((told.silver.seen, told.silver.superseded, told.silver.quarantined), (11, 1, 0));
    assert!(world.verify(&second).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_forgotten_is_skipped_in_the_sums() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    proof::forget::forget(&service, &Key::from_text("o4"), &Steps::default()).await.unwrap();
    sweep(&service, true).await.unwrap();
    assert!(!is_open(&world).await);
    assert_eq!(sums(&world).await.map(|sums| (sums.skipped, sums.cleaned)), Some((1, 9)));
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_is_taken_back_is_neither_open_nor_closed() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    reset::take_back(&service, tick()).await.unwrap();
    assert!(!is_open(&world).await && sums(&world).await.is_none());
    assert_eq!(status(&service).await.unwrap().bronze.records, 0);
}

/// All of Bronze is to be cleaned again when Silver was deleted.
#[tokio::test(start_paused = true)]
async fn closed_ticks_are_looked_at_again_when_silver_is_another_table() {
    let options = Options::default();
    let mut world = World::new(&options);
    let service = world.host(&options, http()).await;
    heal(&service).await.unwrap();
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    world.lake.silver = Arc::new(object_store::memory::InMemory::new());
    let service = world.host(&options, http()).await;
    assert!(heal(&service).await.unwrap());
    assert!(!sweeping::read(&world.lake).await.unwrap().marked);
    assert!(sweep(&service, true).await.unwrap().objects > 0);
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    assert_eq!(world.sums(&service).await, expected(10));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_costs_its_own_tick() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    let later = Tick::parse("20260101T040000Z").unwrap();
    for tick in [tick(), later] {
        service.ingest.fire(tick).await.unwrap();
    }
    for delivery in world.queues.enrich.live.receive(20, Duration::ZERO).await.unwrap() {
        world.queues.enrich.live.ack(&delivery.receipt).await.unwrap();
    }
    let snapshot = bronze::inventory(&world.lake, Some(tick())).await.unwrap().snapshots.remove(0);
    let whole = read(&*world.lake.bronze, &snapshot).await.unwrap();
    replace(&*world.lake.bronze, &snapshot, whole.slice(3..)).await.unwrap();
    let error = sweep(&service, true).await.unwrap_err().to_string();
    assert!(error.contains(snapshot.as_ref()), "{error}");
    assert_eq!(world.queues.enrich.live.depth().await.unwrap().total(), 4, "the other tick's messages are sent");
}

/// A tick that failed is made up for, also when later ones did not fail.
#[tokio::test(start_paused = true)]
async fn ticks_that_failed_are_fired_again_under_the_policy() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, http()).await;
    for hour in ["03", "05", "06"] {
        service.ingest.fire(Tick::parse(&format!("20260101T{hour}0000Z")).unwrap()).await.unwrap();
    }
    let at = |text: &str| format!("2026-01-01T{text}:00Z").parse().unwrap();
    for (policy, now, expected) in [
        (Missed::All, at("08:30"), vec!["04", "07", "08"]),
        (Missed::Once, at("08:30"), vec!["08"]),
        (Missed::Skip, at("08:30"), vec![]),
        (Missed::All, at("06:30"), vec!["04"]),
    ] {
        let schedule = Schedule::parse("0 * * * *", chrono_tz::UTC, policy).unwrap();
        let expected: Vec<String> = expected.iter().map(|hour| format!("20260101T{hour}0000Z")).collect();
        for _ in ["before there are marks", "with marks"] {
            let missed = engine::drivers::schedule::missed(&schedule, &world.lake, now).await.unwrap();
            assert_eq!(missed.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{policy:?}");
            sweep(&service, true).await.unwrap();
        }
    }
}
