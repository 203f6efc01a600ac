//! A consumer without work calls rarely where calls cost money, and still notices work at once.
//!
//! Does not count calls to a real service: `tests/e2e/idle.rs` does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::drivers::consumer::{Consumer, GivenUp, Work};
use lake::failure::Failure;
use seams::clock::Clock;
use seams::queue::{Delivery, Depth, Queue, QueueError, Receipt, StageQueue};
use testkit::LeapClock;
use testkit::queue::{MemoryQueue, MemoryQueueOptions};
use tokio_util::sync::CancellationToken;

/// A queue whose calls cost money.
#[derive(Debug)]
struct Paid {
    queue: Arc<MemoryQueue>,
    receives: AtomicUsize,
    /// Receives under way, and the most that there were at once.
    at_once: Mutex<(usize, usize)>,
    looks: AtomicUsize,
}

impl Paid {
    fn new(clock: &Arc<LeapClock>) -> Arc<Self> {
        let queue = MemoryQueue::new(clock.clone(), MemoryQueueOptions::default());
        Arc::new(Paid { queue, receives: AtomicUsize::new(0), at_once: Mutex::default(), looks: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Queue for Paid {
    async fn send(&self, bodies: Vec<Bytes>) -> Result<(), QueueError> {
        self.queue.send(bodies).await
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.receives.fetch_add(1, Ordering::SeqCst);
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        let received = self.queue.receive(max, wait).await;
        self.at_once.lock().unwrap().0 -= 1;
        received
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.queue.ack(receipt).await
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        self.queue.release(receipt, after).await
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        self.queue.extend(receipt, by).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.queue.depth().await
    }

    fn visibility(&self) -> Duration {
        self.queue.visibility()
    }

    fn longest_poll(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn look_every(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// Work that takes some seconds and succeeds.
struct Slow(Arc<LeapClock>);

#[async_trait]
impl Work for Slow {
    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        self.0.sleep(Duration::from_secs(5)).await;
        deliveries.iter().map(|_| Ok(())).collect()
    }

    async fn give_up(&self, _: &Delivery, _: &GivenUp) -> Result<(), Failure> {
        Ok(())
    }
}

/// Eight workers of a stage.
struct Rig {
    clock: Arc<LeapClock>,
    live: Arc<Paid>,
    dead: Arc<Paid>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), Failure>>,
}

fn rig() -> Rig {
    let clock = LeapClock::at("2026-01-01T03:00:00Z");
    let (live, dead) = (Paid::new(&clock), Paid::new(&clock));
    let stop = CancellationToken::new();
    let consumer = Consumer {
        stage: "test",
        queue: StageQueue { live: live.clone(), dead: dead.clone() },
        work: Arc::new(Slow(clock.clone())),
        at_once: 1,
        workers: 8,
        max_receives: 3,
        lasts: true,
        room: Arc::default(),
        clock: clock.clone(),
        progress: Arc::default(),
    };
    let running = tokio::spawn(consumer.run(stop.clone()));
    Rig { clock, live, dead, stop, running }
}

#[tokio::test(start_paused = true)]
async fn an_idle_stage_polls_one_at_a_time_for_as_long_as_a_poll_lasts() {
    let rig = rig();
    rig.clock.sleep(Duration::from_secs(600)).await;
    let polls = rig.live.receives.load(Ordering::SeqCst);
    assert!((29..=31).contains(&polls), "{polls}");
    assert_eq!(rig.live.at_once.lock().unwrap().1, 1);
    let (looks, taken) = (rig.dead.looks.load(Ordering::SeqCst), rig.dead.receives.load(Ordering::SeqCst));
    assert!(looks <= 11 && taken == 0, "{looks} {taken}");
    assert_eq!(rig.live.looks.load(Ordering::SeqCst), 0, "nobody looks how much there is");
}

#[tokio::test(start_paused = true)]
async fn work_and_a_stop_wait_for_the_end_of_no_poll() {
    let rig = rig();
    rig.clock.sleep(Duration::from_secs(7)).await;
    rig.live.send(vec![Bytes::from_static(b"work")]).await.unwrap();
    rig.clock.sleep(Duration::from_secs(6)).await;
    assert_eq!(rig.live.queue.depth().await.unwrap().total(), 0, "taken at once, and done after five seconds");
    let before = rig.clock.now();
    rig.stop.cancel();
    rig.running.await.unwrap().unwrap();
    assert!(rig.clock.now() - before < chrono::TimeDelta::seconds(1));
}

#[tokio::test(start_paused = true)]
async fn free_workers_are_handed_what_one_call_brings() {
    let rig = rig();
    rig.live.send((0..16).map(|n| Bytes::from(format!("m{n}"))).collect()).await.unwrap();
    rig.clock.sleep(Duration::from_secs(2)).await;
    let depth = rig.live.queue.depth().await.unwrap();
    assert_eq!(
        (depth.in_flight, depth.ready),
        (8, 8),
        "no more than there are workers: each message's time is running"
    );
    rig.clock.sleep(Duration::from_secs(12)).await;
    assert_eq!(rig.live.queue.depth().await.unwrap().total(), 0);
    assert!(rig.live.receives.load(Ordering::SeqCst) < 10);
}
