//! A plugin is replaced while its stage works: a batch has one version, nothing is lost or doubled, and a version that is worse than
//! the one before it does not stay.
//!
//! Does not watch files or load components: `tests/e2e/swap.rs` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use engine::drivers::service::Service;
use engine::drivers::serving::{Replaced, Serving};
use engine::progress::Progress;
use engine::rehearsal::{self, NotGood};
use engine::roles::breaker::Breaker;
use lake::events::{NewObject, ToEnrich, decode, enrich_work};
use lake::failure::Failure;
use lake::generations::Generations;
use lake::quarantine;
use lake::silver::{ORD, PLUGIN};
use lake::swaps::{self, Happened, Held, Initiator, Version, held};
use pipeline::plan::Percent;
use pipeline::role::Role;
use records::keys::Tick;
use seams::clock::Clock;
use seams::plugin::{Plugin, PluginStamp};
use serde_json::json;
use testkit::ScriptedHttp;
use testkit::http::answer;
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, cleaner, expected, good, orders};

/// A service whose orders ask version 3 of the cleaner to refuse them, from the order of number `from` on.
fn late(from: usize) -> Arc<ScriptedHttp> {
    ScriptedHttp::new(move |request, _| {
        let id = request.url.path().trim_start_matches("/orders/").to_owned();
        let number: usize = id.trim_start_matches('o').parse().unwrap();
        if number < from {
            return Ok(good(&request.url));
        }
        let document = json!({ "do": "late", "group": format!("g{}", number % 3), "n": number });
        Ok(answer(200, document.to_string()))
    })
}

fn version(plugin: &dyn Plugin) -> Version {
    Version { plugin: PluginStamp::of(plugin), config: "{}".into() }
}

/// `service` with another version of the cleaner, on trial.
fn with_cleaner(service: &Service, number: &'static str) -> (Service, Vec<Replaced>) {
    let plugin = Arc::new(cleaner(number, Arc::new(|| false)));
    let stamp = (Some(PluginStamp::of(&*plugin)), "{}");
    let layer = service.clean.lake.silver.clone();
    let breaker = Breaker::new("clean", layer, stamp, Percent::SUSPEND_ABOVE, service.clock.clone());
    let replaced = Replaced { stage: "clean".into(), old: version(&*service.clean.plugin), new: version(&*plugin) };
    let breaker = breaker.on_trial(&service.clean.breaker);
    let clean = service.clean.with(plugin, "{}".into(), breaker, service.clean.silver.clone());
    (Service { clean: Arc::new(clean), ..service.clone() }, vec![replaced])
}

/// Serves until everything is terminal, `meddle` being called again and again meanwhile.
async fn serve(world: &World, serving: &Arc<Serving>, mut meddle: impl FnMut(u32)) {
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (serving, stop) = (serving.clone(), stop.clone());
        async move { serving.serve(&Role::ALL, &stop).await }
    });
    for round in 0..600 {
        meddle(round);
        world.clock.sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..600 {
        let mut waiting = 0;
        for (_, queue) in world.queues.all() {
            waiting += queue.live.depth().await.unwrap().total() + queue.dead.depth().await.unwrap().total();
        }
        if waiting == 0 {
            break;
        }
        world.clock.sleep(Duration::from_secs(1)).await;
    }
    stop.cancel();
    running.await.unwrap().unwrap();
}

/// A switch to that version of the cleaner before anything is cleaned.
fn at_once(serving: &Serving, number: &'static str) -> impl FnMut(u32) {
    move |round| {
        if round == 0 {
            let (next, replaced) = with_cleaner(&serving.current(), number);
            serving.switch(next, replaced);
        }
    }
}

/// Each row's digest beside the generation that its `_ord` names.
async fn makers(service: &Service) -> BTreeMap<u32, BTreeSet<String>> {
    let silver = &service.clean.silver;
    let snapshot = silver.snapshot().await.unwrap();
    let mut makers: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for bucket in snapshot.buckets.keys() {
        for batch in silver.read(&snapshot, *bucket, Some(&[ORD, PLUGIN])).await.unwrap() {
            let (ords, plugins) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            for (ord, plugin) in ords.iter().zip(plugins) {
                let generation = ord.unwrap().rsplit('.').next().unwrap().parse().unwrap();
                makers.entry(generation).or_default().insert(plugin.unwrap().to_owned());
            }
        }
    }
    makers
}

