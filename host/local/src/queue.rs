//! The queue of a laptop: several named queues in one SQLite file, with the meaning of SQS.
//!
//! Does not know what is in a message, and does not order messages, though the oldest ready one usually comes first.
//!
//! The file is the truth and may be shared by processes. A waiting `receive` is woken by a `send` of its own process and looks for
//! those of others a few times a second. All times come from the engine's clock, so that a test can let them pass.

mod ledger;
mod view;
mod writer;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Connection;
use seams::clock::Clock;
use seams::queue::{Blind, Delivery, Depth, Queue, QueueError, Receipt};
use tokio::sync::Notify;

use self::ledger::{Lease, micros};
pub use self::view::{ClosedQueue, QueueView};
use self::writer::Writer;

/// Time between two looks for messages of other processes: the first, doubled each time, and the longest.
const POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(200));

/// How a queue hands out messages.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// How long a delivered message stays invisible.
    pub visibility: Duration,
    /// How often a message is delivered before it moves to `dead_letters`. Without a dead-letter queue it is delivered for ever.
    pub max_receives: NonZeroU32,
    /// The queue of the same file for messages that passed `max_receives`. Their counts start again there.
    pub dead_letters: Option<String>,
    /// Most bytes of one message.
    pub max_message: usize,
}

impl Default for QueueOptions {
    /// 60 s, 10 receives, no dead-letter queue, and 1 MiB a message as in SQS.
    fn default() -> Self {
        let max_receives = NonZeroU32::MIN.saturating_add(9);
        QueueOptions { visibility: Duration::from_secs(60), max_receives, dead_letters: None, max_message: 1 << 20 }
    }
}

/// One file of queues.
#[derive(Clone, Debug)]
pub struct SqliteQueues {
    path: PathBuf,
    writer: Writer,
    clock: Arc<dyn Clock>,
    /// Notified when a message of the queue of that name becomes ready.
    bells: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
}

impl SqliteQueues {
    /// Opens the file at `path`, and creates it and its folder if they are missing.
    ///
    /// # Errors
    /// `QueueError::Backend` when the file cannot be opened, is no queue file, or was written by a newer version.
    pub async fn open(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let path = path.into();
        let writer = Writer::open(path.clone()).await?;
        Ok(SqliteQueues { path, writer, clock, bells: Arc::default() })
    }

    /// The queue of that name; it need not be created first.
    #[must_use]
    pub fn queue(&self, name: &str, options: QueueOptions) -> SqliteQueue {
        let bell = self.bell(name);
        let dead_bell = options.dead_letters.as_deref().map(|name| self.bell(name));
        SqliteQueue {
            writer: self.writer.clone(),
            clock: Arc::clone(&self.clock),
            name: name.into(),
            options,
            bell,
            dead_bell,
        }
    }

    /// Rewrites the file without the remains of deleted messages, which it otherwise keeps until their space is reused.
    ///
    /// # Errors
    /// `QueueError::Backend` when the file is in use for longer than a transaction may take.
    pub async fn scrub(&self) -> Result<(), QueueError> {
        let path = self.path.clone();
        let scrubbed = tokio::task::spawn_blocking(move || writer::scrub(&path)).await;
        let failed = |error: &dyn std::fmt::Display| QueueError::Backend(format!("cannot scrub the queue: {error}"));
        scrubbed.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }

    /// The name of a stage's queue for messages of one lake. Messages of another lake, which may have been at the same place before, have another
    /// name: they stay in the file, and no host works on them.
    #[must_use]
    pub fn name_of(stage: &str, lake: &str) -> String {
        format!("{stage}{}{lake}", ledger::OF_LAKE)
    }

    /// Assigns messages that a host of an earlier version sent to `lake`; returns their number.
    ///
    /// # Errors
    /// `QueueError::Backend` when the file cannot be written.
    pub async fn adopt(&self, lake: &str) -> Result<usize, QueueError> {
        let lake = lake.to_owned();
        self.writer.run(move |db| ledger::adopt(db, &lake)).await
    }

    /// The number of messages of other lakes in the file (of `lake` if `own`), and their size in bytes.
    ///
    /// # Errors
    /// `QueueError::Backend` when the file cannot be read.
    pub async fn kept(&self, lake: &str, own: bool) -> Result<(u64, u64), QueueError> {
        let lake = lake.to_owned();
        self.writer.run(move |db| ledger::kept(db, &lake, own)).await
    }

    /// Removes the messages of other lakes (of `lake` if `own`), and every trace of them in the file.
    ///
    /// # Errors
    /// `QueueError::Backend` when the file cannot be written.
    pub async fn discard(&self, lake: &str, own: bool) -> Result<usize, QueueError> {
        let lake = lake.to_owned();
        let gone = self.writer.run(move |db| ledger::discard(db, &lake, own)).await?;
        self.scrub().await?;
        Ok(gone)
    }

    fn bell(&self, name: &str) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(name.to_string()).or_default())
    }
}

