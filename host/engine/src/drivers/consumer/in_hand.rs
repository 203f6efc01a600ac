//! A consumer, and deliveries in its hands: received, kept invisible to others while they are worked, and worked.
//!
//! Does not settle them.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use lake::failure::Failure;
use seams::clock::Clock;
use seams::foreign::panic_text;
use seams::queue::{Delivery, Queue, StageQueue};
use seams::spans::{About, InHand};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::work::{GivenUp, Work};
use crate::progress::{Outcome, Progress};
use crate::stopping;

/// How long a consumer rests after a receive that failed.
pub(super) const AFTER_ERROR: Duration = Duration::from_secs(1);

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
    /// Whether it waits while the lake is not as expected. A consumer that a person waits for ends instead, and says so.
    pub lasts: bool,
    /// Shared by all consumers of a process: work holds it for reading, work that must be alone holds it for writing.
    pub room: Arc<RwLock<()>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub progress: Arc<Progress>,
}

impl Consumer {
    pub(super) async fn receive(
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
    pub(super) async fn rest(&self, span: Duration, stop: &CancellationToken) {
        tokio::select! {
            () = self.clock.sleep(span) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Does the work. If the host panics over many deliveries, each is tried alone, to find the one to blame.
    pub(super) async fn take(
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

    pub(super) fn in_hand(&self, deliveries: &[Delivery]) -> InHand {
        let abouts: Vec<About> = deliveries.iter().map(|delivery| self.work.about(delivery)).collect();
        InHand::of(self.stage, &abouts)
    }

    /// Does the work, and turns a panic into a failure. Work that goes on for too long after a stop is cut off, as if the host had died
    /// there. A plugin that loops on each of two thousand documents must not keep a process from ending.
    pub(super) async fn guarded(&self, deliveries: &[Delivery]) -> Result<Vec<Result<(), Failure>>, Failure> {
        let work = AssertUnwindSafe(self.work.take(deliveries)).catch_unwind();
        tokio::select! {
            done = work => done.map_err(bug),
            () = stopping::overdue(&*self.clock) => {
                tracing::warn!(deliveries = deliveries.len(), "stopped in the middle of work, which is given back");
                Ok(deliveries.iter().map(|_| Err(stopping::failure())).collect())
            }
        }
    }

    pub(super) async fn give_up(
        &self,
        queue: &Arc<dyn Queue>,
        delivery: &Delivery,
        why: &GivenUp,
    ) -> Result<(), Failure> {
        self.progress.delivered(self.stage, Outcome::GivenUp);
        let hand = std::slice::from_ref(delivery);
        let giving_up = AssertUnwindSafe(self.work.give_up(delivery, why)).catch_unwind();
        self.holding(queue, hand, giving_up).await.map_err(bug)?
    }

    /// Does `work`, and keeps its deliveries invisible to other receivers until it ends.
    pub(super) async fn holding<T>(
        &self,
        queue: &Arc<dyn Queue>,
        deliveries: &[Delivery],
        work: impl Future<Output = T>,
    ) -> T {
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
}

/// A caught panic as a failure, with its message.
pub(in crate::drivers) fn bug(panic: Box<dyn Any + Send>) -> Failure {
    Failure::Bug(format!("the host panicked: {}", panic_text(&*panic)))
}
