//! A consumer: receives deliveries, hands them to a role, and settles each by what became of it.
//!
//! Does not look into a message.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backoff;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::seams::clock::Clock;
use crate::seams::queue::{Delivery, Queue, QueueError};

/// How long one receive waits: also how long a stop may take when there is nothing to do.
const WAIT: Duration = Duration::from_millis(500);
/// How long a consumer rests after a receive that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// What a role does with deliveries.
#[async_trait]
pub trait Work: Send + Sync {
    /// Does the work of all `deliveries`; the results stand in their order.
    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>>;

    /// Brings the work to an end in another way: it was tried as often as is allowed.
    async fn give_up(&self, delivery: &Delivery, reason: &str) -> Result<(), Failure>;
}

/// A queue and where it puts what it could not get rid of.
#[derive(Clone, Debug)]
pub struct StageQueue {
    /// The queue.
    pub live: Arc<dyn Queue>,
    /// Its dead letters.
    pub dead: Arc<dyn Queue>,
}

/// Consumes one queue for one role.
#[derive(Clone)]
pub struct Consumer {
    /// The stage's name, for the log.
    pub stage: &'static str,
    /// What to consume.
    pub queue: StageQueue,
    /// What to do with it.
    pub work: Arc<dyn Work>,
    /// Deliveries handed over in one call.
    pub at_once: usize,
    /// Calls under way at once.
    pub workers: usize,
    /// After how many receives a delivery that fails is given up.
    pub max_receives: u32,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub progress: Arc<Progress>,
}

