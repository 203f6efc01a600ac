//! Dead letters: what was in hand each time a host died is tried once more, alone, before it is given up.
//!
//! Does not decide what giving up means: the stage's work does.

use std::sync::Arc;
use std::time::Duration;

use lake::failure::Failure;
use seams::queue::Delivery;
use tokio_util::sync::CancellationToken;

use super::in_hand::Consumer;
use super::settling::LONGEST_DELAY;
use super::work::GivenUp;
use crate::drivers::gate::Gate;
use crate::stopping;

/// How often a consumer looks for dead letters, where a look costs nothing. There is no hurry: they have waited through several visibilities.
const LOOK_FOR_DEAD: Duration = Duration::from_secs(1);

impl Consumer {
    /// Handles what the queue itself has given up: messages that were in hand each time a host died. Most of them were only in hand beside
    /// the one that killed it, so each is tried once more, alone; one that comes back from that as well is given up.
    pub(super) async fn bury(self, gate: Arc<Gate>, stop: CancellationToken) -> Result<(), Failure> {
        // Looked at by its depth: a receive counts, and one that had to wait until no other work is under way could be its last.
        let every = self.queue.dead.look_every().max(LOOK_FOR_DEAD);
        while !stop.is_cancelled() {
            if gate.is_suspended() {
                self.rest(LOOK_FOR_DEAD, &stop).await;
                continue;
            }
            let ready = self.queue.dead.depth().await.map_or(0, |depth| depth.ready);
            if ready == 0 {
                self.rest(every, &stop).await;
                continue;
            }
            // Taken only when nothing else is under way: if the host dies now, it dies of this one.
            let room = self.room.write().await;
            for delivery in self.receive(&self.queue.dead, 1, Duration::ZERO, &stop).await {
                let spans = self.in_hand(std::slice::from_ref(&delivery));
                spans.work(self.last_try(&delivery, &gate, &stop)).await?;
            }
            drop(room);
        }
        Ok(())
    }

    async fn last_try(&self, delivery: &Delivery, gate: &Gate, stop: &CancellationToken) -> Result<(), Failure> {
        let dead = &self.queue.dead;
        let hand = std::slice::from_ref(delivery);
        let why = if delivery.receives > 1 {
            GivenUp::NeverEnded { most: self.max_receives }
        } else {
            let version = self.work.version();
            let tried = self.holding(dead, hand, stopping::under(stop, self.guarded(hand))).await;
            match tried.and_then(|mut results| results.pop().unwrap_or(Ok(()))) {
                Ok(()) => {
                    self.settled(dead.ack(&delivery.receipt).await, delivery);
                    return Ok(());
                }
                Err(failure @ (Failure::Transient(_) | Failure::Bug(_))) => {
                    GivenUp::Failed { receives: self.max_receives.saturating_add(1), failure }
                }
                Err(Failure::Pause { pause, reason }) => {
                    tracing::warn!(delivery = delivery.id, reason, ?pause, "its last try has to wait");
                    // It has done no harm: it starts over.
                    return self.back_to_life(delivery).await;
                }
                Err(Failure::Plugin(reason)) => {
                    self.suspend(gate, version, reason).await;
                    return self.back_to_life(delivery).await;
                }
                Err(failure @ Failure::Lake { .. }) if self.lasts => {
                    tracing::warn!(delivery = delivery.id, error = %failure, "its last try has to wait");
                    return self.back_to_life(delivery).await;
                }
                Err(failure @ (Failure::Fatal(_) | Failure::Lake { .. })) => return Err(failure),
            }
        };
        tracing::error!(delivery = delivery.id, reason = %why, "given up");
        match self.give_up(dead, delivery, &why).await {
            Ok(()) => self.settled(dead.ack(&delivery.receipt).await, delivery),
            Err(failure @ Failure::Fatal(_)) => return Err(failure),
            Err(failure @ Failure::Lake { .. }) if !self.lasts => return Err(failure),
            Err(failure) => {
                tracing::warn!(delivery = delivery.id, error = %failure, "cannot give it up now");
                self.settled(dead.release(&delivery.receipt, LONGEST_DELAY).await, delivery);
            }
        }
        Ok(())
    }

    /// Moves a dead letter back to where it came from, with all its receives before it.
    async fn back_to_life(&self, delivery: &Delivery) -> Result<(), Failure> {
        match self.queue.live.send(vec![delivery.body.clone()]).await {
            Ok(()) => self.settled(self.queue.dead.ack(&delivery.receipt).await, delivery),
            Err(_) => self.settled(self.queue.dead.release(&delivery.receipt, Duration::ZERO).await, delivery),
        }
        Ok(())
    }
}
