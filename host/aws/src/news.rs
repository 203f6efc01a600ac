//! A stage's queue to which S3, SNS or EventBridge send notifications of new objects: hosts receive them as the stage's own events.
//!
//! Does not set up notifications. Functions translate a batch themselves (`sluicebox lambda`): there the messages are not received.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use seams::queue::{Blind, Delivery, Depth, Queue, QueueError, Receipt};
use url::Url;

use crate::events;

/// The work that a message asks of a stage, by the place of the layer that it is about.
type Works = fn(&Url, &Bytes) -> Vec<Bytes>;

/// A [`Queue`] whose deliveries are the stage's own events, also where a notification was sent.
#[derive(Debug)]
pub struct NewsQueue {
    queue: Arc<dyn Queue>,
    layer: Url,
    works: Works,
}

impl NewsQueue {
    /// The queue of the clean stage, notified of objects of `bronze`.
    #[must_use]
    pub fn of_clean(queue: Arc<dyn Queue>, bronze: &Url) -> Self {
        NewsQueue { queue, layer: bronze.clone(), works: events::to_clean }
    }

    /// The queue of the aggregate stage, notified of objects of `silver`.
    #[must_use]
    pub fn of_aggregate(queue: Arc<dyn Queue>, silver: &Url) -> Self {
        NewsQueue { queue, layer: silver.clone(), works: events::to_aggregate }
    }

    /// A delivery as the stage's own; `None` if it asks for nothing and was acknowledged.
    async fn translated(&self, delivery: Delivery) -> Result<Option<Delivery>, QueueError> {
        let mut works = (self.works)(&self.layer, &delivery.body).into_iter();
        let Some(body) = works.next() else {
            self.queue.ack(&delivery.receipt).await?;
            return Ok(None);
        };
        // S3 sends one object in a message. If it ever sends more, each of the others becomes a message before this one is settled.
        let others: Vec<Bytes> = works.collect();
        if !others.is_empty() {
            self.queue.send(others).await?;
        }
        Ok(Some(Delivery { body, ..delivery }))
    }
}

#[async_trait]
impl Queue for NewsQueue {
    async fn send(&self, bodies: Vec<Bytes>) -> Result<(), QueueError> {
        self.queue.send(bodies).await
    }

    async fn send_missing(&self, bodies: Vec<Bytes>) -> Result<usize, QueueError> {
        self.queue.send_missing(bodies).await
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let mut translated = Vec::new();
        for delivery in self.queue.receive(max, wait).await? {
            let id = delivery.id.clone();
            match self.translated(delivery).await {
                Ok(delivery) => translated.extend(delivery),
                // The others of the call are in hand already; this one is delivered again.
                Err(error) => tracing::warn!(delivery = id, %error, "could not settle, the message will come again"),
            }
        }
        Ok(translated)
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.queue.ack(receipt).await
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        self.queue.release(receipt, after).await
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        self.queue.extend(receipt, by).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.queue.depth().await
    }

    fn visibility(&self) -> Duration {
        self.queue.visibility()
    }

    fn blind(&self) -> Option<Blind> {
        self.queue.blind()
    }

    fn longest_poll(&self) -> Duration {
        self.queue.longest_poll()
    }

    fn look_every(&self) -> Duration {
        self.queue.look_every()
    }
}

#[cfg(test)]
mod tests {
    use testkit::LeapClock;
    use testkit::queue::{MemoryQueue, MemoryQueueOptions};

    use super::*;

    fn news(keys: &[&str]) -> Bytes {
        let record = |key: &&str| serde_json::json!({"s3": {"bucket": {"name": "acme-lake"}, "object": {"key": key}}});
        serde_json::json!({ "Records": keys.iter().map(record).collect::<Vec<_>>() }).to_string().into()
    }

    #[tokio::test(start_paused = true)]
    async fn news_is_received_as_events_and_no_object_of_it_is_lost() {
        let queue = MemoryQueue::new(LeapClock::at("2026-01-01T03:00:00Z"), MemoryQueueOptions::default());
        let own = Bytes::from_static(b"{\"bronze\":\"run=20260101T030000Z/batch=00007-ab.jsonl\"}");
        let run = "bronze/run%3D20260101T030000Z";
        let keys = [0, 1].map(|batch| format!("{run}/batch%3D0000{batch}-ab.jsonl"));
        let of_two = news(&[&keys[0], &format!("{run}/_snapshot-ab.jsonl"), &keys[1]]);
        let test = Bytes::from_static(b"{\"Event\":\"s3:TestEvent\"}");
        queue.send(vec![own, of_two, test]).await.unwrap();
        let news = NewsQueue::of_clean(queue.clone(), &Url::parse("s3://acme-lake/bronze").unwrap());
        let mut bodies = Vec::new();
        loop {
            let deliveries = news.receive(10, Duration::ZERO).await.unwrap();
            if deliveries.is_empty() {
                break;
            }
            for delivery in deliveries {
                bodies.push(String::from_utf8(delivery.body.to_vec()).unwrap());
                news.ack(&delivery.receipt).await.unwrap();
            }
        }
        bodies.sort();
        let event = |batch: u32| format!("{{\"bronze\":\"run=20260101T030000Z/batch=0000{batch}-ab.jsonl\"}}");
        assert_eq!(bodies, [0, 1, 7].map(event));
        assert_eq!(queue.depth().await.unwrap().total(), 0);
    }
}
