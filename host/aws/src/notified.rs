//! A stage's queue where S3 itself notifies of new objects: what S3 says is not sent a second time.
//!
//! Does not set up notifications: the operator does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lake::events::{NewObject, NewVersion, decode};
use seams::queue::{Blind, Delivery, Depth, Queue, QueueError, Receipt};

/// A [`Queue`] that sends only what no notification of S3 says: lines of an object, or something that is to be done again.
#[derive(Debug)]
pub struct NotifiedQueue(Arc<dyn Queue>);

impl NotifiedQueue {
    /// Before `queue`.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        NotifiedQueue(queue)
    }
}

/// Whether S3 notifies of it, too.
fn is_told(body: &Bytes) -> bool {
    match decode::<NewObject>(body) {
        Ok(event) => event.lines.is_empty() && !event.again,
        Err(_) => decode::<NewVersion>(body).is_ok(),
    }
}

#[async_trait]
impl Queue for NotifiedQueue {
    async fn send(&self, mut bodies: Vec<Bytes>) -> Result<(), QueueError> {
        bodies.retain(|body| !is_told(body));
        if bodies.is_empty() { Ok(()) } else { self.0.send(bodies).await }
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.0.receive(max, wait).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.0.ack(receipt).await
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        self.0.release(receipt, after).await
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        self.0.extend(receipt, by).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.0.depth().await
    }

    fn visibility(&self) -> Duration {
        self.0.visibility()
    }

    fn blind(&self) -> Option<Blind> {
        self.0.blind()
    }

    fn longest_poll(&self) -> Duration {
        self.0.longest_poll()
    }

    fn look_every(&self) -> Duration {
        self.0.look_every()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_s3_tells_is_not_said_twice_and_all_else_is() {
        let told = |text: &'static str| is_told(&Bytes::from_static(text.as_bytes()));
        assert!(told(r#"{"bronze": "run=a/batch=1.jsonl"}"#) && told(r#"{"silver": 7}"#));
        assert!(!told(r#"{"bronze": "run=a/batch=1.jsonl", "lines": [1]}"#));
        assert!(!told(r#"{"bronze": "run=a/batch=1.jsonl", "again": true}"#) && !told("{}"));
    }
}
