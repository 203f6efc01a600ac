//! The classes of failure, and what each costs: a pause one receive at most, a panic its own message, a plugin at fault nothing.
//!
//! Does not test what a role makes of its work: the work here is a closure.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use engine::drivers::consumer::{Consumer, GivenUp, Work};
use engine::progress::Progress;
use lake::failure::Failure;
use seams::clock::Clock;
use seams::queue::{Delivery, StageQueue};
use testkit::LeapClock;
use testkit::queue::{MemoryQueue, MemoryQueueOptions};
use tokio_util::sync::CancellationToken;

type Judge = dyn Fn(&str, DateTime<Utc>) -> Result<(), Failure> + Send + Sync;

/// Work that ends as a closure says, with a record of how often each message arrived and which were given up.
struct Judged {
    clock: Arc<LeapClock>,
    judge: Box<Judge>,
    /// By body: the highest `receives` seen.
    receives: Mutex<BTreeMap<String, u32>>,
    given_up: Mutex<BTreeMap<String, String>>,
    calls: AtomicUsize,
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.body).into_owned()
}

#[async_trait]
impl Work for Judged {
    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        // Longer than one visibility: without a heartbeat it would be received again.
        self.clock.sleep(Duration::from_secs(150)).await;
        self.calls.fetch_add(1, Ordering::SeqCst);
        let one = |delivery: &Delivery| {
            let text = text(delivery);
            self.receives.lock().unwrap().insert(text.clone(), delivery.receives);
            (self.judge)(&text, self.clock.now())
        };
        deliveries.iter().map(one).collect()
    }

    async fn give_up(&self, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure> {
        self.given_up.lock().unwrap().insert(text(delivery), why.to_string());
        Ok(())
    }
}

/// A consumer at work.
struct Rig {
    clock: Arc<LeapClock>,
    queue: StageQueue,
    work: Arc<Judged>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), Failure>>,
}