impl Consumer {
    /// Consumes until `stop`, then settles what is in hand. Ends early only with a fatal failure.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let gate = Arc::new(Gate::default());
        let mut tasks = JoinSet::new();
        for _ in 0..self.workers.max(1) {
            tasks.spawn(self.clone().work(Arc::clone(&gate), stop.clone()));
        }
        tasks.spawn(self.clone().bury(stop.clone()));
        let mut outcome = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended
                .unwrap_or_else(|error| Err(Failure::Fatal(format!("host bug in stage `{}`: {error}", self.stage))));
            if let Err(failure) = ended {
                stop.cancel();
                outcome = Err(failure);
            }
        }
        outcome
    }

    async fn work(self, gate: Arc<Gate>, stop: CancellationToken) -> Result<(), Failure> {
        while !stop.is_cancelled() {
            if let Some(until) = gate.closed_until(self.clock.now()) {
                tokio::select! {
                    () = self.clock.sleep_until(until) => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            let deliveries = self.receive(&self.queue.live, self.at_once).await;
            if deliveries.is_empty() {
                continue;
            }
            let results = self.take(&deliveries).await;
            for (delivery, result) in deliveries.iter().zip(results) {
                self.settle(delivery, result, &gate).await?;
            }
        }
        Ok(())
    }

    /// Gives up what the queue itself has given up: the work of processes that died of it.
    async fn bury(self, stop: CancellationToken) -> Result<(), Failure> {
        while !stop.is_cancelled() {
            for delivery in self.receive(&self.queue.dead, 1).await {
                let reason = format!(
                    "received more than {} times without an end: the host died or was stopped over it",
                    self.max_receives
                );
                match self.work.give_up(&delivery, &reason).await {
                    Ok(()) => self.settled(self.queue.dead.ack(&delivery.receipt).await, &delivery),
                    Err(failure @ Failure::Fatal(_)) => return Err(failure),
                    Err(failure) => {
                        tracing::warn!(stage = self.stage, message = delivery.id, error = %failure, "cannot give it up now");
                        self.settled(self.queue.dead.release(&delivery.receipt, LONGEST_DELAY).await, &delivery);
                    }
                }
            }
        }
        Ok(())
    }

    async fn receive(&self, queue: &Arc<dyn Queue>, max: usize) -> Vec<Delivery> {
        match queue.receive(max, WAIT).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(stage = self.stage, %error, "receive failed");
                self.clock.sleep(AFTER_ERROR).await;
                Vec::new()
            }
        }
    }

    /// The work, kept invisible to others for as long as it takes.
    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let visibility = self.queue.live.visibility();
        let heartbeat = async {
            loop {
                self.clock.sleep(visibility / 3).await;
                for delivery in deliveries {
                    if let Err(error) = self.queue.live.extend(&delivery.receipt, visibility).await {
                        tracing::warn!(stage = self.stage, message = delivery.id, %error, "heartbeat failed, the work may be done twice");
                    }
                }
            }
        };
        tokio::select! {
            results = self.work.take(deliveries) => results,
            () = heartbeat => Vec::new(),
        }
    }

    async fn settle(&self, delivery: &Delivery, result: Result<(), Failure>, gate: &Gate) -> Result<(), Failure> {
        let queue = &self.queue.live;
        match result {
            Ok(()) => {
                if gate.open() {
                    self.progress.set_waiting_for(None);
                }
                self.settled(queue.ack(&delivery.receipt).await, delivery);
            }
            Err(Failure::Transient(reason)) if delivery.receives >= self.max_receives => {
                tracing::error!(stage = self.stage, message = delivery.id, reason, "given up");
                let reason = format!("tried {} times, the last time: {reason}", delivery.receives);
                match self.work.give_up(delivery, &reason).await {
                    Ok(()) => self.settled(queue.ack(&delivery.receipt).await, delivery),
                    Err(failure @ Failure::Fatal(_)) => return Err(failure),
                    Err(_) => self.settled(queue.release(&delivery.receipt, LONGEST_DELAY).await, delivery),
                }
            }
            Err(Failure::Transient(reason)) => {
                let delay = delay(delivery);
                tracing::warn!(
                    stage = self.stage,
                    message = delivery.id,
                    reason,
                    receives = delivery.receives,
                    ?delay,
                    "failed, will be tried again"
                );
                Progress::add(&self.progress.retried, 1);
                self.settled(queue.release(&delivery.receipt, delay).await, delivery);
            }
            Err(Failure::Pause { pause, reason }) => {
                let until =
                    self.clock.now() + chrono::TimeDelta::from_std(pause).unwrap_or(chrono::TimeDelta::hours(1));
                if gate.close(until) {
                    tracing::warn!(stage = self.stage, reason, ?pause, "paused");
                    self.progress.set_waiting_for(Some(reason));
                }
                self.settled(queue.release(&delivery.receipt, Duration::ZERO).await, delivery);
            }
            Err(failure @ Failure::Fatal(_)) => {
                self.settled(queue.release(&delivery.receipt, Duration::ZERO).await, delivery);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// A settlement that fails is no failure of the work: the message comes again, and its work is found done.
    fn settled(&self, result: Result<(), QueueError>, delivery: &Delivery) {
        if let Err(error) = result {
            tracing::warn!(stage = self.stage, message = delivery.id, %error, "could not settle, the message will come again");
        }
    }
}

fn delay(delivery: &Delivery) -> Duration {
    let seed: [&[u8]; 2] = [delivery.id.as_bytes(), &delivery.receives.to_be_bytes()];
    backoff::delay(FIRST_DELAY, delivery.receives - 1, LONGEST_DELAY, &seed)
}

/// Closed while the way is blocked for everybody; shared by a consumer's workers.
#[derive(Default)]
struct Gate(Mutex<Option<DateTime<Utc>>>);

impl Gate {
    fn closed_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.lock().ok().and_then(|until| until.filter(|until| *until > now))
    }

    /// Closes it; whether it was open before.
    fn close(&self, until: DateTime<Utc>) -> bool {
        self.0.lock().is_ok_and(|mut closed| closed.replace(until).is_none())
    }

    /// Opens it; whether it was closed before.
    fn open(&self) -> bool {
        self.0.lock().is_ok_and(|mut closed| closed.take().is_some())
    }
}
