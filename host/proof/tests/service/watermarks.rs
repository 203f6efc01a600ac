//! How far a pipeline is: what `status` tells of a run that is stuck in the middle, and what `once` waits for.
//!
//! Does not test how a person sees it: the program's tests do.

use std::time::Duration;

use proof::status::status;
use records::keys::Tick;
use seams::clock::Clock;
use testkit::ScriptedHttp;

use super::world::{Options, TICK, World, expected, good};

#[tokio::test(start_paused = true)]
async fn once_waits_for_what_a_stranger_has_in_hand() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let queue = &world.queues.enrich.live;
    let taken = queue.receive(1, Duration::ZERO).await.unwrap();
    let span = Duration::from_secs(13 * 60);
    queue.extend(&taken[0].receipt, span).await.unwrap();
    let begun = world.clock.now();
    let ended = world.once(&service, TICK).await.unwrap();
    assert!(ended.left.missing.is_nothing() && ended.left.waiting_for.is_none(), "{ended:?}");
    assert!((world.clock.now() - begun).to_std().unwrap() >= span, "ended while a message was in flight");
    assert_eq!(world.sums(&service).await, expected(10));
}

#[tokio::test(start_paused = true)]
async fn once_waits_for_events_that_come_late() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let event = lake::events::encode(&lake::events::NewVersion { silver: 1 });
    world.queues.aggregate.live.send(vec![event]).await.unwrap();
    let taken = world.queues.aggregate.live.receive(1, Duration::ZERO).await.unwrap();
    world.queues.aggregate.live.release(&taken[0].receipt, Duration::from_secs(400)).await.unwrap();
    let begun = world.clock.now();
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert!((world.clock.now() - begun).num_seconds() >= 400, "ended while an event was delayed");
}

#[tokio::test(start_paused = true)]
async fn status_tells_how_far_each_layer_is_and_since_when_it_waits() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    let empty = status(&service).await.unwrap();
    assert_eq!((empty.bronze.watermark.arrived, empty.bronze.watermark.up_to), (0, None));
    assert_eq!(empty.queues["enrich"].oldest, None);

    world.once(&service, TICK).await.unwrap();
    let first = Tick::parse(TICK).unwrap();
    let done = status(&service).await.unwrap();
    for watermark in [done.bronze.watermark, done.silver.watermark, done.gold["sums"].watermark] {
        assert_eq!((watermark.arrived, watermark.done, watermark.up_to), (10, 10, Some(first)));
        assert_eq!((watermark.behind(), watermark.behind_seconds), (0, 0));
    }
    let commit = done.silver.last_commit.unwrap();
    assert_eq!(commit.version, done.silver.version);
    assert!(commit.at.unwrap() >= empty.at && commit.at.unwrap() <= done.at, "{commit:?}");
    assert!(done.gold["sums"].last_commit.at.unwrap() >= commit.at.unwrap());

    // A day later the next tick is queued, one message of it has reached Bronze, and no host goes on.
    world.clock.jump(chrono::TimeDelta::days(1));
    let sent = world.clock.now();
    service.ingest.fire(Tick::at(sent)).await.unwrap();
    let taken = world.queues.enrich.live.receive(1, Duration::ZERO).await.unwrap();
    let work = lake::events::enrich_work(&world.lake, &taken[0].body).await.unwrap();
    let lake::events::ToEnrich::Message(message) = work else { panic!("{work:?}") };
    service.enrich.message(&message, false, &tokio::sync::Semaphore::new(2)).await.unwrap();
    world.clock.sleep(Duration::from_secs(600)).await;
    let stuck = status(&service).await.unwrap();
    let day = 86_400;
    let told = |watermark: proof::status::Watermark| {
        assert_eq!(watermark.up_to, Some(first));
        assert!((day - 60..=day + 60).contains(&watermark.behind_seconds), "{watermark:?}");
        (watermark.arrived, watermark.done, watermark.behind())
    };
    assert_eq!(told(stuck.bronze.watermark), (20, 13, 7));
    assert_eq!(told(stuck.silver.watermark), (13, 10, 3));
    assert_eq!(told(stuck.gold["sums"].watermark), (10, 10, 0));
    let queue = &stuck.queues["enrich"];
    assert_eq!((queue.ready + queue.in_flight, queue.oldest), (4, Some(sent)));
    assert_eq!((stuck.at - queue.oldest.unwrap()).num_seconds(), 600);
}