impl Rig {
    /// Consumes `count` messages, `m0` and so on, with eight workers.
    async fn new(
        count: usize,
        at_once: usize,
        judge: impl Fn(&str, DateTime<Utc>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        let clock = LeapClock::at("2026-01-01T03:00:00Z");
        let dead = MemoryQueue::new(clock.clone(), MemoryQueueOptions::default());
        let max_receives = NonZeroU32::new(3).unwrap();
        let options = MemoryQueueOptions { dead_letters: Some(dead.clone()), max_receives, ..Default::default() };
        let queue = StageQueue { live: MemoryQueue::new(clock.clone(), options), dead };
        queue.live.send((0..count).map(|index| Bytes::from(format!("m{index}"))).collect()).await.unwrap();
        let work = Arc::new(Judged {
            clock: clock.clone(),
            judge: Box::new(judge),
            receives: Mutex::default(),
            given_up: Mutex::default(),
            calls: AtomicUsize::new(0),
        });
        let progress = Arc::new(Progress::default());
        let stop = CancellationToken::new();
        let consumer = Consumer {
            stage: "test",
            queue: queue.clone(),
            work: work.clone(),
            at_once,
            workers: 8,
            max_receives: 3,
            lasts: true,
            room: Arc::default(),
            clock: clock.clone(),
            progress: progress.clone(),
        };
        let running = tokio::spawn(consumer.run(stop.clone()));
        Rig { clock, queue, work, progress, stop, running }
    }

    /// Lets time pass until nothing is queued.
    async fn drained(&self) {
        while self.queue.live.depth().await.unwrap().total() + self.queue.dead.depth().await.unwrap().total() > 0 {
            assert!(!self.running.is_finished(), "the consumer ended early");
            self.clock.sleep(Duration::from_secs(30)).await;
        }
    }

    async fn stopped(self) -> Arc<Judged> {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        self.work
    }
}

fn quota(pause: Duration) -> Failure {
    Failure::Pause { pause, reason: "the quota is spent".into() }
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_hours_costs_one_receive_at_most() {
    let (from, until): (DateTime<Utc>, DateTime<Utc>) =
        ("2026-01-01T03:05:00Z".parse().unwrap(), "2026-01-01T15:00:00Z".parse().unwrap());
    let spent = move |_: &str, now| {
        if (from..until).contains(&now) { Err(quota(Duration::from_secs(600))) } else { Ok(()) }
    };
    let rig = Rig::new(100, 1, spent).await;
    rig.clock.sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.progress.waiting_for().as_deref(), Some("the quota is spent"));
    let depth = rig.queue.live.depth().await.unwrap();
    assert_eq!(depth.in_flight, 1, "the probe alone is in hand: {depth:?}");
    let calls = rig.work.calls.load(Ordering::SeqCst);
    rig.drained().await;
    assert!(rig.clock.now() >= until);
    assert_eq!(rig.progress.waiting_for(), None);
    let work = rig.stopped().await;
    let receives = work.receives.lock().unwrap();
    assert_eq!(receives.len(), 100);
    let most_of = |least: u32| receives.values().filter(|count| **count >= least).count();
    assert_eq!(most_of(3), 0, "{receives:?}");
    assert!(most_of(2) < 8, "those in hand but the probe: {receives:?}");
    assert!(work.given_up.lock().unwrap().is_empty());
    assert!(calls < 8 + 100 / 2, "{calls} calls in the first hour");
}

#[tokio::test(start_paused = true)]
async fn a_stop_releases_the_probe() {
    let rig = Rig::new(20, 1, |_, _| Err(quota(Duration::from_secs(3600)))).await;
    rig.clock.sleep(Duration::from_secs(1800)).await;
    let (queue, clock, before) = (rig.queue.clone(), rig.clock.clone(), rig.clock.now());
    let work = rig.stopped().await;
    assert!(clock.now() - before < chrono::TimeDelta::seconds(2), "a stop does not wait for the pause");
    let depth = queue.live.depth().await.unwrap();
    assert_eq!((depth.ready, depth.in_flight), (20, 0));
    assert!(work.receives.lock().unwrap().values().all(|receives| *receives == 1));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_otherwise_lets_the_others_go_on() {
    let first = AtomicBool::new(true);
    let begun: DateTime<Utc> = "2026-01-01T03:00:00Z".parse().unwrap();
    let judge = move |_: &str, now: DateTime<Utc>| match (now - begun).num_minutes() {
        0..10 => Err(quota(Duration::from_secs(600))),
        _ if first.swap(false, Ordering::SeqCst) => Err(Failure::Transient("broken".into())),
        _ => Ok(()),
    };
    let rig = Rig::new(20, 1, judge).await;
    rig.drained().await;
    let work = rig.stopped().await;
    assert_eq!(work.receives.lock().unwrap().len(), 20);
    assert!(work.given_up.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_in_hand_meet_a_pause_and_one_is_kept() {
    let until: DateTime<Utc> = "2026-01-01T05:00:00Z".parse().unwrap();
    let judge = move |_: &str, now| if now < until { Err(quota(Duration::from_secs(60))) } else { Ok(()) };
    let rig = Rig::new(40, 10, judge).await;
    rig.drained().await;
    let work = rig.stopped().await;
    assert!(work.receives.lock().unwrap().values().all(|receives| *receives <= 2));
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_its_own_message_and_its_reason_says_host_bug() {
    let judge = |text: &str, _| if text == "m7" { panic!("index out of bounds") } else { Ok(()) };
    for at_once in [1, 10] {
        let rig = Rig::new(20, at_once, judge).await;
        rig.drained().await;
        let work = rig.stopped().await;
        let given_up = work.given_up.lock().unwrap();
        assert_eq!(given_up.keys().collect::<Vec<_>>(), ["m7"], "{at_once}");
        let reason = &given_up["m7"];
        assert!(reason.contains("3 times") && reason.contains("host bug"), "{reason}");
        assert!(reason.contains("index out of bounds"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_at_fault_suspends_the_stage_and_its_messages_stay() {
    let judge = |text: &str, _| if text == "m11" { Err(Failure::Plugin("it is wrong".into())) } else { Ok(()) };
    let rig = Rig::new(100, 1, judge).await;
    rig.clock.sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.progress.suspended().into_iter().collect::<Vec<_>>(), [("test", "it is wrong".to_owned())]);
    let left = rig.queue.live.depth().await.unwrap();
    assert!(left.ready >= 100 - 3 * 8 && left.in_flight == 0, "{left:?}");
    rig.clock.sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.queue.live.depth().await.unwrap(), left, "a suspended stage receives nothing");
    let work = rig.stopped().await;
    assert!(work.receives.lock().unwrap().values().all(|receives| *receives == 1));
    assert!(work.given_up.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_ends_the_consumer_and_acknowledges_nothing() {
    let rig = Rig::new(3, 1, |_, _| Err(Failure::Fatal("no lake".into()))).await;
    let ended = rig.running.await.unwrap();
    assert!(matches!(ended, Err(Failure::Fatal(_))), "{ended:?}");
    assert_eq!(rig.queue.live.depth().await.unwrap().total(), 3);
}

/// A service that asks for a pause of a century is asked again after an hour, and the reason says both.
#[tokio::test(start_paused = true)]
async fn a_pause_of_2_to_the_32_seconds_is_tried_again_after_an_hour_and_a_stop_ends_it() {
    let rig = Rig::new(3, 1, |_, _| Err(quota(Duration::from_secs(1 << 32)))).await;
    rig.clock.sleep(Duration::from_secs(2 * 3600)).await;
    let calls = rig.work.calls.load(Ordering::SeqCst);
    assert!(calls > 3, "{calls} calls");
    let told = rig.progress.waiting_for().unwrap();
    assert!(told.contains("asked for 4294967296 s, tried again after 3600 s"), "{told}");
    let (clock, before) = (rig.clock.clone(), rig.clock.now());
    rig.stopped().await;
    assert!(clock.now() - before < chrono::TimeDelta::seconds(151));
}

/// A call takes 150 s here. A process that is told to stop must not take as long.
#[tokio::test(start_paused = true)]
async fn work_that_goes_on_after_a_stop_is_given_back_within_seconds() {
    let rig = Rig::new(3, 1, |_, _| Ok(())).await;
    rig.clock.sleep(Duration::from_secs(20)).await;
    let (queue, clock, before) = (rig.queue.clone(), rig.clock.clone(), rig.clock.now());
    let work = rig.stopped().await;
    assert!(clock.now() - before < chrono::TimeDelta::seconds(20), "{}", clock.now() - before);
    assert_eq!(work.calls.load(Ordering::SeqCst), 0, "nothing came to its end");
    let left = queue.live.depth().await.unwrap();
    assert_eq!((left.ready, left.in_flight), (3, 0), "all is there for the next process: {left:?}");
    assert!(work.given_up.lock().unwrap().is_empty());
}
