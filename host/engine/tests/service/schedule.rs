//! Ticks: fired on time, once however many hosts there are, and after a pause as the policy says.
//!
//! Does not test cron expressions: `pipeline::schedule`'s tests do.

use std::sync::Arc;
use std::time::Duration;

use engine::drivers::service::Role;
use engine::lake::bronze;
use engine::lake::keys::Tick;
use engine::pipeline::schedule::{Missed, Schedule};
use testkit::ScriptedHttp;
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, expected, good};

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
    let until = engine::seams::clock::Clock::now(&*world.clock) + span;
    let mut running = tokio::task::JoinSet::new();
    for service in &services {
        let (service, stop) = (service.clone(), stop.clone());
        running.spawn(async move { service.serve(&Role::ALL, &stop).await });
    }
    engine::seams::clock::Clock::sleep_until(&*world.clock, until).await;
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
