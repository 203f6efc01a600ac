//! Records made again: by a plugin that was mended, by one that is equal, by one that takes back; from Bronze and kept answers alone.
//!
//! Does not test the command: `tests/e2e` does.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use engine::drivers::service::Service;
use engine::progress::{Progress, Steps};
use engine::replay::{self, Planned, Selection, Which};
use futures::TryStreamExt;
use lake::events::NewObject;
use lake::quarantine;
use lake::silver::Silver;
use records::keys::{Key, Tick};
use seams::store::ObjectStoreExt;
use serde_json::json;
use testkit::ScriptedHttp;
use testkit::http::answer;
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, expected, good, orders};

const NEXT: &str = "20260102T030000Z";

/// A service that says `what` of some orders, and is well otherwise.
pub(super) fn says(ids: &'static [&'static str], what: &'static str) -> Arc<ScriptedHttp> {
    ScriptedHttp::new(move |request, _| {
        let id = request.url.path().trim_start_matches("/orders/").to_owned();
        let n: i64 = id.trim_start_matches('o').parse().unwrap_or(0);
        let body = json!({ "id": id, "do": what, "group": format!("g{}", n % 3), "n": n });
        Ok(if ids.contains(&id.as_str()) { answer(200, body.to_string()) } else { good(&request.url) })
    })
}

async fn replay(service: &Service, selection: &Selection) -> Planned {
    let planned = replay::plan(service, selection, &Steps::default()).await.unwrap();
    replay::queue(service, &planned).await.unwrap();
    let left = service.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
    assert!(left.missing.is_nothing(), "{left:?}");
    planned
}

fn stale() -> Selection {
    Selection { which: Which::Stale, ..Selection::default() }
}

fn quarantined() -> Selection {
    Selection { which: Which::Quarantined(None), ..Selection::default() }
}

/// Empties Silver, as `replay --rebuild` does at first; a host of the emptied table.
async fn emptied(world: &World, options: &Options, http: Arc<ScriptedHttp>) -> Service {
    let service = world.host(options, http.clone()).await;
    let schema = service.clean.plugin.descriptor().output_schema();
    let (store, buckets) = (world.lake.silver.clone(), world.lake.buckets);
    Silver::rebuild(store, world.clock.clone(), schema, buckets).await.unwrap();
    world.host(options, http).await
}

async fn verified(world: &World, service: &Service) {
    assert_eq!(world.verify(service).await.findings, []);
}

#[tokio::test(start_paused = true)]
async fn a_mended_cleaner_brings_exactly_what_was_refused_and_asks_nobody() {
    let options = Options { source: orders(20), ..Options::default() };
    let world = World::new(&options);
    let http = says(&["o4", "o9", "o13"], "reject");
    let bad = world.host(&options, http.clone()).await;
    world.once(&bad, TICK).await.unwrap();
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 3);
    let before = bad.clean.silver.snapshot().await.unwrap();
    let good = world.host(&Options { clean_version: "2.0.0", ..options }, http.clone()).await;
    let planned = replay(&good, &quarantined()).await;
    assert_eq!(planned.records(), 3);
    assert_eq!(Progress::get(&good.progress.rows_written), 3, "the others are not touched");
    assert_eq!(world.sums(&good).await, expected(20));
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    assert_eq!(good.clean.silver.snapshot().await.unwrap().rows, before.rows + 3);
    assert_eq!(http.calls().len(), 20);
    verified(&world, &good).await;
    // The rest is of the earlier generation still, and making it again changes nothing.
    let planned = replay(&good, &stale()).await;
    assert_eq!(planned.records(), 17);
    verified(&world, &good).await;
    assert_eq!(replay::plan(&good, &stale(), &Steps::default()).await.unwrap().records(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_out_equal_ends_there() {
    let options = Options::default();
    let world = World::new(&options);
    let http = says(&[], "");
    let old = world.host(&options, http.clone()).await;
    world.once(&old, TICK).await.unwrap();
    let before = old.clean.silver.snapshot().await.unwrap();
    let other = Options { clean_version: "2.0.0", enrich_version: "2.0.0", ..options };
    let new = world.host(&other, http.clone()).await;
    let planned = replay(&new, &stale()).await;
    assert_eq!((planned.records(), planned.enrich.len(), planned.clean.len()), (10, 4, 4));
    let after = new.clean.silver.snapshot().await.unwrap();
    assert_eq!((after.version, after.buckets), (before.version, before.buckets));
    assert_eq!(Progress::get(&new.progress.published), 0);
    assert_eq!(http.calls().len(), 10);
    assert_eq!(replay::plan(&new, &stale(), &Steps::default()).await.unwrap().records(), 0);
    verified(&world, &new).await;
}

#[tokio::test(start_paused = true)]
async fn a_mended_enricher_makes_documents_of_kept_answers() {
    let options = Options::default();
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| {
        let bad = ["/orders/o3", "/orders/o5"].contains(&request.url.path());
        Ok(if bad { answer(200, "<html>") } else { good(&request.url) })
    });
    let bad = world.host(&options, http.clone()).await;
    world.once(&bad, TICK).await.unwrap();
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 2);
    let mended = world.host(&Options { enrich_version: "2.0.0", ..options }, http.clone()).await;
    replay(&mended, &quarantined()).await;
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    assert_eq!(world.sums(&mended).await["g9"], 12);
    assert_eq!(http.calls().len(), 10);
    let report = world.verify(&mended).await;
    assert_eq!(report.findings, []);
    assert_eq!(json!(report.states), json!({"silver": 10, "superseded": 2}));
    // Once more, of everything and whatever made it: nothing changes.
    replay(&mended, &Selection::default()).await;
    assert_eq!(json!(world.verify(&mended).await.states), json!({"silver": 10, "superseded": 2}));
}