#[tokio::test(start_paused = true)]
async fn a_cleaner_is_replaced_again_and_again_under_load_and_nothing_is_lost_or_doubled() {
    let options = Options { source: orders(60), batch_size: 2, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let service = Arc::new(world.host(&options, http).await);
    let serving = Serving::new((*service).clone());
    let ticking = tokio::spawn({
        let (service, clock) = (service.clone(), world.clock.clone());
        async move {
            for minute in 0..20 {
                let tick = Tick::parse(&format!("20260101T03{minute:02}00Z")).unwrap();
                service.ingest.fire(tick).await.unwrap();
                clock.sleep(Duration::from_millis(500)).await;
            }
        }
    });
    serve(&world, &serving, |round| {
        let (next, replaced) = with_cleaner(&serving.current(), if round % 2 == 0 { "2.0.0" } else { "1.0.0" });
        serving.switch(next, replaced);
    })
    .await;
    ticking.await.unwrap();
    let service = serving.current();
    assert_eq!(serving.number(), 600);
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 60);
    assert_eq!(world.sums(&service).await, expected(60));
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    let generations = Generations::of_clean(&world.lake).all().await.unwrap();
    assert!(generations.len() >= 10, "{} generations have cleaned", generations.len());
    let makers = makers(&service).await;
    assert!(makers.values().all(|digests| digests.len() == 1), "{makers:?}");
    let report = world.verify(&service).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_refuses_everything_is_taken_back_and_what_it_refused_is_made_again() {
    let options = Options { source: orders(400), batch_size: 5, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, late(100)).await;
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let good_one = version(&*service.clean.plugin);
    let serving = Serving::new(service);
    serve(&world, &serving, at_once(&serving, "3.0.0")).await;
    let service = serving.current();
    assert_eq!(version(&*service.clean.plugin), good_one, "the version before serves again");
    assert_eq!(Progress::get(&service.progress.rolled_back), 1);
    assert!(service.progress.suspended().is_empty());
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty(), "what it had refused is made again");
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 400);
    assert_eq!(world.sums(&service).await, expected(400));
    let report = world.verify(&service).await;
    assert!(report.is_clean(), "{report:?}");

    // A host that finds the version that was taken back serves the one before, and says why.
    let bad = version(&cleaner("3.0.0", Arc::new(|| false)));
    let events = swaps::decisions(&world.lake, "clean").await.unwrap();
    let held = held(&events, &bad.plugin.digest, "{}").unwrap();
    assert_eq!((&held.version, held.by), (&good_one, Initiator::Host));
    assert!(held.reason.contains("fails on"), "{}", held.reason);
    let told = proof::status::status(&service).await.unwrap().swaps;
    assert!(matches!(told["clean"].happened, Happened::RolledBack(_)));
}

