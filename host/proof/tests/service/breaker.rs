//! A plugin that fails on too many records is suspended, and no record pays for it.
//!
//! Does not test which failure of a consumer's work does what: `pauses` does.

use std::sync::Arc;
use std::time::Duration;

use engine::drivers::service::Ended;
use futures::TryStreamExt;
use lake::quarantine;
use pipeline::plan::{Percent, SecretRef};
use pipeline::role::Role;
use proof::status::status;
use records::keys::Tick;
use seams::clock::Clock as _;
use seams::store::{ObjectStore, ObjectStoreExt};
use serde_json::json;
use testkit::ScriptedHttp;
use testkit::http::answer;
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, expected, good, orders};

/// A service that answers `bad` for every order whose number is a multiple of `every`; version 2 of the cleaner forgives it.
fn service(every: usize, bad: &'static str) -> Arc<ScriptedHttp> {
    ScriptedHttp::new(move |request, _| {
        let id = request.url.path().trim_start_matches("/orders/").to_owned();
        let number: usize = id.trim_start_matches('o').parse().unwrap();
        Ok(match bad {
            _ if !number.is_multiple_of(every) => good(&request.url),
            "html" => answer(200, "<html>"),
            bad => answer(200, json!({ "do": bad, "group": format!("g{}", number % 3), "n": number }).to_string()),
        })
    })
}

async fn suspensions(store: &Arc<dyn ObjectStore>) -> Vec<serde_json::Value> {
    let listed: Vec<_> = store.list(Some(&"_suspended".into())).try_collect().await.unwrap();
    let mut all = Vec::new();
    for object in listed {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        all.push(serde_json::from_slice(&bytes).unwrap());
    }
    all
}

fn is_suspended(ended: &Ended, stage: &str) -> bool {
    ended.left.suspended.len() == 1 && ended.left.suspended.contains_key(stage)
}

#[tokio::test(start_paused = true)]
async fn a_cleaner_that_refuses_too_much_is_suspended_until_it_is_another_one() {
    let options = Options { source: orders(200), ..Options::default() };
    let world = World::new(&options);
    let http = service(3, "reject");
    let ended = world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap();
    assert!(is_suspended(&ended, "clean"), "{ended:?}");
    assert!(ended.left.waiting_for.is_none() && !ended.left.missing.is_nothing());
    let told = &ended.left.suspended["clean"];
    assert!(
        told.contains("allowed are 20%") && told.contains("R001: cannot read it") && told.contains("hint: "),
        "{told}"
    );
    let refused = quarantine::ids(&world.lake).await.unwrap().len();
    assert!(refused < 17, "{refused} quarantined: only a third of what was judged harmless may be");

    let kept = suspensions(&world.lake.silver).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0]["stage"], &kept[0]["suspend_above"]), (&json!("clean"), &json!("20%")));
    assert!(kept[0]["samples"][0]["input"].as_str().unwrap().starts_with("run="), "{kept:?}");

    // The same plugin in another process: nothing is received, nothing more is refused.
    let same = world.host(&options, http.clone()).await;
    let again = world.once(&same, TICK).await.unwrap();
    assert!(is_suspended(&again, "clean"));
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), refused);
    let shown = status(&same).await.unwrap().suspended;
    assert_eq!(shown["clean"].plugin.name, "clean-orders");
    assert!(shown["clean"].failed * 5 > shown["clean"].records && shown["clean"].records >= 50);

    let mended = Options { clean_version: "2.0.0", ..options };
    let mended = world.host(&mended, http.clone()).await;
    assert!(status(&mended).await.unwrap().suspended.is_empty());
    let ended = world.once(&mended, TICK).await.unwrap();
    assert!(ended.left.suspended.is_empty() && ended.left.missing.is_nothing(), "{ended:?}");
    assert_eq!(http.calls().len(), 200, "nobody is asked again");
    // What the old one had refused before it was judged stays refused until it is replayed.
    let rows = mended.clean.silver.snapshot().await.unwrap().rows;
    assert_eq!(rows, 200 - u64::try_from(refused).unwrap());
    if refused == 0 {
        assert_eq!(world.sums(&mended).await, expected(200));
    }
}

