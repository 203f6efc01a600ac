//! A consumer: receives deliveries, hands them to a role, and settles each by the class of its failure.
//!
//! Does not look into a message.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::join_all;
use lake::Lake;
use lake::failure::Failure;
use seams::backoff;
use seams::clock::Clock;
use seams::foreign::panic_text;
use seams::queue::{Delivery, Queue, QueueError, StageQueue};
use seams::spans::{About, InHand, TOLD_IN_THE_END};
use thiserror::Error;
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::gate::Gate;
use crate::progress::{Outcome, Progress};
use crate::stopping;

mod dead_letters;
mod pauses;
mod receiver;

use self::receiver::{Batch, Hands};

/// How long a consumer rests after a receive that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often a suspended stage looks whether it may go on.
const LOOK_FOR_LIFT: Duration = Duration::from_secs(3);
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// What a role does with deliveries.
#[async_trait]
pub trait Work: Send + Sync {
    /// Whether the stage may be worked at all: [`Failure::Plugin`] if it was suspended before, perhaps by another process.
    async fn ready(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Which version of the plugins does the work; another number after a switch.
    fn version(&self) -> u64 {
        0
    }

    /// Returns when the version is another than `seen`; never, where there is but one.
    async fn renewed(&self, _seen: u64) {
        std::future::pending().await
    }

    /// Whether a suspended stage may go on: by hand, or because something has changed that its plugin failed for.
    async fn is_lifted(&self) -> bool {
        false
    }

    /// The plugin of version `seen` has failed as a whole: whether another one does the work now, so that the stage goes on.
    async fn fall_back(&self, _seen: u64, _reason: &str) -> bool {
        false
    }

    /// The lake in which it is noted that the stage waits, so that others see it and can end the wait; none where that is not noted.
    fn notes_waits_in(&self) -> Option<Lake> {
        None
    }

    /// What the log and a trace say of a delivery.
    fn about(&self, _delivery: &Delivery) -> About {
        About::default()
    }

    /// Does the work of all `deliveries`; the results stand in their order.
    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>>;

    /// Brings the work to an end in another way: it was tried as often as is allowed.
    async fn give_up(&self, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure>;
}

/// Why work is given up.
#[derive(Clone, Debug, Error)]
pub enum GivenUp {
    /// It failed each time.
    #[error("tried {receives} times, the last time: {failure}")]
    Failed {
        /// How often it was received.
        receives: u32,
        /// How it failed the last time.
        failure: Failure,
    },
    /// It never came to an end, not even alone: no host that had it in hand has said anything of it.
    #[error(
        "received more than {most} times without an end, the last time alone: the host died or was stopped over it"
    )]
    NeverEnded {
        /// How often it may be received in company.
        most: u32,
    },
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
    /// Whether it goes on when the lake is not as expected, until it is. One that a person waits for ends and says so.
    pub lasts: bool,
    /// Shared by all consumers of a process: who works reads it, who must be the only one at work writes it.
    pub room: Arc<RwLock<()>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub progress: Arc<Progress>,
}