#[tokio::test(start_paused = true)]
async fn what_a_host_refuses_that_has_not_heard_of_the_way_back_is_made_again() {
    let options = Options { source: orders(200), batch_size: 5, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, late(0)).await;
    let worse = Options { clean_version: "3.0.0", ..options };
    let other = world.host(&worse, late(0)).await;
    let idle = world.host(&worse, late(0)).await;
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    for delivery in world.queues.enrich.live.receive(100, Duration::ZERO).await.unwrap() {
        let work = enrich_work(&world.lake, &delivery.body).await.unwrap();
        let ToEnrich::Message(message) = work else { panic!("{work:?}") };
        service.enrich.message(&message, false, &tokio::sync::Semaphore::new(2)).await.unwrap();
        world.queues.enrich.live.ack(&delivery.receipt).await.unwrap();
    }
    let events = world.queues.clean.live.receive(100, Duration::ZERO).await.unwrap();
    let object = |number: usize| decode::<NewObject>(&events[number].body).unwrap();

    // What it refuses is too little to judge its plugin by, and it says so before another host says that the plugin was taken back.
    other.clean.objects(&[object(0), object(1)]).await.unwrap();
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 10);
    let [good_one, bad] = [&service, &other].map(|host| version(&*host.clean.plugin));
    let held = Held { version: good_one, reason: "worse".into(), by: Initiator::Host };
    swaps::tell(&world.lake, "clean", &bad, Happened::RolledBack(held), world.clock.now()).await.unwrap();
    service.clean.objects(&[object(2)]).await.unwrap();
    // From then on it is not let in any more.
    let failure = other.clean.objects(&[object(3)]).await.unwrap_err();
    assert!(matches!(failure, Failure::Lake { .. }), "{failure}");
    // Told to do again what it has refused it finds it done, and can tell that it may have missed something.
    other.clean.objects(&[object(0)]).await.unwrap();
    assert_eq!(Progress::get(&other.progress.found_done), 1);
    // Nor is one let in that has not worked yet: it would stand above the plugin that serves.
    let failure = idle.clean.objects(&[object(4)]).await.unwrap_err();
    assert!(failure.to_string().contains("was taken back"), "{failure}");
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 10);

    for event in &events {
        world.queues.clean.live.release(&event.receipt, Duration::ZERO).await.unwrap();
    }
    let serving = Serving::new(service);
    serve(&world, &serving, |_| {}).await;
    let service = serving.current();
    assert_eq!(quarantine::ids(&world.lake).await.unwrap(), Vec::<String>::new());
    assert_eq!(world.sums(&service).await, expected(200));
    let report = world.verify(&service).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_worse_by_less_than_a_suspension_is_taken_back_too() {
    // Every eighth order is late: 12% are refused, where before none was, and up to 20% would be borne.
    let options = Options { source: orders(800), batch_size: 8, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| {
        let number: usize = request.url.path().trim_start_matches("/orders/o").parse().unwrap();
        if !number.is_multiple_of(8) {
            return Ok(good(&request.url));
        }
        let document = json!({ "do": "late", "group": format!("g{}", number % 3), "n": number });
        Ok(answer(200, document.to_string()))
    });
    let service = world.host(&options, http).await;
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let serving = Serving::new(service);
    serve(&world, &serving, at_once(&serving, "3.0.0")).await;
    let service = serving.current();
    assert_eq!(service.clean.plugin.descriptor().version, "1.0.0");
    assert_eq!(world.sums(&service).await, expected(800));
    assert!(world.verify(&service).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_suspended_stage_goes_on_when_another_version_serves() {
    let options = Options { source: orders(200), clean_version: "3.0.0", ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, late(0)).await;
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let serving = Serving::new(service);
    let mut suspended = false;
    serve(&world, &serving, |round| {
        if round == 300 {
            suspended = serving.current().progress.suspended().contains_key("clean");
            let (next, replaced) = with_cleaner(&serving.current(), "2.0.0");
            serving.switch(next, replaced);
        }
    })
    .await;
    assert!(suspended, "a stage without a version before is suspended");
    let service = serving.current();
    assert!(service.progress.suspended().is_empty());
    let rows = service.clean.silver.snapshot().await.unwrap().rows;
    let refused = quarantine::ids(&world.lake).await.unwrap().len() as u64;
    assert_eq!(rows + refused, 200);
    assert!(refused < 60, "{refused}");
    assert!(world.verify(&service).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_tells_what_comes_out_otherwise_and_who_is_no_function() {
    let options = Options { source: orders(60), ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, late(40)).await;
    world.once(&service, TICK).await.unwrap();
    let inputs = rehearsal::latest(&world.lake, 50, &mut BTreeSet::new()).await.unwrap();
    assert_eq!(inputs.len(), 50);
    let old = cleaner("1.0.0", Arc::new(|| false));
    let same = rehearsal::clean(&old, &cleaner("2.0.0", Arc::new(|| false)), &inputs).await.unwrap();
    assert_eq!((same.inputs, same.changed, same.failed_now), (50, 0, 0));
    let worse = rehearsal::clean(&old, &cleaner("3.0.0", Arc::new(|| false)), &inputs).await.unwrap();
    assert_eq!((worse.changed, worse.failed_before, worse.failed_now), (20, 0, 20));
    assert!(worse.is_worse(Percent::SUSPEND_ABOVE) && !same.is_worse(Percent::SUSPEND_ABOVE));
    assert!(
        worse.first.as_deref().is_some_and(|first| first.contains("was a row, is refused (too late)")),
        "{worse:?}"
    );

    let calls = std::sync::atomic::AtomicUsize::new(0);
    let fickle = testkit::plugins::ClosureCleaner::new(old.descriptor().clone(), move |config, documents| {
        // Another half of them each time.
        let turn = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2;
        let honest = cleaner("1.0.0", Arc::new(|| false));
        let _ = config;
        let mut cleaned = futures::executor::block_on(seams::plugin::Cleaner::clean(&honest, documents))?;
        if turn == 1 {
            cleaned.rows = cleaned.rows.slice(0, 49);
            cleaned.row_of.pop();
            let note = seams::plugin::Note { index: 49, reason: "not today".into() };
            cleaned.skips.push(note);
        }
        Ok(cleaned)
    });
    let error = rehearsal::clean(&old, &fickle, &inputs).await.unwrap_err();
    assert!(matches!(error, NotGood::Plugin { code: "P140", .. }), "{error}");
}