#[tokio::test(start_paused = true)]
async fn an_enricher_that_refuses_too_much_stops_asking() {
    let options = Options { source: orders(200), batch_size: 1, ..Options::default() };
    let world = World::new(&options);
    let http = service(2, "html");
    let service = world.host(&options, http.clone()).await;
    let ended = world.once(&service, TICK).await.unwrap();
    assert!(is_suspended(&ended, "enrich"), "{ended:?}");
    assert!((50..60).contains(&http.calls().len()), "{} calls", http.calls().len());
    assert_eq!(suspensions(&world.lake.bronze).await.len(), 1);
    let depth = world.queues.enrich.live.depth().await.unwrap();
    assert!(depth.ready > 140 && depth.in_flight == 0, "{depth:?}");
    let other_limit = Options { suspend_above: Percent::new(60).unwrap(), ..options };
    let service = world.host(&other_limit, http.clone()).await;
    let ended = world.once(&service, TICK).await.unwrap();
    assert!(
        ended.left.suspended.is_empty() && ended.left.missing.is_nothing(),
        "another limit starts clean: {ended:?}"
    );
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn few_failures_and_few_records_suspend_nothing() {
    for (records, every, bad, suspend_above) in
        [(200, 6, "reject", 20), (45, 1, "reject", 20), (120, 10, "trap", 20), (120, 1, "reject", 100)]
    {
        let suspend_above = Percent::new(suspend_above).unwrap();
        let options = Options { source: orders(records), suspend_above, ..Options::default() };
        let world = World::new(&options);
        let service = world.host(&options, service(every, bad)).await;
        let ended = world.once(&service, TICK).await.unwrap();
        assert!(
            ended.left.suspended.is_empty() && ended.left.missing.is_nothing(),
            "{records} {every} {bad}: {ended:?}"
        );
        assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), records.div_ceil(every));
    }
}

