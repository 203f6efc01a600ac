//! One standard queue of SQS.
//!
//! Does not make the queue or set it up: time-outs, sizes and dead letters are the queue's own, read when it is opened.
//!
//! SQS lets a consumer whose time is over still settle a delivery. So deliveries in hand are remembered here, each with its end: a late
//! receipt is `Expired` before SQS is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use bytes::Bytes;
use chrono::TimeDelta;
use seams::clock::Clock;
use seams::queue::{Blind, Delivery, Depth, Queue, QueueError, Receipt};
use url::Url;

use super::batches::{Batches, Settle};
use super::call::{BATCH, LONGEST, LONGEST_POLL, LOOK_EVERY, failed, region_of};
use super::leases::{Leases, seconds};
use super::unclaimed::Unclaimed;
use super::{body, sending};
use crate::cloud::Cloud;

/// How a queue is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqsOptions {
    /// For a dead-letter queue: how often messages were received before they came here. SQS counts on when it moves a message; the
    /// engine counts from the move.
    pub received_before: u32,
}

/// [`Queue`] over a queue of SQS.
///
/// * Bodies that are XML text go as they are, others in base64 behind a mark; the queue's limit holds for what goes.
/// * `receive` waits in long polls of at most 20 s. For more than ten it goes on until it has `max` messages or none comes.
/// * `ack`, `release` and `extend` that are called while another call is under way go together, up to ten at once, in their order.
/// * A delivery can be held for 12 h; `release` and `extend` past that end there.
/// * `depth` is SQS's approximation, and never says how old the oldest is: SQS keeps only a metric of that. Delayed is what this process has
///   released with a delay; what others have counts as in flight.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: aws_sdk_sqs::Client,
    pub(super) url: String,
    pub(super) attributes: Arc<HashMap<QueueAttributeName, String>>,
    visibility: Duration,
    pub(super) max_message: usize,
    pub(super) options: SqsOptions,
    clock: Arc<dyn Clock>,
    leases: Arc<Leases>,
    deletes: Batches,
    changes: Batches,
}

impl SqsQueue {
    /// The queue at `url`, as SQS names it: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`.
    ///
    /// # Errors
    /// `QueueError::Backend` if it is not there, may not be seen, or is a FIFO queue.
    pub async fn open(
        cloud: &Cloud,
        url: &Url,
        options: SqsOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, QueueError> {
        let client = cloud.sqs(region_of(url));
        let url = url.to_string();
        let call = client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
        let told = call.send().await.map_err(|error| failed("GetQueueAttributes", &url, &error))?;
        let attributes = told.attributes.unwrap_or_default();
        if attributes.get(&QueueAttributeName::FifoQueue).is_some_and(|is| is == "true") {
            let text = format!("`{url}` is a FIFO queue, expected a standard one\nhint: make a queue without `.fifo`");
            return Err(QueueError::Backend(text));
        }
        let number = |name| number(&attributes, &name, &url);
        let visibility = Duration::from_secs(number(QueueAttributeName::VisibilityTimeout)?);
        if visibility.is_zero() {
            let text =
                format!("`{url}` has a `VisibilityTimeout` of 0 s: its messages would be with everybody at once");
            return Err(QueueError::Backend(format!("{text}\nhint: set it to 60 s or more")));
        }
        let max_message = usize::try_from(number(QueueAttributeName::MaximumMessageSize)?).unwrap_or(usize::MAX);
        Ok(SqsQueue {
            deletes: Batches::start(client.clone(), url.clone()),
            changes: Batches::start(client.clone(), url.clone()),
            client,
            url,
            attributes: Arc::new(attributes),
            visibility,
            max_message,
            options,
            clock,
            leases: Arc::default(),
        })
    }

    /// Receives once, and waits up to `wait`, in whole seconds.
    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let call = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(max.min(BATCH)).unwrap_or(1))
            .wait_time_seconds(seconds(wait.min(LONGEST_POLL)))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let told = call.send().await.map_err(|error| failed("ReceiveMessage", &self.url, &error))?;
        told.messages.unwrap_or_default().into_iter().map(|message| self.deliver(message)).collect()
    }

    fn deliver(&self, message: Message) -> Result<Delivery, QueueError> {
        let counted = message.attributes.as_ref();
        let counted = counted.and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
        let counted: u32 = counted.and_then(|count| count.parse().ok()).unwrap_or(1);
        let before = self.options.received_before;
        let (Some(receipt), Some(id), Some(text)) = (message.receipt_handle, message.message_id, message.body) else {
            return Err(QueueError::Backend(format!("`{}` gave a message without receipt, id or body", self.url)));
        };
        self.leases.grant(&receipt, self.clock.now(), self.visibility);
        let receives = if counted > before { counted - before } else { counted.max(1) };
        Ok(Delivery { receipt: Receipt(receipt), id, body: body::decode(text), receives })
    }
}

