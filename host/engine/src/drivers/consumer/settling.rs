//! Settling: what becomes of a delivery by the class of its work's failure.
//!
//! Does not keep anything in hand for longer than that takes: `pauses` does.

use std::time::Duration;

use futures::future::join_all;
use lake::failure::Failure;
use seams::backoff;
use seams::queue::{Delivery, QueueError};
use seams::spans::TOLD_IN_THE_END;

use super::in_hand::Consumer;
use super::work::GivenUp;
use crate::drivers::gate::Gate;
use crate::progress::Progress;

pub(super) const FIRST_DELAY: Duration = Duration::from_secs(1);
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(300);

impl Consumer {
    /// Gives back at once the deliveries that met a pause or a suspension, but not to a worker that still receives.
    pub(super) async fn give_back(&self, deliveries: &[Delivery], gate: &Gate) {
        if deliveries.is_empty() {
            return;
        }
        self.holding(&self.queue.live, deliveries, gate.quiet()).await;
        let releases = deliveries
            .iter()
            .map(async |one| self.settled(self.queue.live.release(&one.receipt, Duration::ZERO).await, one));
        join_all(releases).await;
    }

    /// Settles the result of work that `version`, or a later one, has done.
    pub(super) async fn settle(
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
                    // The version that serves now may do better. A delay says when the message comes back: without one, no host knows.
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

    /// Suspends the stage, unless a version other than `version` does its work already or takes over now. Returns whether it is suspended.
    pub(super) async fn suspend(&self, gate: &Gate, version: u64, reason: String) -> bool {
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
    pub(super) fn settled(&self, result: Result<(), QueueError>, delivery: &Delivery) {
        if let Err(error) = result {
            tracing::warn!(delivery = delivery.id, %error, "could not settle, the message will come again");
        }
    }
}

fn delay(delivery: &Delivery) -> Duration {
    let seed: [&[u8]; 2] = [delivery.id.as_bytes(), &delivery.receives.to_be_bytes()];
    backoff::delay(FIRST_DELAY, delivery.receives - 1, LONGEST_DELAY, &seed)
}
