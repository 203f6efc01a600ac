//! A consumer: receives deliveries, hands them to a role, and settles each by the class of its failure.
//!
//! Does not look into a message.

use std::sync::Arc;

use futures::future::join_all;
use lake::failure::Failure;
use seams::queue::Delivery;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::gate::Gate;

mod dead_letters;
mod in_hand;
mod pauses;
mod receiver;
mod settling;
mod work;

use in_hand::AFTER_ERROR;
pub use in_hand::Consumer;
pub(super) use in_hand::bug;
use pauses::LOOK_FOR_LIFT;
use receiver::{Batch, Hands};
pub use work::{GivenUp, Work};

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

    /// Asks until it knows whether the stage may work.
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

    /// Opens the gate of a suspended stage for each version that takes over, unless that version was suspended before; and when the
    /// suspension is lifted.
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
            // Before its place is free again: no worker is there to take what would be received for it.
            self.batch(&deliveries, &gate, &stop).await.inspect_err(|_| stop.cancel())?;
            drop(place);
        }
        Ok(())
    }

    /// Does the work of one batch, and settles each delivery by its result.
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
}