/// A number among the attributes that SQS returned for a queue.
fn number(
    attributes: &HashMap<QueueAttributeName, String>,
    name: &QueueAttributeName,
    url: &str,
) -> Result<u64, QueueError> {
    let text =
        attributes.get(name).ok_or_else(|| QueueError::Backend(format!("`{url}` does not tell its `{name}`")))?;
    text.parse().map_err(|_| QueueError::Backend(format!("`{url}` has `{text}` as its `{name}`, expected a number")))
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, bodies: Vec<Bytes>) -> Result<(), QueueError> {
        let texts: Vec<String> = bodies.iter().map(|body| body::encode(body)).collect();
        if let Some(text) = texts.iter().find(|text| text.len() > self.max_message) {
            return Err(QueueError::TooLarge { size: text.len(), limit: self.max_message });
        }
        sending::send(&self.client, &self.url, texts).await
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let until = self.clock.now() + TimeDelta::from_std(wait).unwrap_or(LONGEST);
        let mut left = wait;
        let taken = loop {
            let taken = self.take(max, left).await?;
            let now_left = (until - self.clock.now()).to_std().unwrap_or_default();
            // A poll waits whole seconds; less than one is not worth another poll. If as much is left as before, the clock was set back.
            if !taken.is_empty() || now_left < Duration::from_secs(1) || now_left >= left {
                break taken;
            }
            left = now_left;
        };
        let mut taken = Unclaimed::of(&*self.clock, &self.leases, &self.changes, taken);
        // What one call can take is one call: a second one would mostly be paid for nothing.
        while max > BATCH && taken.count() > 0 && taken.count() < max {
            match self.take(max - taken.count(), Duration::ZERO).await {
                Ok(more) if more.is_empty() => break,
                Ok(more) => taken.add(more),
                Err(error) => {
                    // The messages in hand are more urgent: their time is running.
                    tracing::debug!(queue = self.url, %error, "took fewer messages than there may be");
                    break;
                }
            }
        }
        Ok(taken.claim())
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let lease = self.leases.take(receipt, self.clock.now())?;
        let done = self.deletes.settle(receipt, Settle::Delete).await;
        if matches!(done, Err(QueueError::Backend(_))) {
            self.leases.give_back(receipt, lease);
        }
        done
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        let now = self.clock.now();
        let lease = self.leases.take(receipt, now)?;
        let after = lease.room(now, after);
        let done = self.changes.settle(receipt, Settle::Invisible(seconds(after))).await;
        match done {
            Ok(()) => self.leases.delayed_until(now, after),
            Err(QueueError::Backend(_)) => self.leases.give_back(receipt, lease),
            Err(_) => {}
        }
        done
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        let now = self.clock.now();
        let by = self.leases.held(receipt, now)?.room(now, by);
        self.changes.settle(receipt, Settle::Invisible(seconds(by))).await?;
        self.leases.extend(receipt, now, by);
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let call = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
        let told = call.send().await.map_err(|error| failed("GetQueueAttributes", &self.url, &error))?;
        let told = told.attributes.unwrap_or_default();
        // A count that is missing is not 0: a queue that looks empty gets its messages again.
        let count = |name| number(&told, &name, &self.url);
        let invisible = count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)?;
        let released = self.leases.delayed(self.clock.now()).min(invisible);
        Ok(Depth {
            ready: count(QueueAttributeName::ApproximateNumberOfMessages)?,
            delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed)? + released,
            in_flight: invisible - released,
            oldest: None,
        })
    }

    fn visibility(&self) -> Duration {
        self.visibility
    }

    fn blind(&self) -> Option<Blind> {
        let told = self.attributes.get(&QueueAttributeName::MessageRetentionPeriod);
        let told = told.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let usual = Blind::default();
        Some(Blind { retention: told.unwrap_or(usual.retention), ..usual })
    }

    fn longest_poll(&self) -> Duration {
        LONGEST_POLL
    }

    fn look_every(&self) -> Duration {
        LOOK_EVERY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_missing_or_no_number_is_not_zero() {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let of = |text: &str| number(&HashMap::from([(name.clone(), text.to_owned())]), &name, "https://q");
        assert_eq!(of("7").unwrap(), 7);
        for (wrong, says) in [
            (of("-1").unwrap_err(), "has `-1` as its `ApproximateNumberOfMessages`, expected a number"),
            (
                number(&HashMap::new(), &name, "https://q").unwrap_err(),
                "does not tell its `ApproximateNumberOfMessages`",
            ),
        ] {
            assert!(wrong.to_string().contains(says), "{wrong}");
        }
    }
}
