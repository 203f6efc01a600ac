//! Faults of the host's own parts change nothing in the result: deliveries repeated and shuffled, stores and queues that fail
//! before or after they have done it.
//!
//! Does not kill processes: `tests/e2e` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use lake::events::{NewObject, encode};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use seams::queue::Queue;
use seams::store::ObjectStore;
use testkit::{Faults, Faulty, ScriptedHttp};

use super::world::{Options, TICK, World, expected, good, orders};

fn service_answers() -> Arc<ScriptedHttp> {
    ScriptedHttp::new(|request, _| Ok(good(&request.url)))
}

#[tokio::test(start_paused = true)]
async fn batch_sizes_bucket_counts_and_workers_make_no_difference() {
    for (batch_size, buckets, workers) in [(1, 1, 1), (1, 7, 8), (4, 3, 2), (100, 16, 4)] {
        let options = Options { batch_size, buckets, workers, source: orders(25), ..Options::default() };
        let world = World::new(&options);
        let service = world.host(&options, service_answers()).await;
        assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
        assert_eq!(world.sums(&service).await, expected(25), "{batch_size} {buckets} {workers}");
    }
}

#[tokio::test(start_paused = true)]
async fn deliveries_five_times_over_and_shuffled_make_no_difference() {
    let options = Options { source: orders(25), ..Options::default() };
    let world = World::new(&options);
    let http = service_answers();
    let service = world.host(&options, http.clone()).await;
    let tick = records::keys::Tick::parse(TICK).unwrap();
    service.ingest.fire(tick).await.unwrap();
    let queue = &world.queues.enrich.live;
    let deliveries = queue.receive(1000, std::time::Duration::ZERO).await.unwrap();
    let mut bodies: Vec<_> = deliveries.iter().flat_map(|one| std::iter::repeat_n(one.body.clone(), 5)).collect();
    bodies.shuffle(&mut rand::rngs::StdRng::seed_from_u64(7));
    queue.send(bodies).await.unwrap();
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let objects = lake::bronze::inventory(&world.lake, None).await.unwrap().objects;
    let mut again: Vec<_> = objects.iter().map(|object| encode(&NewObject::whole(object))).collect();
    again.reverse();
    world.queues.clean.live.send(again).await.unwrap();
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&service).await, expected(25));
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 25);
    assert_eq!(http.calls().len(), 25);
}

#[tokio::test(start_paused = true)]
async fn lost_events_and_lost_messages_are_found_by_the_sweep() {
    let options = Options { source: orders(12), ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, service_answers()).await;
    let tick = records::keys::Tick::parse(TICK).unwrap();
    service.ingest.fire(tick).await.unwrap();
    // One message is done up to Bronze and its event is lost; the rest of the queue is lost with it.
    let deliveries = world.queues.enrich.live.receive(1000, std::time::Duration::ZERO).await.unwrap();
    let work = lake::events::enrich_work(&world.lake, &deliveries[0].body).await.unwrap();
    let lake::events::ToEnrich::Message(message) = work else { panic!("{work:?}") };
    service.enrich.message(&message, false, &tokio::sync::Semaphore::new(2)).await.unwrap();
    for delivery in &deliveries {
        world.queues.enrich.live.ack(&delivery.receipt).await.unwrap();
    }
    for event in world.queues.clean.live.receive(1000, std::time::Duration::ZERO).await.unwrap() {
        world.queues.clean.live.ack(&event.receipt).await.unwrap();
    }
    let missing = engine::drivers::sweep::sweep(&service, false).await.unwrap();
    assert_eq!((missing.messages, missing.objects), (3, 1));
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&service).await, expected(12));
}

/// A seed's whole life: a host whose stores and queues fail at random, then one whose do not.
async fn converges(seed: u64) -> BTreeMap<String, i64> {
    let options = Options { source: orders(12), max_receives: 50, ..Options::default() };
    let mut world = World::new(&options);
    let sound = (world.lake.clone(), world.queues.clone());
    let calm = world.host(&options, service_answers()).await;
    let faults = Arc::new(Faults::seeded(seed, 0.05, 0.05));
    let store = |inner: &Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> { Faulty::new(inner.clone(), faults.clone()) };
    let queue = |inner: &Arc<dyn Queue>| -> Arc<dyn Queue> { Faulty::new(inner.clone(), faults.clone()) };
    faults.stop();
    world.lake.bronze = store(&sound.0.bronze);
    world.lake.silver = store(&sound.0.silver);
    world.lake.gold = store(&sound.0.gold);
    for stage in [&mut world.queues.enrich, &mut world.queues.clean, &mut world.queues.aggregate] {
        stage.live = queue(&stage.live);
    }
    let shaky = world.host(&options, service_answers()).await;
    faults.resume();
    // It may end in an error at any point, which is what a crash there would be.
    let _ = world.once(&shaky, TICK).await;
    assert!(faults.failed() > 0, "seed {seed} injected nothing");
    drop(shaky);
    (world.lake, world.queues) = sound;
    assert!(world.once(&calm, TICK).await.unwrap().left.missing.is_nothing(), "seed {seed}");
    assert_eq!(calm.clean.silver.snapshot().await.unwrap().rows, 12, "seed {seed}");
    world.sums(&calm).await
}

#[tokio::test(start_paused = true)]
async fn random_faults_of_stores_and_queues_make_no_difference() {
    for seed in 0..8 {
        assert_eq!(converges(seed).await, expected(12), "seed {seed}");
    }
}