#[tokio::test(start_paused = true)]
async fn a_stricter_cleaner_takes_rows_back_and_an_older_version_stands_again() {
    let options = Options::default();
    let world = World::new(&options);
    let first = world.host(&options, says(&[], "")).await;
    world.once(&first, TICK).await.unwrap();
    // The next day's documents of two orders are of a kind that a later cleaner refuses; one order is new on that day.
    let next = Options { source: orders(11), ..Options::default() };
    let http = says(&["o4", "o10"], "late");
    let second = world.host(&next, http.clone()).await;
    world.once(&second, NEXT).await.unwrap();
    assert_eq!(second.clean.silver.snapshot().await.unwrap().rows, 11);
    let strict = world.host(&Options { clean_version: "3.0.0", ..next }, http.clone()).await;
    replay(&strict, &stale()).await;
    let report = world.verify(&strict).await;
    assert_eq!(report.findings, []);
    assert_eq!(json!(report.states), json!({"silver": 10, "superseded": 9, "quarantined": 2}));
    assert_eq!(world.sums(&strict).await, expected(10));
    let standing = strict.clean.silver.find("o4").await.unwrap();
    assert_eq!(standing.num_rows(), 1, "the first day's version stands");
    // A host that still runs the older plugin must not bring back what was taken.
    let late = world.host(&Options { source: orders(11), ..Options::default() }, http).await;
    late.clean
        .generation
        .set(lake::generations::Generations::of_clean(&world.lake).all().await.unwrap()[0].clone())
        .unwrap();
    let again = Selection { which: Which::All, ..Selection::default() };
    let planned = replay::plan(&late, &again, &Steps::default()).await.unwrap();
    replay::queue(&late, &planned).await.unwrap();
    let _ = late.work_off(Duration::from_secs(30), &CancellationToken::new()).await.unwrap();
    assert_eq!(world.sums(&strict).await, expected(10));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_given_up_comes_when_the_service_may_be_asked() {
    let options = Options { batch_size: 1, max_receives: 2, ..Options::default() };
    let world = World::new(&options);
    let down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = down.clone();
    let http = ScriptedHttp::new(move |request, _| {
        let fails = state.load(std::sync::atomic::Ordering::SeqCst) && request.url.path().ends_with("o7");
        Ok(if fails { answer(500, "broken") } else { good(&request.url) })
    });
    let service = world.host(&options, http.clone()).await;
    world.once(&service, TICK).await.unwrap();
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 1);
    down.store(false, std::sync::atomic::Ordering::SeqCst);
    let calls = http.calls().len();
    replay(&service, &quarantined()).await;
    assert_eq!((http.calls().len(), quarantine::ids(&world.lake).await.unwrap().len()), (calls, 1), "nobody was asked");
    replay(&service, &Selection { fetch: true, ..quarantined() }).await;
    assert_eq!((http.calls().len(), quarantine::ids(&world.lake).await.unwrap().len()), (calls + 1, 0));
    assert_eq!(world.sums(&service).await, expected(10));
    verified(&world, &service).await;
}

