//! [`Faulty`] over a queue. A `receive` that fails after its effect has hidden its messages until their visibility ends.
//!
//! Odd: what is sent arrives up to five times and shuffled; the visibility of what is received is over at once, so that another consumer
//! receives it too; a heartbeat or settlement finds its receipt stale, and it is.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use seams::queue::{Blind, Delivery, Depth, Queue, QueueError, Receipt};

use super::{Fate, Faulty};

fn failure(message: &str) -> QueueError {
    QueueError::Backend(message.into())
}

#[async_trait]
impl<T: Queue + ?Sized> Queue for Faulty<T> {
    async fn send(&self, bodies: Vec<Bytes>) -> Result<(), QueueError> {
        match self.faults.next().await {
            Fate::Odd => self.inner.send(self.repeated(bodies)).await,
            fate => self.end(fate, self.inner.send(bodies), failure).await,
        }
    }

    async fn send_missing(&self, bodies: Vec<Bytes>) -> Result<usize, QueueError> {
        match self.faults.next().await {
            // A queue that cannot find equal messages adds all of them, and more.
            Fate::Odd => {
                let bodies = self.repeated(bodies);
                let count = bodies.len();
                self.inner.send(bodies).await.map(|()| count)
            }
            fate => self.end(fate, self.inner.send_missing(bodies), failure).await,
        }
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        match self.faults.next().await {
            Fate::Odd => {
                let deliveries = self.inner.receive(max, wait).await?;
                for delivery in &deliveries {
                    self.inner.extend(&delivery.receipt, Duration::ZERO).await?;
                }
                Ok(deliveries)
            }
            fate => self.end(fate, self.inner.receive(max, wait), failure).await,
        }
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        match self.faults.next().await {
            Fate::Odd => self.stale(receipt).await,
            fate => self.end(fate, self.inner.ack(receipt), failure).await,
        }
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        match self.faults.next().await {
            Fate::Odd => self.stale(receipt).await,
            fate => self.end(fate, self.inner.release(receipt, after), failure).await,
        }
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        match self.faults.next().await {
            Fate::Odd => self.stale(receipt).await,
            fate => self.end(fate, self.inner.extend(receipt, by), failure).await,
        }
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.call(self.inner.depth(), failure).await
    }

    fn visibility(&self) -> Duration {
        self.inner.visibility()
    }

    fn blind(&self) -> Option<Blind> {
        self.inner.blind()
    }

    fn longest_poll(&self) -> Duration {
        self.inner.longest_poll()
    }

    fn look_every(&self) -> Duration {
        self.inner.look_every()
    }
}

impl<T: Queue + ?Sized> Faulty<T> {
    /// Every message one to five times, in another order.
    fn repeated(&self, bodies: Vec<Bytes>) -> Vec<Bytes> {
        let mut sent = Vec::new();
        for body in bodies {
            for _ in 0..=self.faults.pick(5) {
                sent.insert(self.faults.pick(sent.len() + 1), body.clone());
            }
        }
        sent
    }

    /// The visibility of the delivery ends.
    async fn stale(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.inner.extend(receipt, Duration::ZERO).await?;
        Err(QueueError::Expired)
    }
}
