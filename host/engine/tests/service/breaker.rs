//! A plugin that fails on too many records is suspended, and nobody's records pay for it.
//!
//! Does not test which failure of a consumer's work does what: `pauses` does.

use std::sync::Arc;

use engine::drivers::service::Ended;
use engine::lake::quarantine;
use engine::pipeline::plan::Percent;
use engine::seams::store::{ObjectStore, ObjectStoreExt};
use engine::status::status;
use futures::TryStreamExt;
use serde_json::json;
use testkit::ScriptedHttp;
use testkit::http::answer;

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
async fn an_aggregate_that_breaks_is_suspended_and_the_other_tables_are_made() {
    let options = Options { broken_table: true, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    let ended = world.once(&service, TICK).await.unwrap();
    assert!(is_suspended(&ended, "aggregate"), "{ended:?}");
    let told = &ended.left.suspended["aggregate"];
    assert!(told.contains("table `broken`") && told.contains("P101") && told.contains("hint: mend"), "{told}");
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    let sums = &service.aggregate.tables[1].gold;
    assert!(sums.silver_version().await.unwrap().is_some());
    let whole = world.host(&Options::default(), ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    assert!(world.once(&whole, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&whole).await, expected(10));
}
