//! [`Faulty`] over a queue. A `receive` that fails after its effect has hidden its messages until their visibility ends.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::seams::queue::{Delivery, Depth, Queue, QueueError, Receipt};

use super::Faulty;

fn failure(message: &str) -> QueueError {
    QueueError::Backend(message.into())
}

#[async_trait]
impl<T: Queue + ?Sized> Queue for Faulty<T> {
    async fn send(&self, bodies: Vec<Bytes>) -> Result<(), QueueError> {
        self.call(self.inner.send(bodies), failure).await
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.call(self.inner.receive(max, wait), failure).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.call(self.inner.ack(receipt), failure).await
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        self.call(self.inner.release(receipt, after), failure).await
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        self.call(self.inner.extend(receipt, by), failure).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.call(self.inner.depth(), failure).await
    }

    fn visibility(&self) -> Duration {
        self.inner.visibility()
    }
}