impl Consumer {
    /// Consumes until `stop`, then settles what is in hand. Ends early only with a fatal failure.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let gate = Arc::new(Gate::default());
        let version = self.work.version();
        self.start(version, &gate, &stop).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().renew(version, Arc::clone(&gate), stop.clone()).in_current_span());
        let (batches, hands) = Hands::new();
        for _ in 0..self.workers.max(1) {
            tasks.spawn(self.clone().work(hands.clone(), Arc::clone(&gate), stop.clone()).in_current_span());
        }
        tasks.spawn(self.clone().hand_out(batches, Arc::clone(&gate), stop.clone()).in_current_span());
        tasks.spawn(self.clone().bury(gate, stop.clone()).in_current_span());
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

    /// Finds out whether the stage may be worked, as often as it takes.
    async fn start(&self, version: u64, gate: &Gate, stop: &CancellationToken) -> Result<(), Failure> {
        while !stop.is_cancelled() {
            match self.work.ready().await {
                Ok(()) => break,
                Err(failure @ Failure::Fatal(_)) => return Err(failure),
                Err(failure @ Failure::Lake { .. }) if !self.lasts => return Err(failure),
                Err(Failure::Plugin(reason)) => {
                    self.suspend(gate, version, reason).await;
                    break;
                }
                Err(
                    failure @ (Failure::Transient(_) | Failure::Pause { .. } | Failure::Bug(_) | Failure::Lake { .. }),
                ) => {
                    tracing::warn!(error = %failure, "cannot start yet");
                    self.rest(AFTER_ERROR, stop).await;
                }
            }
        }
        Ok(())
    }

    /// Opens the gate of a suspended stage for each version that takes over, unless that was suspended before, too; and when the suspension
    /// is lifted.
    async fn renew(self, mut seen: u64, gate: Arc<Gate>, stop: CancellationToken) -> Result<(), Failure> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.work.renewed(seen) => {}
                () = self.lifted(&gate) => {
                    if gate.renew() {
                        tracing::info!("the suspension is lifted, the stage goes on");
                        self.progress.resume(self.stage);
                    }
                    continue;
                }
            }
            seen = self.work.version();
            if gate.renew() {
                tracing::info!("another version serves, the stage goes on");
                self.progress.resume(self.stage);
                self.start(seen, &gate, &stop).await?;
            }
        }
    }

    /// Returns when the stage is suspended and may go on.
    async fn lifted(&self, gate: &Gate) {
        loop {
            gate.suspended().await;
            self.clock.sleep(LOOK_FOR_LIFT).await;
            if gate.is_suspended() && self.work.is_lifted().await {
                return;
            }
        }
    }

    async fn work(self, hands: Hands, gate: Arc<Gate>, stop: CancellationToken) -> Result<(), Failure> {
        while let Some(Batch { deliveries, place }) = hands.next().await {
            if !gate.is_open() || stop.is_cancelled() {
                // Closed while this was on its way: it would meet the same pause, or the same end.
                self.give_back(&deliveries, &gate).await;
                continue;
            }
            // Before its place is free again: nobody is there to take what would be received for it.
            self.batch(&deliveries, &gate, &stop).await.inspect_err(|_| stop.cancel())?;
            drop(place);
        }
        Ok(())
    }

    /// Does the work of one batch, and settles each delivery by what came of it.
    async fn batch(&self, deliveries: &[Delivery], gate: &Gate, stop: &CancellationToken) -> Result<(), Failure> {
        let (version, begun) = (self.work.version(), self.clock.now());
        let spans = self.in_hand(deliveries);
        let results = self.take(deliveries, &spans, stop).await;
        if results.iter().any(|result| matches!(result, Err(Failure::Fatal(_)))) {
            // Before anything is given back: another worker must not take it up.
            stop.cancel();
        }
        let took_ms = (self.clock.now() - begun).num_microseconds().unwrap_or_default() as f64 / 1000.0;
        tracing::debug!(version, deliveries = deliveries.len(), took_ms, "batch done");
        // All at once: a queue can settle many with one call.
        let done = deliveries.iter().zip(&spans.each).zip(&results).filter(|(_, result)| result.is_ok());
        let acks = done.map(|((one, span), _)| {
            async move { self.settled(self.queue.live.ack(&one.receipt).await, one) }.instrument(span.clone())
        });
        join_all(acks).await;
        if results.iter().any(Result::is_ok) && gate.is_well() {
            tracing::info!("the lake is as it has to be again, the stage goes on");
        }
        let mut probe = None;
        let mut aside = None;
        let mut others = Vec::new();
        for (at, (delivery, result)) in deliveries.iter().zip(results).enumerate() {
            let alone = spans.alone(at);
            match result {
                Ok(()) => {}
                Err(Failure::Pause { pause, reason }) if probe.is_none() && gate.pause() => {
                    probe = Some((delivery, alone, pause, reason));
                }
                Err(Failure::Pause { .. }) => others.push(delivery.clone()),
                Err(Failure::Lake { reason, whole: true }) if self.lasts => {
                    if gate.pause() {
                        aside = Some(reason);
                    }
                    others.push(delivery.clone());
                }
                result => alone.work(self.settle(delivery, version, result, gate)).await?,
            }
        }
        self.give_back(&others, gate).await;
        if let Some((delivery, alone, pause, reason)) = probe {
            alone.work(self.probe(delivery, &alone, (pause, reason), gate, stop)).await?;
        }
        if let Some(reason) = aside {
            self.stand_aside(reason, version, gate, stop).await;
        }
        Ok(())
    }

    /// Gives deliveries back at once that met a pause or a suspension, and not into the hands of a worker that still receives.
    async fn give_back(&self, deliveries: &[Delivery], gate: &Gate) {
        if deliveries.is_empty() {
            return;
        }
        self.holding(&self.queue.live, deliveries, gate.quiet()).await;
        let releases = deliveries
            .iter()
            .map(async |one| self.settled(self.queue.live.release(&one.receipt, Duration::ZERO).await, one));
        join_all(releases).await;
    }

    async fn receive(
        &self,
        queue: &Arc<dyn Queue>,
        max: usize,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Vec<Delivery> {
        match queue.receive(max, wait).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(%error, "receive failed");
                self.rest(AFTER_ERROR, stop).await;
                Vec::new()
            }
        }
    }

    /// Waits for `span`, or for the stop.
    async fn rest(&self, span: Duration, stop: &CancellationToken) {
        tokio::select! {
            () = self.clock.sleep(span) => {}
            () = stop.cancelled() => {}
        }
    }

    /// The work. If the host panics over many deliveries each is tried alone, so that the one to blame is found.
    async fn take(
        &self,
        deliveries: &[Delivery],
        spans: &InHand,
        stop: &CancellationToken,
    ) -> Vec<Result<(), Failure>> {
        let all = async {
            let _room = self.room.read().await;
            match self.guarded(deliveries).await {
                Ok(results) => results,
                Err(bug) if deliveries.len() < 2 => vec![Err(bug)],
                Err(bug) => {
                    tracing::error!(deliveries = deliveries.len(), error = %bug, "trying each alone");
                    let mut results = Vec::new();
                    for delivery in deliveries {
                        let alone = self.guarded(std::slice::from_ref(delivery)).await;
                        results.push(alone.and_then(|mut results| results.pop().unwrap_or(Ok(()))));
                    }
                    results
                }
            }
        };
        let all = stopping::under(stop, all);
        let results = self.holding(&self.queue.live, deliveries, spans.work(all)).await;
        for (result, span) in results.iter().zip(&spans.each) {
            let outcome = Outcome::from(result);
            self.progress.delivered(self.stage, outcome);
            span.record("outcome", outcome.name());
        }
        results
    }

    fn in_hand(&self, deliveries: &[Delivery]) -> InHand {
        let abouts: Vec<About> = deliveries.iter().map(|delivery| self.work.about(delivery)).collect();
        InHand::of(self.stage, &abouts)
    }

    /// The work, a panic turned into a failure. Work that goes on for too long after a stop is cut off, as if the host had died there: a
    /// plugin that loops on each of two thousand documents must not keep a process from ending.
    async fn guarded(&self, deliveries: &[Delivery]) -> Result<Vec<Result<(), Failure>>, Failure> {
        let work = AssertUnwindSafe(self.work.take(deliveries)).catch_unwind();
        tokio::select! {
            done = work => done.map_err(bug),
            () = stopping::overdue(&*self.clock) => {
                tracing::warn!(deliveries = deliveries.len(), "stopped in the middle of work, which is given back");
                Ok(deliveries.iter().map(|_| Err(stopping::failure())).collect())
            }
        }
    }

    async fn give_up(&self, queue: &Arc<dyn Queue>, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure> {
        self.progress.delivered(self.stage, Outcome::GivenUp);
        let hand = std::slice::from_ref(delivery);
        let giving_up = AssertUnwindSafe(self.work.give_up(delivery, why)).catch_unwind();
        self.holding(queue, hand, giving_up).await.map_err(bug)?
    }

    /// `work`, its deliveries kept invisible to others for as long as it takes.
    async fn holding<T>(&self, queue: &Arc<dyn Queue>, deliveries: &[Delivery], work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.heartbeat(queue, deliveries) => match never {},
        }
    }

    async fn heartbeat(&self, queue: &Arc<dyn Queue>, deliveries: &[Delivery]) -> Infallible {
        let visibility = queue.visibility();
        loop {
            self.clock.sleep(visibility / 3).await;
            let beats = deliveries.iter().map(async |delivery| {
                if let Err(error) = queue.extend(&delivery.receipt, visibility).await {
                    tracing::warn!(delivery = delivery.id, %error, "heartbeat failed, the work may be done twice");
                }
            });
            join_all(beats).await;
        }
    }

    /// Settles what came of the work that version `version` has done, or a later one.
    async fn settle(
        &self,
        delivery: &Delivery,
        version: u64,
        result: Result<(), Failure>,
        gate: &Gate,
    ) -> Result<(), Failure> {
        let queue = &self.queue.live;
        match result {
            Ok(()) => self.settled(queue.ack(&delivery.receipt).await, delivery),
            Err(failure @ (Failure::Transient(_) | Failure::Bug(_))) if delivery.receives >= self.max_receives => {
                tracing::error!(delivery = delivery.id, error = %failure, "given up");
                match self.give_up(queue, delivery, &GivenUp::Failed { receives: delivery.receives, failure }).await {
                    Ok(()) => self.settled(queue.ack(&delivery.receipt).await, delivery),
                    Err(failure @ Failure::Fatal(_)) => return Err(failure),
                    Err(failure @ Failure::Lake { .. }) if !self.lasts => return Err(failure),
                    Err(_) => self.settled(queue.release(&delivery.receipt, LONGEST_DELAY).await, delivery),
                }
            }
            Err(failure @ (Failure::Transient(_) | Failure::Bug(_))) => {
                let (delay, receives) = (delay(delivery), delivery.receives);
                tracing::warn!(delivery = delivery.id, error = %failure, receives, ?delay, "failed, will be tried again");
                Progress::add(&self.progress.retried, 1);
                self.settled(queue.release(&delivery.receipt, delay).await, delivery);
            }
            Err(Failure::Pause { .. }) => self.give_back(std::slice::from_ref(delivery), gate).await,
            Err(Failure::Lake { whole: true, .. }) if self.lasts => {
                self.give_back(std::slice::from_ref(delivery), gate).await;
            }
            Err(failure @ Failure::Lake { .. }) if self.lasts => {
                // Only this one meets it: it comes again later and later, and is never given up.
                let (delay, receives) = (delay(delivery), delivery.receives);
                tracing::error!(delivery = delivery.id, error = %failure, receives, ?delay, "the lake is damaged here, will be tried again");
                Progress::add(&self.progress.retried, 1);
                self.settled(queue.release(&delivery.receipt, delay).await, delivery);
            }
            Err(Failure::Plugin(reason)) => {
                if self.suspend(gate, version, reason).await {
                    self.give_back(std::slice::from_ref(delivery), gate).await;
                } else {
                    // The version that serves now may do better, and a delay says when: of what is given back for none nobody knows.
                    self.settled(queue.release(&delivery.receipt, FIRST_DELAY).await, delivery);
                }
            }
            Err(failure @ (Failure::Fatal(_) | Failure::Lake { .. })) => {
                self.settled(queue.release(&delivery.receipt, Duration::ZERO).await, delivery);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Suspends the stage, unless another version than the one that failed does its work already, or now: then it is not.
    async fn suspend(&self, gate: &Gate, version: u64, reason: String) -> bool {
        if self.work.version() != version || self.work.fall_back(version, &reason).await {
            return false;
        }
        if gate.suspend() {
            tracing::error!(target: TOLD_IN_THE_END, reason, "suspended, its messages stay queued");
            self.progress.suspend(self.stage, reason);
        }
        true
    }

    /// A settlement that fails is no failure of the work: the message comes again, and its work is found done.
    fn settled(&self, result: Result<(), QueueError>, delivery: &Delivery) {
        if let Err(error) = result {
            tracing::warn!(delivery = delivery.id, %error, "could not settle, the message will come again");
        }
    }
}

/// A caught panic as a failure, with its message.
pub(super) fn bug(panic: Box<dyn Any + Send>) -> Failure {
    Failure::Bug(format!("the host panicked: {}", panic_text(&*panic)))
}

fn delay(delivery: &Delivery) -> Duration {
    let seed: [&[u8]; 2] = [delivery.id.as_bytes(), &delivery.receives.to_be_bytes()];
    backoff::delay(FIRST_DELAY, delivery.receives - 1, LONGEST_DELAY, &seed)
}
