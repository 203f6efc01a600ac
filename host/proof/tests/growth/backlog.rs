//! A backlog that is blocked, before a queue that cannot look for equal messages: it does not grow, no matter which host sweeps and how often.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use engine::drivers::service::Service;
use engine::drivers::sweep::{sweep, sweep_within};
use lake::sweeping;
use records::keys::Tick;
use seams::clock::Clock;
use seams::queue::Blind;
use testkit::ScriptedHttp;
use testkit::queue::{MemoryQueue, MemoryQueueOptions};

use crate::world::{Options, TICK, World, expected, good, orders};

/// As SQS's default.
const RETENTION: Duration = Duration::from_secs(4 * 24 * 3600);
const BLIND: Blind = Blind { retention: RETENTION, settles: Duration::from_secs(60) };

/// A world whose queues are like SQS's, and four hosts in it.
async fn blind(options: &Options) -> (World, Vec<Arc<Service>>) {
    let mut world = World::new(options);
    for stage in [&mut world.queues.enrich, &mut world.queues.clean, &mut world.queues.aggregate] {
        let with = MemoryQueueOptions { blind: Some(BLIND), ..MemoryQueueOptions::default() };
        stage.live = MemoryQueue::new(world.clock.clone(), with.clone());
        stage.dead = MemoryQueue::new(world.clock.clone(), with);
    }
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let mut hosts = Vec::new();
    for _ in 0..4 {
        hosts.push(Arc::new(world.host(options, http.clone()).await));
    }
    (world, hosts)
}

async fn depth(world: &World) -> u64 {
    world.queues.enrich.live.depth().await.unwrap().total()
}

#[tokio::test(start_paused = true)]
async fn twenty_sweeps_by_four_hosts_over_a_blocked_backlog_send_nothing_twice() {
    let options = Options { source: orders(180), batch_size: 1, ..Options::default() };
    let (world, hosts) = blind(&options).await;
    let tick = Tick::parse(TICK).unwrap();
    // All of them fire it: they follow one schedule.
    let fired = futures::future::join_all(hosts.iter().map(|host| host.ingest.fire(tick))).await;
    assert_eq!(fired.into_iter().map(|fired| fired.unwrap().queued).sum::<usize>(), 180);
    for round in 0..20 {
        let swept = futures::future::join_all(hosts.iter().map(|host| sweep(host, true))).await;
        assert!(swept.iter().any(|missing| missing.as_ref().unwrap().messages == 180), "somebody has the turn");
        assert_eq!(depth(&world).await, 180, "sweep {round}");
        world.clock.sleep(Duration::from_secs(600)).await;
    }
    assert!(world.once(&hosts[0], TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&hosts[0]).await, expected(180));
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_sent_again_when_the_queue_is_empty_in_two_looks_or_cannot_hold_it_any_more() {
    let options = Options { source: orders(6), batch_size: 1, ..Options::default() };
    let (world, hosts) = blind(&options).await;
    hosts[0].ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let lost = world.queues.enrich.live.receive(2, Duration::ZERO).await.unwrap();
    for delivery in &lost {
        world.queues.enrich.live.ack(&delivery.receipt).await.unwrap();
    }
    world.clock.sleep(Duration::from_secs(3600)).await;
    sweep(&hosts[1], true).await.unwrap();
    assert_eq!(depth(&world).await, 4, "they may be among those that wait");
    world.clock.jump(TimeDelta::from_std(RETENTION).unwrap());
    sweep(&hosts[2], true).await.unwrap();
    assert_eq!(depth(&world).await, 4 + 6, "no message of then can be there");
    sweep(&hosts[3], true).await.unwrap();
    assert_eq!(depth(&world).await, 10, "that was noted");
    // An operator emptied it: the queue reports that itself, and twice.
    for delivery in world.queues.enrich.live.receive(20, Duration::ZERO).await.unwrap() {
        world.queues.enrich.live.ack(&delivery.receipt).await.unwrap();
    }
    world.clock.sleep(Duration::from_secs(600)).await;
    let begun = world.clock.now();
    sweep(&hosts[0], true).await.unwrap();
    assert_eq!(depth(&world).await, 6);
    assert!(world.clock.now() - begun >= TimeDelta::seconds(60), "one look proves nothing");
    assert!(world.once(&hosts[0], TICK).await.unwrap().left.missing.is_nothing());
    assert_eq!(world.sums(&hosts[0]).await, expected(6));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_before_it_has_sent_is_followed_by_another_one() {
    let options = Options { source: orders(6), batch_size: 1, ..Options::default() };
    let (world, hosts) = blind(&options).await;
    let tick = Tick::parse(TICK).unwrap();
    // It leaves a mark and the snapshot.
    hosts[0].ingest.fire(tick).await.unwrap();
    for delivery in world.queues.enrich.live.receive(20, Duration::ZERO).await.unwrap() {
        world.queues.enrich.live.ack(&delivery.receipt).await.unwrap();
    }
    let marks = lake::open::ticks(&world.lake).await.unwrap().remove(&tick).unwrap();
    lake::open::remove(&world.lake, &marks).await.unwrap();
    drop(lake::open::begin(&world.lake, [tick], world.clock.now()).await.unwrap());
    let begun = world.clock.now();
    assert_eq!(hosts[1].ingest.fire(tick).await.unwrap().queued, 6);
    assert!(world.clock.now() - begun >= TimeDelta::seconds(55), "it might have lived");
    assert_eq!(hosts[2].ingest.fire(tick).await.unwrap().queued, 0);
    sweep(&hosts[3], true).await.unwrap();
    assert_eq!(depth(&world).await, 6);
}

#[tokio::test(start_paused = true)]
async fn a_turn_belongs_to_one_host_until_it_ends_or_its_time_is_over() {
    let options = Options::default();
    let (world, hosts) = blind(&options).await;
    hosts[0].ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    let held = sweeping::take(&world.lake, world.clock.now()).await.unwrap();
    assert!(held.is_some());
    assert!(!sweep_within(&hosts[0], Duration::from_secs(60)).await.unwrap().whole);
    world.clock.sleep(Duration::from_secs(301)).await;
    let swept = sweep_within(&hosts[0], Duration::from_secs(60)).await.unwrap();
    assert!(swept.whole && swept.missing.messages == 4, "{swept:?}");
    // A turn that was ended is free at once.
    assert!(sweep_within(&hosts[1], Duration::from_secs(60)).await.unwrap().whole);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_runs_out_of_time_goes_on_where_it_ended() {
    let options = Options { source: orders(2), batch_size: 1, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    for hour in 0..5 {
        service.ingest.fire(Tick::at(world.clock.now() + TimeDelta::hours(hour))).await.unwrap();
    }
    let swept = sweep_within(&service, Duration::ZERO).await.unwrap();
    let known = sweeping::read(&world.lake).await.unwrap();
    assert!(swept.whole || known.next.is_some(), "{swept:?} {known:?}");
    let rest = sweep_within(&service, Duration::from_secs(60)).await.unwrap();
    assert!(rest.whole && rest.missing.messages == 10, "{rest:?}");
    assert_eq!(sweeping::read(&world.lake).await.unwrap().next, None);
}
