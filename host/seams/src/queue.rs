//! Durable messages between the roles, with the meaning of SQS.
//!
//! Does not know what is in a message, nor when one is poison: the consumer driver decides.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use thiserror::Error;

/// The right to settle one delivery. A later delivery of the same message has another receipt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A message as handed to one consumer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names this delivery to `ack`, `release` and `extend`.
    pub receipt: Receipt,
    /// Identifies the message over all its deliveries.
    pub id: String,
    /// The message.
    pub body: Bytes,
    /// How many times the message has been handed out, this time included: at least 1.
    pub receives: u32,
}

/// How many messages there are. Approximate on some backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that may be received now.
    pub ready: u64,
    /// Messages that become ready later: released with a delay.
    pub delayed: u64,
    /// Messages that are handed out and not settled, with visibility not yet over.
    pub in_flight: u64,
    /// When the oldest of all these was first sent; `None` if there is none, or if the backend cannot tell.
    pub oldest: Option<DateTime<Utc>>,
}

impl Depth {
    /// Messages that are not settled.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ready + self.delayed + self.in_flight
    }
}

/// What is known of a queue that cannot tell whether an equal message is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blind {
    /// A message that was sent longer ago than this is no longer there.
    pub retention: Duration,
    /// `depth` is an estimate. Two looks so far apart that both find nothing prove that nothing is there.
    pub settles: Duration,
}

impl Default for Blind {
    /// The longest that SQS keeps a message, and how long its counts take to be right.
    fn default() -> Self {
        Blind { retention: Duration::from_secs(14 * 24 * 3600), settles: Duration::from_secs(60) }
    }
}

/// Why a queue call failed.
#[derive(Debug, Error)]
pub enum QueueError {
    /// The delivery's visibility is over (or it was settled before): another consumer may have the message.
    #[error("the delivery's visibility is over")]
    Expired,
    /// Over the backend's size limit. The caller must put the content into the store and send its place.
    #[error("message of {size} bytes is over the queue's limit of {limit}")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes that fit.
        limit: usize,
    },
    /// The backend failed; the call may or may not have taken effect.
    #[error("queue failed: {0}")]
    Backend(String),
}

/// A queue of messages.
///
/// # Contract
/// * At least once: a sent message is delivered until it is acknowledged; `send` returns when it is durable.
/// * No order is promised.
/// * A delivered message is invisible to others for the queue's visibility timeout, counted from its receipt or the last `extend`;
///   then it is delivered again with `receives` one higher.
/// * A message whose `receives` would pass the queue's `max_receives` is moved to its dead-letter queue, with the body unchanged, instead of being delivered.
/// * `depth` returns when the oldest message was first sent: neither a receive nor a release nor the move to the dead letters makes it
///   younger.
/// * `ack`, `release` and `extend` with a receipt whose visibility is over are `QueueError::Expired` and change nothing.
/// * A `receive` that is dropped while it waits loses nothing but time: what was handed out with it is delivered again after its visibility.
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Adds messages, all of them or an error; after an error some may be there.
    async fn send(&self, bodies: Vec<Bytes>) -> Result<(), QueueError>;

    /// Adds the messages that have no equal there, and returns how many were added. Equal means: the same bytes, waiting or in flight, here
    /// or in the dead-letter queue. Looking and adding are one step, so that of several senders of the same message only one adds it.
    ///
    /// This only saves work: a queue that cannot look (a standard queue of SQS) may add all of them, as it does unless an adapter says
    /// otherwise. An equal message that is in flight counts, because it is either acknowledged when its work is durable or delivered again.
    async fn send_missing(&self, bodies: Vec<Bytes>) -> Result<usize, QueueError> {
        let count = bodies.len();
        self.send(bodies).await?;
        Ok(count)
    }

    /// Takes at most `max` messages; waits up to `wait` for the first one. Empty when none came.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError>;

    /// Removes the message for good.
    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError>;

    /// Gives the message back, to be delivered again no earlier than `after` from now.
    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError>;

    /// Keeps the message invisible for `by` from now.
    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError>;

    /// How many messages there are.
    async fn depth(&self) -> Result<Depth, QueueError>;

    /// The visibility timeout that a delivery starts with.
    fn visibility(&self) -> Duration;

    /// `None` if `send_missing` looks for equal messages and `depth` is exact. Else sending a message again may double it, and the sender
    /// has to know by other means that it is no longer there.
    fn blind(&self) -> Option<Blind> {
        Some(Blind::default())
    }

    /// How long an idle consumer lets one `receive` wait. Where each call costs money, that is as long as a call can wait.
    fn longest_poll(&self) -> Duration {
        SHORT_POLL
    }

    /// The least time between two calls of `depth` by a command that only looks now and then: zero where a call costs nothing.
    fn look_every(&self) -> Duration {
        Duration::ZERO
    }
}

/// A poll that costs nothing: it also bounds how long a stop waits for it.
pub const SHORT_POLL: Duration = Duration::from_millis(500);

/// A queue, and the dead-letter queue for what was received too often.
#[derive(Clone, Debug)]
pub struct StageQueue {
    /// The queue.
    pub live: Arc<dyn Queue>,
    /// Its dead letters.
    pub dead: Arc<dyn Queue>,
}
