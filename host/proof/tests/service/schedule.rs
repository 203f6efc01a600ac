//! Ticks: fired on time, once however many hosts there are, and after a pause as the policy says.
//!
//! Does not test cron expressions: `pipeline::schedule`'s tests do.

use std::sync::Arc;
use std::time::Duration;

use engine::drivers::sweep::sweep;
use lake::bronze;
use pipeline::role::Role;
use pipeline::schedule::{Missed, Schedule};
use records::keys::Tick;
use testkit::ScriptedHttp;
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, expected, good, orders};

/// Serves for a while of simulated time; the ticks that fired.
async fn serve(world: &World, hosts: usize, cron: &str, missed: Missed, span: Duration) -> Vec<String> {
    let options = Options::default();
    let stop = CancellationToken::new();
    let mut services = Vec::new();
    for _ in 0..hosts {
        let mut service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
        service.schedule = Some(Schedule::parse(cron, chrono_tz::UTC, missed).unwrap());
        services.push(Arc::new(service));
    }
    let until = seams::clock::Clock::now(&*world.clock) + span;
    let mut running = tokio::task::JoinSet::new();
    for service in &services {
        let (service, stop) = (service.clone(), stop.clone());
        running.spawn(async move { service.serve(&Role::ALL, &stop).await });
    }
    seams::clock::Clock::sleep_until(&*world.clock, until).await;
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended.unwrap().unwrap();
    }
    assert_eq!(world.sums(&services[0]).await, expected(10));
    let inventory = bronze::inventory(&world.lake, None).await.unwrap();
    inventory.snapshots.iter().filter_map(bronze::tick_of).map(|tick| tick.to_string()).collect()
}

const TWO_MINUTES: Duration = Duration::from_secs(2 * 60 + 10);

#[tokio::test(start_paused = true)]
async fn two_hosts_fire_each_tick_once() {
    let world = World::new(&Options::default());
    let ticks = serve(&world, 2, "* * * * *", Missed::Once, TWO_MINUTES).await;
    assert_eq!(ticks, ["20260101T030100Z", "20260101T030200Z"]);
}

/// None of them finds the tick fired: each takes it, and each sends what is not there.
#[tokio::test(start_paused = true)]
async fn hosts_that_fire_one_tick_at_one_moment_queue_it_once() {
    let options = Options { source: orders(40), batch_size: 2, ..Options::default() };
    let world = World::new(&options);
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let mut services = Vec::new();
    for _ in 0..4 {
        services.push(Arc::new(world.host(&options, http.clone()).await));
    }
    let tick = Tick::parse(TICK).unwrap();
    let fired = futures::future::join_all(services.iter().map(|service| service.ingest.fire(tick))).await;
    let queued: usize = fired.into_iter().map(|fired| fired.unwrap().queued).sum();
    assert_eq!((queued, world.queues.enrich.live.depth().await.unwrap().total()), (20, 20));
    // Some are in flight, and the tick is fired once more.
    let held = world.queues.enrich.live.receive(5, Duration::ZERO).await.unwrap();
    assert_eq!(services[0].ingest.fire(tick).await.unwrap().queued, 0);
    assert_eq!(sweep(&services[1], true).await.unwrap().messages, 20);
    assert_eq!(world.queues.enrich.live.depth().await.unwrap().total(), 20);
    // The host that held them has died: they come again.
    assert_eq!(held.len(), 5);
    assert!(world.once(&services[2], TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!((world.sums(&services[2]).await, http.calls().len()), (expected(40), 40));
}

/// What is lost is found although other work of the stage waits.
#[tokio::test(start_paused = true)]
async fn a_queue_that_is_never_empty_is_swept_too() {
    let options = Options::default();
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let queue = &world.queues.enrich.live;
    let lost = queue.receive(3, Duration::ZERO).await.unwrap();
    for delivery in &lost {
        queue.ack(&delivery.receipt).await.unwrap();
    }
    assert_eq!(queue.depth().await.unwrap().total(), 1);
    sweep(&service, true).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().total(), 4);
}

#[tokio::test(start_paused = true)]
async fn missed_ticks_are_skipped_fired_once_or_all_fired() {
    let soon = Duration::from_secs(15);
    for (missed, expected) in [
        (Missed::Once, vec![TICK, "20260101T060000Z"]),
        (Missed::All, vec![TICK, "20260101T040000Z", "20260101T050000Z", "20260101T060000Z"]),
        (Missed::Skip, vec![TICK]),
    ] {
        let options = Options::default();
        let world = World::new(&options);
        let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
        service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
        drop(service);
        // The host is down for three ticks and a half.
        world.clock.jump(chrono::TimeDelta::minutes(3 * 60 + 30));
        assert_eq!(serve(&world, 1, "0 * * * *", missed, soon).await, expected, "{missed:?}");
    }
}

/// What the schedule names comes once, an hour of it twice by the clock; and no host waits for the clock to return to where it was.
#[tokio::test(start_paused = true)]
async fn a_clock_set_back_by_an_hour_loses_and_doubles_no_tick_and_nobody_waits_for_it() {
    let options = Options::default();
    let world = World::new(&options);
    let mut service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    service.schedule = Some(Schedule::parse("*/10 * * * *", chrono_tz::UTC, Missed::Once).unwrap());
    let (service, stop) = (Arc::new(service), CancellationToken::new());
    let running = tokio::spawn({
        let (service, stop) = (service.clone(), stop.clone());
        async move { service.serve(&Role::ALL, &stop).await }
    });
    let clock = &world.clock;
    let pass = async |minutes: u64| seams::clock::Clock::sleep(&**clock, Duration::from_secs(minutes * 60)).await;
    pass(75).await;
    clock.jump(-chrono::TimeDelta::hours(1));
    pass(70).await;
    let inventory = bronze::inventory(&world.lake, None).await.unwrap();
    let ticks: Vec<String> =
        inventory.snapshots.iter().filter_map(bronze::tick_of).map(|tick| tick.to_string()).collect();
    let expected: Vec<String> = ["0310", "0320", "0330", "0340", "0350", "0400", "0410", "0420"]
        .map(|minute| format!("20260101T{minute}00Z"))
        .into();
    assert_eq!(ticks, expected);
    assert!(world.queues.enrich.live.depth().await.unwrap().total() == 0, "the last tick's work is done");
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(world.sums(&service).await, self::expected(10));
}