#[tokio::test(start_paused = true)]
async fn traps_count_as_refusals_do() {
    let options = Options { source: orders(100), ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, service(3, "trap")).await;
    let ended = world.once(&service, TICK).await.unwrap();
    assert!(is_suspended(&ended, "clean") && ended.left.suspended["clean"].contains("P101"), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_that_breaks_is_suspended_alone_and_the_other_tables_are_made() {
    let options = Options { broken_table: true, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    let ended = world.once(&service, TICK).await.unwrap();
    // Nothing else is left, and the run does not end well all the same.
    assert!(ended.left.missing.is_nothing() && ended.left.queued == 0 && ended.left.suspended.is_empty(), "{ended:?}");
    assert!(!ended.left.is_nothing(), "{ended:?}");
    let told = &ended.left.tables_behind["broken"];
    assert!(told.contains("table `broken` is behind since silver version") && told.contains("P101"), "{told}");
    assert!(told.contains("hint: it keeps its last good version; mend `sum-orders`"), "{told}");
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    // A second start on the same data knows it, and says it again.
    let again = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    let again = world.once(&again, TICK).await.unwrap();
    assert!(again.left.missing.is_nothing() && again.left.tables_behind.contains_key("broken"), "{again:?}");
    let report = world.verify(&service).await;
    let found: Vec<&str> = report.findings.iter().map(|one| one.at.as_str()).collect();
    assert_eq!(found, ["gold broken"], "{report:?}");
    assert!(report.findings[0].message.contains("is behind since"), "{report:?}");
    let sums = &service.aggregate.tables[1].gold;
    assert!(sums.silver_version().await.unwrap().is_some());
    let whole = world.host(&Options::default(), ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    assert!(world.once(&whole, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&whole).await, expected(10));
}

/// A service that refuses every key but `right`.
fn picky(right: &'static str) -> Arc<ScriptedHttp> {
    ScriptedHttp::new(move |request, _| {
        let key = request.url.query_pairs().find(|(name, _)| name == "key").map(|(_, value)| value.into_owned());
        Ok(if key.as_deref() == Some(right) { good(&request.url) } else { answer(401, "who are you") })
    })
}

fn key() -> SecretRef {
    SecretRef::Env("KEY".into())
}

#[tokio::test(start_paused = true)]
async fn another_secret_lifts_the_suspension_and_the_same_one_does_not() {
    let options = Options { source: orders(120), batch_size: 60, ..Options::default() };
    let world = World::new(&options);
    world.secrets.set(key(), "wrong-token");
    let http = picky("right-token");
    assert!(is_suspended(&world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap(), "enrich"));
    let asked = http.calls().len();
    let kept = suspensions(&world.lake.bronze).await;
    assert!(!kept[0].to_string().contains("wrong-token"));
    assert_eq!(
        kept[0]["surroundings"]["digest"].as_str().unwrap().len(),
        4,
        "too short to tell a guess from thousands"
    );
    // The same secret, one that is not there now, and a lake that is only looked at: still suspended, and no service is asked.
    assert!(is_suspended(&world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap(), "enrich"));
    world.secrets.remove(&key());
    assert!(is_suspended(&world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap(), "enrich"));
    assert_eq!(http.calls().len(), asked);

    world.secrets.set(key(), "right-token");
    let host = world.host(&options, http.clone()).await;
    assert_eq!(status(&host).await.unwrap().suspended.len(), 1, "who only looks lifts nothing");
    let ended = world.once(&host, TICK).await.unwrap();
    assert!(ended.left.is_nothing(), "{ended:?}");
    assert_eq!(world.sums(&host).await, expected(120));
    assert!(status(&host).await.unwrap().suspended.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_served_stage_notices_within_seconds_that_its_suspension_is_lifted() {
    for by_hand in [false, true] {
        let options = Options { source: orders(120), batch_size: 60, ..Options::default() };
        let world = World::new(&options);
        world.secrets.set(key(), "wrong-token");
        let refuses = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let still = refuses.clone();
        let http = ScriptedHttp::new(move |request, _| {
            let wrong = !by_hand && request.url.query() != Some("key=right-token");
            let wrong = wrong || by_hand && still.load(std::sync::atomic::Ordering::SeqCst);
            Ok(if wrong { answer(401, "who are you") } else { good(&request.url) })
        });
        let host = Arc::new(world.host(&options, http.clone()).await);
        let stop = CancellationToken::new();
        let serving = tokio::spawn({
            let (host, stop) = (host.clone(), stop.clone());
            async move { host.serve(&Role::ALL, &stop).await }
        });
        host.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
        world.clock.sleep(Duration::from_secs(60)).await;
        assert!(host.progress.suspended().contains_key("enrich"));
        let asked = http.calls().len();
        world.clock.sleep(Duration::from_secs(300)).await;
        assert_eq!(http.calls().len(), asked, "a suspended stage asks nobody");
        if by_hand {
            refuses.store(false, std::sync::atomic::Ordering::SeqCst);
            let kept = engine::roles::breaker::suspensions(&world.lake).await.unwrap();
            assert_eq!(kept.iter().map(|one| one.stage.as_str()).collect::<Vec<_>>(), ["enrich"]);
            assert!(engine::roles::breaker::lift(&world.lake, "clean").await.unwrap().is_empty());
            assert_eq!(engine::roles::breaker::lift(&world.lake, "enrich").await.unwrap().len(), 1);
        } else {
            world.secrets.set(key(), "right-token");
        }
        world.clock.sleep(Duration::from_secs(120)).await;
        assert!(host.progress.suspended().is_empty());
        stop.cancel();
        serving.await.unwrap().unwrap();
        assert_eq!(world.sums(&host).await, expected(120), "by hand: {by_hand}");
        assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspension_lifted_by_hand_comes_back_if_nothing_has_changed() {
    let options = Options { source: orders(120), batch_size: 60, ..Options::default() };
    let world = World::new(&options);
    let http = picky("right-token");
    assert!(is_suspended(&world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap(), "enrich"));
    engine::roles::breaker::lift(&world.lake, "enrich").await.unwrap();
    let ended = world.once(&world.host(&options, http.clone()).await, TICK).await.unwrap();
    assert!(is_suspended(&ended, "enrich"));
    let told = &ended.left.suspended["enrich"];
    assert!(told.contains("`sluicebox resume enrich`") && !told.contains("delete"), "{told}");
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
}

/// Calls of the plugin that traps, whatever else is going on.
fn counted(table: &mut engine::roles::aggregate::GoldTable, calls: &Arc<std::sync::atomic::AtomicUsize>) {
    let calls = calls.clone();
    let count = move || {
        calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        testkit::plugins::trap("no")
    };
    let (fold, merge, finish) = (count.clone(), count.clone(), count);
    let plugin = testkit::plugins::ClosureAggregator::new(
        seams::plugin::Plugin::descriptor(&*table.plugin).clone(),
        move |_, _| Err(fold()),
        move |_, _| Err(merge()),
        move |_, _| Err(finish()),
    );
    table.plugin = Arc::new(plugin);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_behind_costs_its_neighbours_nothing_for_as_long_as_they_are_served() {
    let options = Options { broken_table: true, ..Options::default() };
    let world = World::new(&options);
    let mut host = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    let calls = Arc::default();
    counted(&mut Arc::get_mut(&mut host.aggregate).unwrap().tables[0], &calls);
    let host = Arc::new(host);
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let (host, stop) = (host.clone(), stop.clone());
        async move { host.serve(&Role::ALL, &stop).await }
    });
    for tick in [TICK, "20260102T030000Z", "20260103T030000Z"] {
        host.ingest.fire(Tick::parse(tick).unwrap()).await.unwrap();
        world.clock.sleep(Duration::from_secs(60)).await;
        let silver = host.clean.silver.snapshot().await.unwrap().version;
        assert_eq!(host.aggregate.tables[1].gold.silver_version().await.unwrap(), Some(silver), "{tick}");
        assert!(host.progress.suspended().is_empty() && host.progress.behind().contains_key("broken"));
    }
    world.clock.sleep(Duration::from_secs(3600)).await;
    let depth = world.queues.aggregate.live.depth().await.unwrap();
    assert_eq!(
        (depth.total(), calls.load(std::sync::atomic::Ordering::SeqCst) <= 4),
        (0, true),
        "one attempt: {calls:?}"
    );
    let shown = status(&host).await.unwrap();
    assert!(shown.gold["broken"].behind_since.is_some() && shown.gold["sums"].behind_since.is_none(), "{shown:?}");
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_that_runs_past_its_deadline_each_time_is_behind_and_holds_up_nobody() {
    let options = Options { hiccup: Arc::new(|| true), ..Options::default() };
    let world = World::new(&Options::default());
    // The cleaner is tried document by document at a deadline; the aggregator has no such way.
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    let ended = world.once(&service, TICK).await.unwrap();
    let told = &ended.left.tables_behind["sums"];
    assert!(told.contains("P104") && told.contains("3 times in a row"), "{told}");
    assert!(ended.left.missing.is_nothing() && ended.left.queued == 0, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_that_failed_is_shown_and_tried_again_when_it_is_resumed() {
    let options = Options { broken_table: true, ..Options::default() };
    let world = World::new(&options);
    let host = Arc::new(world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await);
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let (host, stop) = (host.clone(), stop.clone());
        async move { host.serve(&Role::ALL, &stop).await }
    });
    host.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    world.clock.sleep(Duration::from_secs(60)).await;
    let shown = status(&host).await.unwrap().suspended;
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["aggregate broken"]);
    assert!(shown["aggregate broken"].reason().contains("P101"), "{}", shown["aggregate broken"].reason());
    let first = shown["aggregate broken"].at;
    assert_eq!(engine::roles::breaker::lift(&world.lake, "aggregate broken").await.unwrap().len(), 1);
    world.clock.sleep(Duration::from_secs(1200)).await;
    let again = status(&host).await.unwrap().suspended;
    assert!(again["aggregate broken"].at > first, "it was tried again and failed again");
    stop.cancel();
    serving.await.unwrap().unwrap();
}
