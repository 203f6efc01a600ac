//! One receiver for all workers of a consumer: a call asks for as many messages as the free workers can take, and waits as long as the queue
//! finds worth it. So an idle stage makes one call at a time, however many workers it has.
//!
//! Does not work: it hands each free worker a batch.

use std::sync::Arc;

use lake::failure::Failure;
use seams::queue::{Delivery, SHORT_POLL};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::in_hand::Consumer;
use crate::drivers::gate::Gate;

/// What one worker is handed at once.
pub(super) struct Batch {
    /// Never empty.
    pub(super) deliveries: Vec<Delivery>,
    /// Held for as long as the worker is busy with them.
    pub(super) place: OwnedSemaphorePermit,
}

/// Where workers get their batches.
#[derive(Clone)]
pub(super) struct Hands(Arc<Mutex<mpsc::UnboundedReceiver<Batch>>>);

impl Hands {
    /// Where batches are put, and where workers get them.
    pub(super) fn new() -> (mpsc::UnboundedSender<Batch>, Self) {
        let (give, take) = mpsc::unbounded_channel();
        (give, Hands(Arc::new(Mutex::new(take))))
    }

    /// The next batch; none when nothing more is received.
    pub(super) async fn next(&self) -> Option<Batch> {
        self.0.lock().await.recv().await
    }
}

impl Consumer {
    /// Receives until `stop`, and hands out to `workers`. They end when this does.
    pub(super) async fn hand_out(
        self,
        workers: mpsc::UnboundedSender<Batch>,
        gate: Arc<Gate>,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let free = Arc::new(Semaphore::new(self.workers.max(1)));
        // A worker first, then the pass: a worker that gives messages back waits for the pass, and may be the only one.
        while let Some(places) = places(&free, &stop).await {
            let Some(pass) = gate.pass(&stop).await else { break };
            let mut received = self.receive_for(places.len(), &stop).await.into_iter();
            drop(pass);
            for place in places {
                let deliveries: Vec<Delivery> = received.by_ref().take(self.at_once).collect();
                if deliveries.is_empty() || workers.send(Batch { deliveries, place }).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// As much as so many workers can take. After a stop, messages on their way may still arrive; a poll that goes on is abandoned.
    async fn receive_for(&self, workers: usize, stop: &CancellationToken) -> Vec<Delivery> {
        let queue = &self.queue.live;
        let received = self.receive(queue, self.at_once.saturating_mul(workers), queue.longest_poll(), stop);
        tokio::pin!(received);
        tokio::select! {
            received = &mut received => received,
            () = stop.cancelled() => tokio::select! {
                received = &mut received => received,
                () = self.clock.sleep(SHORT_POLL) => Vec::new(),
            },
        }
    }
}

/// The free workers, at least one; none on a stop.
async fn places(free: &Arc<Semaphore>, stop: &CancellationToken) -> Option<Vec<OwnedSemaphorePermit>> {
    let first = tokio::select! {
        biased;
        () = stop.cancelled() => return None,
        first = Arc::clone(free).acquire_owned() => first.ok()?,
    };
    let mut places = vec![first];
    while let Ok(place) = Arc::clone(free).try_acquire_owned() {
        places.push(place);
    }
    Some(places)
}