/// [`Queue`] in a SQLite file.
///
/// A call has taken effect on disk when it returns. Calls that are made at the same time share one transaction, and so one sync.
#[derive(Clone, Debug)]
pub struct SqliteQueue {
    writer: Writer,
    clock: Arc<dyn Clock>,
    name: Arc<str>,
    options: QueueOptions,
    bell: Arc<Notify>,
    dead_bell: Option<Arc<Notify>>,
}

impl SqliteQueue {
    fn now(&self) -> i64 {
        micros(self.clock.now())
    }

    /// `span` from now.
    fn after(&self, span: Duration) -> i64 {
        self.now().saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
    }

    /// Refuses a message over the limit.
    fn fits(&self, bodies: &[Bytes]) -> Result<(), QueueError> {
        let limit = self.options.max_message;
        match bodies.iter().find(|body| body.len() > limit) {
            Some(body) => Err(QueueError::TooLarge { size: body.len(), limit }),
            None => Ok(()),
        }
    }

    fn lease(&self, receipt: &Receipt) -> Result<Lease, QueueError> {
        Lease::parse(&self.name, receipt, self.now()).ok_or(QueueError::Expired)
    }

    /// What is ready now, without waiting.
    async fn take(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let request = ledger::Take {
            queue: Arc::clone(&self.name),
            dead_letters: self.options.dead_letters.clone(),
            max_receives: self.options.max_receives.get(),
            max,
            now: self.now(),
            until: self.after(self.options.visibility),
        };
        let name = Arc::clone(&self.name);
        let now = request.now;
        let taken = self
            .writer
            .run_if(move |db| ledger::any_ready(db, &name, now), move |db| ledger::take(db, &request))
            .await?;
        let taken = taken.unwrap_or_default();
        if let Some(back) = taken.set_back {
            let by_s = back / 1_000_000;
            tracing::warn!(
                by_s,
                "the clock was set back: what waits in the queue is moved with it, and waits no longer"
            );
        }
        if let Some(bell) = self.dead_bell.as_ref().filter(|_| taken.buried > 0) {
            tracing::warn!(queue = %self.name, messages = taken.buried, "messages passed their receives and moved to the dead-letter queue");
            bell.notify_waiters();
        }
        Ok(taken.deliveries)
    }
}

/// A settling call whose receipt no longer holds.
fn held(changed: bool) -> Result<(), QueueError> {
    if changed { Ok(()) } else { Err(QueueError::Expired) }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn send(&self, bodies: Vec<Bytes>) -> Result<(), QueueError> {
        self.fits(&bodies)?;
        let (name, now) = (Arc::clone(&self.name), self.now());
        self.writer.run(move |db| ledger::send(db, &name, &bodies, now)).await?;
        self.bell.notify_waiters();
        Ok(())
    }

    async fn send_missing(&self, bodies: Vec<Bytes>) -> Result<usize, QueueError> {
        self.fits(&bodies)?;
        let (name, now) = (Arc::clone(&self.name), self.now());
        let dead = self.options.dead_letters.clone();
        let send = move |db: &Connection| ledger::send_missing(db, &name, dead.as_deref(), &bodies, now);
        let sent = self.writer.run(send).await?;
        self.bell.notify_waiters();
        Ok(sent)
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let deadline = self.clock.now().checked_add_signed(TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX));
        let deadline = deadline.unwrap_or(DateTime::<Utc>::MAX_UTC);
        // Also counted down: a clock that is set back meanwhile would keep the caller for as long.
        let (mut pause, mut left) = (POLL.0, wait);
        loop {
            // Listening starts before the look, so that a message sent in between is not slept through.
            let rung = self.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let deliveries = self.take(max).await?;
            if !deliveries.is_empty() || max == 0 {
                return Ok(deliveries);
            }
            left = left.min((deadline - self.clock.now()).to_std().unwrap_or_default());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            let step = pause.min(left);
            tokio::select! {
                () = rung => {}
                () = self.clock.sleep(step) => (pause, left) = ((pause * 2).min(POLL.1), left - step),
            }
        }
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let lease = self.lease(receipt)?;
        held(self.writer.run(move |db| ledger::delete(db, &lease)).await?)
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        let (lease, ready_at) = (self.lease(receipt)?, self.after(after));
        held(self.writer.run(move |db| ledger::give_back(db, &lease, ready_at)).await?)?;
        if after.is_zero() {
            self.bell.notify_waiters();
        }
        Ok(())
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        let (lease, until) = (self.lease(receipt)?, self.after(by));
        held(self.writer.run(move |db| ledger::extend(db, &lease, until)).await?)
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let (name, now) = (Arc::clone(&self.name), self.now());
        self.writer.run(move |db| ledger::depth(db, &name, now)).await
    }

    fn visibility(&self) -> Duration {
        self.options.visibility
    }

    fn blind(&self) -> Option<Blind> {
        None
    }
}
