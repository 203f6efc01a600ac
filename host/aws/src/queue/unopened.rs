//! A stage's queues in a process that need not use them: opened with the first call, which may never come.
//!
//! Saves a starting function the calls that look at queues which other processes take from.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use seams::clock::Clock;
use seams::queue::{Blind, Delivery, Depth, Queue, QueueError, Receipt, StageQueue};
use tokio::sync::OnceCell;
use url::Url;

use super::call::{LONGEST_POLL, LOOK_EVERY};
use super::stages::open_stage;
use crate::cloud::Cloud;

/// What SQS gives a queue that was made without a visibility timeout.
const DEFAULT_VISIBILITY: Duration = Duration::from_secs(30);

/// The two queues that [`open_stage`] opens, not opened yet: the first call of either does it, and fails as `open_stage` does. One that has
/// failed is tried again with the next call.
#[must_use]
pub fn unopened_stage(
    cloud: &Cloud,
    base: &Url,
    stage: &str,
    max_receives: NonZeroU32,
    clock: &Arc<dyn Clock>,
) -> StageQueue {
    let stage = Arc::new(Stage {
        cloud: cloud.clone(),
        base: base.clone(),
        name: stage.to_owned(),
        max_receives,
        clock: Arc::clone(clock),
        opened: OnceCell::new(),
    });
    let side = |dead| Arc::new(Side { stage: Arc::clone(&stage), dead });
    StageQueue { live: side(false), dead: side(true) }
}

#[derive(Debug)]
struct Stage {
    cloud: Cloud,
    base: Url,
    name: String,
    max_receives: NonZeroU32,
    clock: Arc<dyn Clock>,
    opened: OnceCell<StageQueue>,
}

/// One of the two.
#[derive(Debug)]
struct Side {
    stage: Arc<Stage>,
    dead: bool,
}

impl Side {
    async fn queue(&self) -> Result<&Arc<dyn Queue>, QueueError> {
        let Stage { cloud, base, name, max_receives, clock, opened } = &*self.stage;
        let queues = opened.get_or_try_init(|| open_stage(cloud, base, name, *max_receives, clock)).await?;
        Ok(self.of(queues))
    }

    fn of<'a>(&self, queues: &'a StageQueue) -> &'a Arc<dyn Queue> {
        if self.dead { &queues.dead } else { &queues.live }
    }
}

#[async_trait]
impl Queue for Side {
    async fn send(&self, bodies: Vec<Bytes>) -> Result<(), QueueError> {
        self.queue().await?.send(bodies).await
    }

    async fn send_missing(&self, bodies: Vec<Bytes>) -> Result<usize, QueueError> {
        self.queue().await?.send_missing(bodies).await
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.queue().await?.receive(max, wait).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.queue().await?.ack(receipt).await
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        self.queue().await?.release(receipt, after).await
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        self.queue().await?.extend(receipt, by).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.queue().await?.depth().await
    }

    /// A caller that holds a delivery has opened the queue.
    fn visibility(&self) -> Duration {
        self.stage.opened.get().map_or(DEFAULT_VISIBILITY, |queues| self.of(queues).visibility())
    }

    /// An unopened queue knows the least.
    fn blind(&self) -> Option<Blind> {
        self.stage.opened.get().map_or(Some(Blind::default()), |queues| self.of(queues).blind())
    }

    fn longest_poll(&self) -> Duration {
        LONGEST_POLL
    }

    fn look_every(&self) -> Duration {
        LOOK_EVERY
    }
}
