//! What people and other processes do to a lake: ticks in the future and ticks taken back, tables deleted, objects damaged, keys that stay
//! forgotten. A serving host outlives it, and what can be made again is made again.
//!
//! Does not test folders, queue files or commands: `tests/e2e/lifecycle.rs` does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use engine::drivers::heal::heal;
use engine::drivers::service::Service;
use engine::drivers::serving::Serving;
use engine::progress::Steps;
use engine::roles::ingest::SourceNow;
use engine::stale::stale;
use futures::TryStreamExt;
use lake::bronze::{self, Entry, Message};
use lake::events::{NewObject, encode, enrich_body};
use lake::failure::Failure;
use lake::kept_out;
use pipeline::role::Role;
use pipeline::schedule::{Missed, Schedule};
use proof::forget::{forget, is_there};
use proof::reset::{brought, take_back};
use records::keys::{Key, Tick};
use records::record::Record;
use seams::clock::Clock;
use seams::store::{self, ObjectStoreExt, Path, Store};
use testkit::{LeapClock, ScriptedHttp};
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, expected, good, orders};

const NEXT: &str = "20260102T030000Z";
const FUTURE: &str = "20270101T030000Z";

async fn host(world: &World, options: &Options) -> Service {
    world.host(options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await
}

/// Ticks in Bronze.
async fn ticks(world: &World) -> Vec<String> {
    bronze::ticks(&world.lake).await.unwrap().iter().map(ToString::to_string).collect()
}

/// Deletes everything below a folder of a layer, as `rm -r` does.
async fn delete(store: &Store, folder: &str) -> usize {
    let all: Vec<_> = store.list(Some(&Path::from(folder))).try_collect().await.unwrap();
    for object in &all {
        store.delete(&object.location).await.unwrap();
    }
    all.len()
}

/// Serves for `span` of simulated time while `meddle` does something to the lake.
async fn serving(world: &World, service: &Service, span: Duration, meddle: impl AsyncFnOnce()) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (serving, stop) = (Serving::new(service.clone()), stop.clone());
        async move { serving.serve(&Role::ALL, &stop).await }
    });
    world.clock.sleep(Duration::from_secs(2)).await;
    meddle().await;
    world.clock.sleep(span).await;
    stop.cancel();
    running.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_tick_in_the_future_does_not_stop_the_schedule() {
    let options = Options::default();
    let world = World::new(&options);
    let mut service = host(&world, &options).await;
    world.once(&service, FUTURE).await.unwrap();
    assert_eq!(service.future_ticks().await.unwrap(), [Tick::parse(FUTURE).unwrap()]);
    service.schedule = Some(Schedule::parse("* * * * *", chrono_tz::UTC, Missed::Once).unwrap());
    serving(&world, &service, Duration::from_secs(130), async || {}).await.unwrap();
    assert_eq!(ticks(&world).await, ["20260101T030100Z", "20260101T030200Z", FUTURE]);
}

/// A clock as machines have it: a wait is a span of time, whatever the clock is set to meanwhile.
#[derive(Debug)]
struct Wall(Arc<LeapClock>);

#[async_trait::async_trait]
impl Clock for Wall {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    async fn sleep_until(&self, instant: DateTime<Utc>) {
        tokio::time::sleep((instant - self.now()).to_std().unwrap_or_default()).await;
    }
}