#[tokio::test(start_paused = true)]
async fn records_without_a_key_are_read_again_when_the_key_is_another() {
    let source = "id,group,n,code\no0,g0,0,x0\no1,g1,1,\no2,g2,2,x2\n".to_owned();
    let options = Options { source, ..Options::default() };
    let world = World::new(&options);
    let http = says(&[], "");
    let mut service = world.host(&options, http.clone()).await;
    Arc::get_mut(&mut service.ingest).unwrap().source.key = vec!["code".into()];
    world.once(&service, TICK).await.unwrap();
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 1);
    replay(&service, &quarantined()).await;
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 1, "it has no key still");
    let other = world.host(&options, http).await;
    replay(&other, &quarantined()).await;
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    assert_eq!(world.sums(&other).await, expected(3));
    verified(&world, &other).await;
}

#[tokio::test(start_paused = true)]
async fn a_choice_of_keys_or_of_a_tick_is_kept_to() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, says(&[], "")).await;
    for tick in [TICK, NEXT] {
        world.once(&service, tick).await.unwrap();
    }
    let plan = async |selection: Selection| replay::plan(&service, &selection, &Steps::default()).await.unwrap();
    let keys = BTreeSet::from([Key::from_text("o3"), Key::from_text("o8")]);
    assert_eq!(plan(Selection { keys: keys.clone(), ..Selection::default() }).await.records(), 4);
    let run = records::keys::Tick::parse(NEXT);
    assert_eq!(plan(Selection { keys, run, ..Selection::default() }).await.records(), 2);
    assert_eq!(plan(Selection { run, ..Selection::default() }).await.records(), 10);
    assert_eq!(plan(stale()).await.records(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_number_of_buckets_comes_by_a_rebuild_and_gold_stays_until_all_is_there() {
    let options = Options::default();
    let mut world = World::new(&options);
    let http = says(&["o4"], "reject");
    let before = world.host(&options, http.clone()).await;
    for tick in [TICK, NEXT] {
        world.once(&before, tick).await.unwrap();
    }
    let sums = world.sums(&before).await;
    let (store, schema) = (world.lake.silver.clone(), before.clean.plugin.descriptor().output_schema());
    drop(before);
    world.lake.buckets = NonZeroU32::new(7).unwrap();
    let refused =
        Silver::open(store.clone(), world.clock.clone(), schema.clone(), world.lake.buckets).await.unwrap_err();
    assert!(refused.to_string().contains("sluicebox replay --rebuild"), "{refused}");
    Silver::rebuild(store, world.clock.clone(), schema, world.lake.buckets).await.unwrap();
    let service = world.host(&options, http.clone()).await;
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 0);
    assert!(world.verify(&service).await.findings.iter().any(|found| found.message.contains("--rebuild")));
    let everything = Selection::default();
    let planned = replay::plan(&service, &everything, &Steps::default()).await.unwrap();
    replay::queue(&service, &planned).await.unwrap();
    let stop = CancellationToken::new();
    let left = service.work_off(Duration::from_secs(60), &stop).await.unwrap();
    assert_eq!(world.sums(&service).await, sums, "gold is as it was");
    assert!(replay::finish(&service, &everything, &left).await.unwrap());
    let left = service.work_off(Duration::from_secs(60), &stop).await.unwrap();
    assert!(left.is_nothing(), "{left:?}");
    let snapshot = service.clean.silver.snapshot().await.unwrap();
    assert_eq!((snapshot.rows, snapshot.rebuilding), (9, false));
    assert!(snapshot.buckets.keys().any(|bucket| *bucket > 3), "{:?}", snapshot.buckets.keys());
    assert_eq!(world.sums(&service).await, sums);
    verified(&world, &service).await;
    assert!(!replay::finish(&service, &everything, &left).await.unwrap());
}

/// Has these objects cleaned, one commit after the other.
async fn clean_one_by_one(service: &Service, objects: impl Iterator<Item = &seams::store::Path>) {
    for object in objects {
        let event = NewObject { bronze: object.to_string(), lines: Vec::new(), again: false };
        service.clean.objects(&[event]).await.unwrap();
    }
    service.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_that_makes_no_row_takes_back_none_of_another_message() {
    let options = Options { batch_size: 1, max_receives: 2, ..Options::default() };
    let world = World::new(&options);
    let down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = down.clone();
    let http = ScriptedHttp::new(move |request, _| {
        let fails = state.load(std::sync::atomic::Ordering::SeqCst) && request.url.path().ends_with("o7");
        Ok(if fails { answer(500, "broken") } else { good(&request.url) })
    });
    world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap();
    down.store(false, std::sync::atomic::Ordering::SeqCst);
    // The same tick in other batches: other messages of the same records, and this time all is well.
    let options = Options { batch_size: 5, ..options };
    let second = world.host(&options, http.clone()).await;
    world.once(&second, TICK).await.unwrap();
    assert_eq!(world.sums(&second).await, expected(10));
    let states = json!({"silver": 10, "superseded": 9, "quarantined": 1});
    assert_eq!(json!(world.verify(&second).await.states), states);
    let other = world.host(&Options { clean_version: "2.0.0", ..options }, http).await;
    replay(&other, &stale()).await;
    assert_eq!(world.sums(&other).await, expected(10));
    replay(&other, &Selection::default()).await;
    assert_eq!(world.sums(&other).await, expected(10));
    // The refused one was enriched again meanwhile, from the answer that the second message has brought.
    let report = world.verify(&other).await;
    assert_eq!((report.findings, json!(report.states)), (Vec::new(), json!({"silver": 10, "superseded": 11})));
}

#[tokio::test(start_paused = true)]
async fn of_two_messages_of_a_tick_the_same_one_stands_whichever_is_cleaned_again_first() {
    for turned in [false, true] {
        let options = Options::default();
        let world = World::new(&options);
        let http = says(&[], "");
        for batch_size in [3, 2] {
            let service = world.host(&Options { batch_size, ..Options::default() }, http.clone()).await;
            world.once(&service, TICK).await.unwrap();
        }
        let other = world.host(&Options { clean_version: "2.0.0", ..options }, http).await;
        let objects = lake::bronze::inventory(&world.lake, None).await.unwrap().objects;
        match turned {
            false => clean_one_by_one(&other, objects.iter()).await,
            true => clean_one_by_one(&other, objects.iter().rev()).await,
        }
        verified(&world, &other).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_before_a_replay_says_that_it_is_queued() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, says(&[], "")).await;
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
    let again = Options { enrich_version: "2.0.0", ..options };
    let service = world.host(&again, says(&[], "")).await;
    let planned = replay::plan(&service, &Selection::default(), &Steps::default()).await.unwrap();
    replay::queue(&service, &planned).await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let tick = Tick::parse(TICK).unwrap();
    let left = service.once(tick, Duration::from_secs(60), &stop).await.unwrap().left;
    assert!(left.missing.is_nothing(), "the lake knows nothing of it");
    assert!(!left.is_nothing() && left.queued > 0, "{left:?}");
    assert!(world.once(&service, TICK).await.unwrap().left.is_nothing());
}

#[tokio::test(start_paused = true)]
async fn an_emptied_silver_is_whole_when_everything_was_made_again_and_not_before() {
    let options = Options::default();
    let world = World::new(&options);
    let http = says(&[], "");
    world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap();
    let service = emptied(&world, &options, http).await;
    let calm = CancellationToken::new();
    let patience = Duration::from_secs(7200);
    // A replay of one record, after one of everything that was killed before it had queued anything.
    let one = Selection { keys: BTreeSet::from([Key::from_text("o3")]), ..Selection::default() };
    let planned = replay::plan(&service, &one, &Steps::default()).await.unwrap();
    replay::queue(&service, &planned).await.unwrap();
    let left = service.work_off(patience, &calm).await.unwrap();
    assert!(left.is_nothing());
    assert!(!replay::finish(&service, &one, &left).await.unwrap(), "nine records are not there");
    // A replay of everything that is stopped.
    let everything = Selection::default();
    let planned = replay::plan(&service, &everything, &Steps::default()).await.unwrap();
    replay::queue(&service, &planned).await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let elsewhere = world.queues.clean.live.receive(10, Duration::ZERO).await.unwrap();
    let left = service.work_off(patience, &stop).await.unwrap();
    assert_eq!((left.is_nothing(), left.queued), (false, 4));
    assert!(!replay::finish(&service, &everything, &left).await.unwrap(), "its messages are queued still");
    assert!(service.clean.silver.snapshot().await.unwrap().rebuilding);
    assert_eq!(world.sums(&service).await, expected(10), "gold stays as it was");
    for delivery in elsewhere {
        world.queues.clean.live.release(&delivery.receipt, Duration::ZERO).await.unwrap();
    }
    let left = service.work_off(patience, &calm).await.unwrap();
    assert!(replay::finish(&service, &everything, &left).await.unwrap());
    assert!(service.work_off(patience, &calm).await.unwrap().is_nothing());
    assert_eq!(world.sums(&service).await, expected(10));
    verified(&world, &service).await;
}

/// A host that cleans a new object beside a rebuild: its rows are committed before Silver is emptied, its receipt is written after that.
#[tokio::test(start_paused = true)]
async fn what_another_host_cleans_while_silver_is_emptied_is_not_lost() {
    let options = Options::default();
    let world = World::new(&options);
    let http = says(&[], "");
    world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap();
    let all = lake::receipts::all(&world.lake).await.unwrap();
    let late = all.first().unwrap();
    let listed: Vec<_> = world.lake.silver.list(None).try_collect().await.unwrap();
    let path = listed.into_iter().map(|object| object.location).find(|path| path.as_ref().contains(&late.object));
    let path = path.unwrap();
    let body = seams::store::read(&*world.lake.silver, &path).await.unwrap();
    world.lake.silver.delete(&path).await.unwrap();

    let service = emptied(&world, &options, http).await;
    let everything = Selection::default();
    let planned = replay::plan(&service, &everything, &Steps::default()).await.unwrap();
    assert_eq!((planned.underway, planned.records()), (0, 10));
    world.lake.silver.put(&path, body.into()).await.unwrap();
    replay::queue(&service, &planned).await.unwrap();
    let left = service.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
    assert!(replay::finish(&service, &everything, &left).await.unwrap());
    service.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
    assert_eq!(world.sums(&service).await, expected(10));
    verified(&world, &service).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_while_silver_is_made_anew_is_refused_and_not_lost() {
    let options = Options::default();
    let world = World::new(&options);
    let http = says(&[], "");
    world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap();
    let service = emptied(&world, &options, http).await;
    let planned = replay::plan(&service, &Selection::default(), &Steps::default()).await.unwrap();
    let (object, _) = planned.clean.iter().next().unwrap();
    let event = NewObject { bronze: object.clone(), lines: Vec::new(), again: true };
    service.clean.give_up(&event, "it kills its host").await.unwrap();
    let rest: Vec<_> = planned.clean.keys().skip(1).map(|object| seams::store::Path::from(object.as_str())).collect();
    for object in &rest {
        let event = NewObject { bronze: object.to_string(), lines: Vec::new(), again: true };
        service.clean.objects(&[event]).await.unwrap();
    }
    let left = service.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
    assert!(replay::finish(&service, &Selection::default(), &left).await.unwrap());
    service.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
    let report = world.verify(&service).await;
    assert_eq!((report.findings, json!(report.states)), (Vec::new(), json!({"silver": 7, "quarantined": 3})));
}

#[tokio::test(start_paused = true)]
async fn a_row_whose_receipt_was_lost_goes_when_the_next_plugin_makes_none() {
    let options = Options::default();
    let world = World::new(&options);
    world.once(&world.host(&options, says(&[], "")).await, TICK).await.unwrap();
    let http = says(&["o4"], "late");
    world.once(&world.host(&options, http.clone()).await, NEXT).await.unwrap();
    // The host died between its commit and the receipts, and the next one has a stricter plugin.
    let receipts: Vec<_> =
        world.lake.silver.list(Some(&format!("_receipts/run={NEXT}").into())).try_collect().await.unwrap();
    for receipt in receipts {
        world.lake.silver.delete(&receipt.location).await.unwrap();
    }
    lake::sweeping::forget_marks(&world.lake).await.unwrap();
    let strict = world.host(&Options { clean_version: "3.0.0", ..options }, http).await;
    let left = strict.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
    assert!(left.is_nothing(), "{left:?}");
    let report = world.verify(&strict).await;
    assert_eq!(
        (report.findings, json!(report.states)),
        (Vec::new(), json!({"silver": 10, "superseded": 9, "quarantined": 1}))
    );
    assert_eq!(world.sums(&strict).await, expected(10));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_cleaner_ends_when_the_enricher_was_mended() {
    let options = Options::default();
    let world = World::new(&options);
    let http = says(&["o4"], "reject");
    world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap();
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 1);
    let mended = world.host(&Options { enrich_version: "3.0.0", ..options }, http).await;
    // The refused document is cleaned once more before the record is enriched again.
    let mut planned = replay::plan(&mended, &quarantined(), &Steps::default()).await.unwrap();
    for (object, lines) in std::mem::take(&mut planned.clean) {
        mended.clean.objects(&[NewObject { bronze: object, lines, again: true }]).await.unwrap();
    }
    replay::queue(&mended, &planned).await.unwrap();
    let left = mended.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
    assert!(left.is_nothing(), "{left:?}");
    let report = world.verify(&mended).await;
    assert_eq!((report.findings, json!(report.states)), (Vec::new(), json!({"silver": 10, "superseded": 1})));
    assert_eq!(quarantine::ids(&world.lake).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn of_two_replays_at_once_no_refusal_is_left_behind() {
    let options = Options::default();
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| {
        let bad = ["/orders/o0", "/orders/o1"].contains(&request.url.path());
        Ok(if bad { answer(200, "<html>") } else { good(&request.url) })
    });
    world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap();
    // One that refuses in other words.
    let other = world.host(&Options { enrich_version: "3.0.0", ..Options::default() }, http.clone()).await;
    let one = Selection { keys: BTreeSet::from([Key::from_text("o0")]), ..quarantined() };
    let plans = [
        replay::plan(&other, &one, &Steps::default()).await,
        replay::plan(&other, &quarantined(), &Steps::default()).await,
    ];
    for planned in plans {
        replay::queue(&other, &planned.unwrap()).await.unwrap();
    }
    let left = other.work_off(Duration::from_secs(7200), &CancellationToken::new()).await.unwrap();
    assert!(left.is_nothing(), "{left:?}");
    verified(&world, &other).await;
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 2);
    let mended = world.host(&Options { enrich_version: "2.0.0", ..options }, http).await;
    replay(&mended, &quarantined()).await;
    assert_eq!(quarantine::ids(&world.lake).await.unwrap(), Vec::<String>::new());
    verified(&world, &mended).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_a_crash_left_behind_goes_with_the_next_replay() {
    let options = Options::default();
    let world = World::new(&options);
    let http = says(&["o4"], "reject");
    world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap();
    let refused = quarantine::all(&world.lake).await.unwrap();
    let mended = world.host(&Options { clean_version: "2.0.0", ..options }, http).await;
    replay(&mended, &quarantined()).await;
    // The host died after it had written what became of the line, and before the refusal went.
    quarantine::put_all(&world.lake, &refused).await.unwrap();
    let told = world.verify(&mended).await.findings;
    assert!(told[0].message.contains("still is in quarantine"), "{told:?}");
    replay(&mended, &quarantined()).await;
    assert_eq!(quarantine::ids(&world.lake).await.unwrap(), Vec::<String>::new());
    verified(&world, &mended).await;
}