/// A clock that ran ahead for a while and was set right.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_does_not_stop_the_schedule() {
    let options = Options::default();
    let world = World::new(&options);
    let mut service = host(&world, &options).await;
    service.schedule = Some(Schedule::parse("* * * * *", chrono_tz::UTC, Missed::Once).unwrap());
    service.clock = Arc::new(Wall(world.clock.clone()));
    let day = chrono::TimeDelta::days(1);
    serving(&world, &service, Duration::from_secs(250), async || {
        world.clock.jump(day);
        world.clock.sleep(Duration::from_secs(70)).await;
        world.clock.jump(-day);
    })
    .await
    .unwrap();
    let ticks = ticks(&world).await;
    let after = ticks.iter().filter(|tick| tick.starts_with("20260101T03")).count();
    assert!(after >= 3 && ticks.iter().any(|tick| tick.starts_with("20260102")), "{ticks:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_is_taken_back_leaves_nothing_and_what_stood_before_stands_again() {
    let options = Options::default();
    let world = World::new(&options);
    let service = host(&world, &options).await;
    world.once(&service, TICK).await.unwrap();
    let before = world.sums(&service).await;
    // The tick of a wrong clock brings other values, and an order more.
    let wrong = Options { source: orders(12).replace("o3,g0,3", "o3,g0,300"), asks_for_n: true, ..Options::default() };
    let other = world
        .host(
            &wrong,
            ScriptedHttp::new(|request, _| {
                let n = request.url.query_pairs().find(|(name, _)| name == "v").map(|(_, n)| n.into_owned());
                let id = request.url.path().trim_start_matches("/orders/").to_owned();
                let number: i64 = id.trim_start_matches('o').parse().unwrap();
                let body = serde_json::json!({ "id": id, "group": format!("g{}", number % 3), "n": n.unwrap().parse::<i64>().unwrap() });
                Ok(testkit::http::answer(200, body.to_string()))
            }),
        )
        .await;
    world.once(&other, FUTURE).await.unwrap();
    assert_ne!(world.sums(&other).await, before);
    let future = Tick::parse(FUTURE).unwrap();
    let what = brought(&service, future).await.unwrap().unwrap();
    assert_eq!((what.records, what.standing), (12, 12));
    take_back(&service, future).await.unwrap();
    // An interrupted command is run again.
    take_back(&service, future).await.unwrap();
    let left = service.work_off(Duration::from_secs(60), &CancellationToken::new()).await.unwrap();
    assert!(left.is_nothing(), "{left:?}");
    assert_eq!(world.sums(&service).await, before);
    assert_eq!(brought(&service, future).await.unwrap(), None);
    let report = world.verify(&service).await;
    assert!(report.is_clean(), "{report:?}");
    // A later tick is not older than it any more.
    world.once(&other, NEXT).await.unwrap();
    assert_eq!(world.sums(&other).await["g0"], before["g0"] + 297);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_tick_that_the_lake_does_not_have_is_dropped() {
    let options = Options::default();
    let world = World::new(&options);
    let service = host(&world, &options).await;
    world.once(&service, TICK).await.unwrap();
    let entry = Entry { key: Key::from_text("o1"), record: Record::new() };
    let message = Message::new("orders", Tick::parse(NEXT).unwrap(), 0, vec![entry]);
    let body = enrich_body(&world.lake, message).await.unwrap();
    world.queues.enrich.live.send(vec![body]).await.unwrap();
    // An event of an object that went with it.
    let event = NewObject { bronze: format!("run={NEXT}/batch=00000-0.jsonl"), lines: Vec::new(), again: false };
    world.queues.clean.live.send(vec![encode(&event)]).await.unwrap();
    let left = service.work_off(Duration::from_secs(60), &CancellationToken::new()).await.unwrap();
    assert!(left.is_nothing(), "{left:?}");
    assert_eq!(ticks(&world).await, [TICK]);
    assert!(world.verify(&service).await.is_clean());
}

/// A host that does not heal, such as an aggregate host or an earlier version, meets a Silver with smaller numbers than Gold names.
#[tokio::test(start_paused = true)]
async fn gold_follows_a_silver_that_was_removed_and_made_again_whatever_its_numbers() {
    for old_form in [false, true] {
        let options = Options { batch_size: 1, ..Options::default() };
        let world = World::new(&options);
        let service = host(&world, &options).await;
        for tick in [TICK, "20260101T040000Z", "20260101T050000Z", NEXT] {
            world.once(&service, tick).await.unwrap();
        }
        let gold = &service.aggregate.tables[0].gold;
        let before = gold.made_from().await.unwrap().unwrap();
        assert!(before.table.is_some() && before.number > 2, "{before:?}");
        if old_form {
            // As an earlier version of the program has left it: a number alone.
            for object in
                world.lake.gold.list(Some(&Path::from("sums/_delta_log"))).try_collect::<Vec<_>>().await.unwrap()
            {
                let text = store::read(&*world.lake.gold, &object.location).await.unwrap();
                let text = String::from_utf8(text.to_vec()).unwrap();
                let text = text.replace(before.table.as_deref().unwrap(), "").replace("sluicebox.silver.table", "old");
                store::replace(&*world.lake.gold, &object.location, text.into()).await.unwrap();
            }
        }
        delete(&world.lake.silver, "").await;
        store::ObjectStoreExt::delete(&world.lake.bronze, &Path::from("_silver.json")).await.ok();
        // One document is another by now: what Gold holds is wrong.
        let other =
            Options { source: orders(10).replace("o3,g0,3", "o3,g0,33"), batch_size: 100, ..Options::default() };
        let again = host(&world, &other).await;
        let shown = proof::status::status(&again).await.unwrap();
        assert!(shown.gold["sums"].other_silver, "{old_form} {:?}", shown.gold);
        let ended = world.once(&again, NEXT).await.unwrap();
        assert!(ended.left.is_nothing(), "{old_form} {ended:?}");
        let silver = again.clean.silver.snapshot().await.unwrap();
        assert!(silver.version < before.number, "the numbers are smaller: {} {before:?}", silver.version);
        let made_from = again.aggregate.tables[0].gold.made_from().await.unwrap().unwrap();
        assert_eq!(made_from, silver.named(), "{old_form}");
        assert!(!proof::status::status(&again).await.unwrap().gold["sums"].other_silver);
        let report = world.verify(&again).await;
        assert!(report.is_clean(), "{old_form} {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silver_that_was_deleted_is_made_again_from_bronze() {
    for folders in [&["_delta_log", "_bucket=0"][..], &[""]] {
        let options = Options::default();
        let world = World::new(&options);
        let service = host(&world, &options).await;
        for tick in [TICK, NEXT] {
            world.once(&service, tick).await.unwrap();
        }
        assert!(!heal(&service).await.unwrap());
        for folder in folders {
            delete(&world.lake.silver, folder).await;
        }
        // Both a host that knows the table and one that starts now.
        let mut known = Some(service);
        for _ in 0..2 {
            let service = match known.take() {
                Some(service) => service,
                None => host(&world, &options).await,
            };
            heal(&service).await.unwrap();
            let ended = world.once(&service, TICK).await.unwrap();
            assert!(ended.left.is_nothing(), "{ended:?}");
            assert_eq!(world.sums(&service).await, expected(10), "{folders:?}");
            let report = world.verify(&service).await;
            assert!(report.is_clean(), "{folders:?} {report:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn gold_that_was_deleted_beside_a_served_pipeline_is_made_again() {
    let options = Options::default();
    let world = World::new(&options);
    let service = host(&world, &options).await;
    world.once(&service, TICK).await.unwrap();
    serving(&world, &service, Duration::from_secs(700), async || {
        assert!(delete(&world.lake.gold, "sums").await > 0);
        delete(&world.lake.gold, "_partials").await;
    })
    .await
    .unwrap();
    assert_eq!(world.sums(&service).await, expected(10));
    assert!(world.verify(&service).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_served_pipeline_outlives_a_lost_file_of_its_table() {
    let options = Options::default();
    let world = World::new(&options);
    let mut service = host(&world, &options).await;
    world.once(&service, TICK).await.unwrap();
    service.schedule = Some(Schedule::parse("* * * * *", chrono_tz::UTC, Missed::Once).unwrap());
    let kept: Vec<_> = world.lake.silver.list(Some(&Path::from("_bucket=1"))).try_collect().await.unwrap();
    // How many versions the tick came to, and so how many files there are, is a question of what came together.
    let mut files = Vec::new();
    for path in kept.into_iter().map(|object| object.location) {
        files.push((path.clone(), store::read(&*world.lake.silver, &path).await.unwrap()));
    }
    serving(&world, &service, Duration::from_secs(400), async || {
        delete(&world.lake.silver, "_bucket=1").await;
        // Several ticks meet it.
        world.clock.sleep(Duration::from_secs(200)).await;
        for (path, bytes) in &files {
            store::replace(&*world.lake.silver, path, bytes.clone()).await.unwrap();
        }
    })
    .await
    .unwrap();
    let left = service.work_off(Duration::from_secs(600), &CancellationToken::new()).await.unwrap();
    assert!(left.is_nothing(), "{left:?}");
    assert_eq!(world.sums(&service).await, expected(10));
    assert!(world.verify(&service).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn one_damaged_object_does_not_keep_its_neighbours_back_nor_end_the_service() {
    let options = Options { batch_size: 1, ..Options::default() };
    let world = World::new(&options);
    let service = host(&world, &options).await;
    let tick = Tick::parse(TICK).unwrap();
    service.ingest.fire(tick).await.unwrap();
    // Enriched, and damaged before it is cleaned.
    for delivery in world.queues.enrich.live.receive(100, Duration::ZERO).await.unwrap() {
        let lake::events::ToEnrich::Message(message) =
            lake::events::enrich_work(&world.lake, &delivery.body).await.unwrap()
        else {
            panic!("no message")
        };
        service.enrich.message(&message, false, &tokio::sync::Semaphore::new(2)).await.unwrap();
        world.queues.enrich.live.ack(&delivery.receipt).await.unwrap();
    }
    let damaged = bronze::inventory(&world.lake, None).await.unwrap().objects[3].clone();
    let good = store::read(&*world.lake.bronze, &damaged).await.unwrap();
    store::replace(&*world.lake.bronze, &damaged, Bytes::from_static(b"{\"half a li")).await.unwrap();
    serving(&world, &service, Duration::from_secs(60), async || {}).await.unwrap();
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 9);
    // Mended, it follows by itself.
    store::replace(&*world.lake.bronze, &damaged, good).await.unwrap();
    serving(&world, &service, Duration::from_secs(700), async || {}).await.unwrap();
    assert_eq!(world.sums(&service).await, expected(10));
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_ran_already_says_so_and_whether_the_source_is_another() {
    let options = Options::default();
    let world = World::new(&options);
    let service = host(&world, &options).await;
    let first = world.once(&service, TICK).await.unwrap().fired;
    assert_eq!((first.already, first.total, first.later), (None, Some(10), None));
    let second = world.once(&service, TICK).await.unwrap().fired;
    let already = second.already.unwrap();
    assert_eq!((already.source, second.total, already.at.is_some()), (SourceNow::Unchanged, Some(10), true));
    let edited = Options { source: orders(10).replace("o3,g0,3", "o3,g0,4"), ..Options::default() };
    let service = host(&world, &edited).await;
    let third = world.once(&service, TICK).await.unwrap().fired;
    assert_eq!(third.already.unwrap().source, SourceNow::Changed);
    let later = world.once(&service, NEXT).await.unwrap().fired;
    assert_eq!((later.already, later.later), (None, None));
    let older = world.once(&service, TICK).await.unwrap().fired;
    assert_eq!(older.later, Tick::parse(NEXT));
    // Other settings of the source read it again.
    let other = host(&world, &Options { batch_size: 4, ..Options::default() }).await;
    let otherwise = world.once(&other, NEXT).await.unwrap().fired;
    assert!(otherwise.already.is_none() && otherwise.otherwise.is_some(), "{otherwise:?}");
}

#[tokio::test(start_paused = true)]
async fn what_another_version_of_a_plugin_has_made_is_counted() {
    let world = World::new(&Options::default());
    let service = host(&world, &Options::default()).await;
    world.once(&service, TICK).await.unwrap();
    assert!(stale(&service).await.unwrap().is_nothing());
    let edited = host(&world, &Options { clean_version: "2.0.0", ..Options::default() }).await;
    world.once(&edited, TICK).await.unwrap();
    assert_eq!(stale(&edited).await.unwrap().clean, 10);
    let edited = host(&world, &Options { enrich_version: "2.0.0", ..Options::default() }).await;
    assert_eq!(stale(&edited).await.unwrap().enrich, 10);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_stays_forgotten_is_brought_by_no_tick_until_it_is_allowed() {
    let options = Options::default();
    let world = World::new(&options);
    let service = host(&world, &options).await;
    world.once(&service, TICK).await.unwrap();
    let key = Key::from_text("o4");
    assert!(is_there(&service, &key, &Steps::default()).await.unwrap());
    assert!(!is_there(&service, &Key::from_text("o44"), &Steps::default()).await.unwrap());
    kept_out::add(&world.lake, &key, world.clock.now()).await.unwrap();
    let report = world.verify(&service).await;
    assert!(report.findings.iter().any(|finding| finding.at == "o4"), "listed and there: {report:?}");
    forget(&service, &key, &Steps::default()).await.unwrap();
    let fired = world.once(&service, NEXT).await.unwrap().fired;
    assert_eq!((fired.records, fired.forgotten), (9, 1));
    assert!(!is_there(&service, &key, &Steps::default()).await.unwrap());
    let report = world.verify(&service).await;
    assert!(report.is_clean() && report.notes.iter().any(|note| note.contains("stay so")), "{report:?}");
    assert!(super::forget::holding(&world.lake.bronze, "\"o4\"").await.is_empty());
    assert!(kept_out::remove(&world.lake, &key).await.unwrap());
    let fired = world.once(&service, "20260103T030000Z").await.unwrap().fired;
    assert_eq!((fired.records, fired.forgotten), (10, 0));
    assert!(world.verify(&service).await.is_clean());
}

/// The waits of a consumer that stands aside are short against a lake that is back.
#[tokio::test(start_paused = true)]
async fn a_host_of_an_earlier_generation_keeps_no_message_from_the_others() {
    let options = Options::default();
    let world = World::new(&options);
    let old = host(&world, &options).await;
    world.once(&old, TICK).await.unwrap();
    let new = host(&world, &Options { clean_version: "2.0.0", ..Options::default() }).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (old, stop) = (old.clone(), stop.clone());
        async move { old.serve(&Role::ALL, &stop).await }
    });
    world.once(&new, NEXT).await.unwrap();
    let begun = world.clock.now();
    for day in 3..8 {
        let ended = world.once(&new, &format!("2026010{day}T030000Z")).await.unwrap();
        assert!(ended.left.is_nothing(), "{ended:?}");
    }
    assert!((world.clock.now() - begun).num_seconds() < 60, "{}", world.clock.now() - begun);
    stop.cancel();
    running.await.unwrap().unwrap();
}
