//! The queue's contract in memory, on the engine's clock.
//!
//! Does not survive anything: `local` has a durable queue.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use seams::clock::Clock;
use seams::queue::{Blind, Delivery, Depth, Queue, QueueError, Receipt};
use tokio::sync::Notify;

/// How the queue hands out messages.
#[derive(Clone, Debug)]
pub struct MemoryQueueOptions {
    /// How long a delivered message stays invisible.
    pub visibility: Duration,
    /// How often a message is delivered before it moves to `dead_letters`.
    pub max_receives: NonZeroU32,
    /// Takes the messages that passed `max_receives`; without one they are delivered for ever.
    pub dead_letters: Option<Arc<MemoryQueue>>,
    /// Most bytes of one message.
    pub max_message: usize,
    /// Set if it cannot look for equal messages, as a queue of SQS cannot: what is known of it instead.
    pub blind: Option<Blind>,
}

impl Default for MemoryQueueOptions {
    /// 60 s, 10 receives, no dead-letter queue, 1 MiB; it looks for equal messages.
    fn default() -> Self {
        let max_receives = NonZeroU32::new(10).expect("not zero");
        MemoryQueueOptions {
            visibility: Duration::from_secs(60),
            max_receives,
            dead_letters: None,
            max_message: 1 << 20,
            blind: None,
        }
    }
}

#[derive(Debug)]
struct Message {
    id: String,
    body: Bytes,
    sent_at: DateTime<Utc>,
    receives: u32,
    visible_at: DateTime<Utc>,
    receipt: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Message>,
    sent: u64,
    deliveries: u64,
}

impl State {
    fn add(&mut self, body: Bytes, now: DateTime<Utc>) {
        self.sent += 1;
        let id = format!("m{}", self.sent);
        self.messages.push(Message { id, body, sent_at: now, receives: 0, visible_at: now, receipt: None });
    }

    fn holds(&self, body: &Bytes) -> bool {
        self.messages.iter().any(|message| message.body == *body)
    }
}

/// [`Queue`] in memory.
#[derive(Debug)]
pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    options: MemoryQueueOptions,
    state: Mutex<State>,
    bell: Notify,
}

fn later(instant: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    let span = TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
    instant.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, options: MemoryQueueOptions) -> Arc<Self> {
        Arc::new(MemoryQueue { clock, options, state: Mutex::default(), bell: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fits(&self, bodies: &[Bytes]) -> Result<(), QueueError> {
        let limit = self.options.max_message;
        match bodies.iter().find(|body| body.len() > limit) {
            Some(body) => Err(QueueError::TooLarge { size: body.len(), limit }),
            None => Ok(()),
        }
    }

    fn take(&self, max: usize) -> Vec<Delivery> {
        let now = self.clock.now();
        self.bury(now);
        let mut state = self.state();
        let State { messages, deliveries, .. } = &mut *state;
        let ready = messages.iter_mut().filter(|message| message.visible_at <= now).take(max);
        ready
            .map(|message| {
                *deliveries += 1;
                let receipt = format!("{}-{deliveries}", message.id);
                message.receives += 1;
                message.visible_at = later(now, self.options.visibility);
                message.receipt = Some(receipt.clone());
                Delivery {
                    receipt: Receipt(receipt),
                    id: message.id.clone(),
                    body: message.body.clone(),
                    receives: message.receives,
                }
            })
            .collect()
    }

    /// Moves messages that have been received too often to the dead-letter queue, where their counts start again.
    fn bury(&self, now: DateTime<Utc>) {
        let Some(dead_letters) = &self.options.dead_letters else { return };
        let max = self.options.max_receives.get();
        // Locked until they are there: no consumer finds them in neither queue.
        let mut state = self.state();
        let dead: Vec<_> = state.messages.extract_if(.., |m| m.visible_at <= now && m.receives >= max).collect();
        if dead.is_empty() {
            return;
        }
        let moved = dead.into_iter().map(|message| Message { receives: 0, visible_at: now, receipt: None, ..message });
        dead_letters.state().messages.extend(moved);
        dead_letters.bell.notify_waiters();
    }

    /// Applies `change` to the message of that delivery, if its visibility is not over.
    fn settle(
        &self,
        receipt: &Receipt,
        change: impl FnOnce(&mut Vec<Message>, usize, DateTime<Utc>),
    ) -> Result<(), QueueError> {
        let now = self.clock.now();
        let mut state = self.state();
        let held = |message: &Message| message.receipt.as_ref() == Some(&receipt.0) && message.visible_at > now;
        let index = state.messages.iter().position(held).ok_or(QueueError::Expired)?;
        change(&mut state.messages, index, now);
        drop(state);
        self.bell.notify_waiters();
        Ok(())
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, bodies: Vec<Bytes>) -> Result<(), QueueError> {
        self.fits(&bodies)?;
        let now = self.clock.now();
        let mut state = self.state();
        for body in bodies {
            state.add(body, now);
        }
        drop(state);
        self.bell.notify_waiters();
        Ok(())
    }

    async fn send_missing(&self, bodies: Vec<Bytes>) -> Result<usize, QueueError> {
        self.fits(&bodies)?;
        if self.options.blind.is_some() {
            let count = bodies.len();
            return self.send(bodies).await.map(|()| count);
        }
        let now = self.clock.now();
        let mut state = self.state();
        // Locked in the order of `bury`.
        let dead = self.options.dead_letters.as_ref().map(|dead| dead.state());
        let before = state.messages.len();
        for body in bodies {
            let is_dead = dead.as_ref().is_some_and(|dead| dead.holds(&body));
            if !is_dead && !state.holds(&body) {
                state.add(body, now);
            }
        }
        let sent = state.messages.len() - before;
        drop((state, dead));
        self.bell.notify_waiters();
        Ok(sent)
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let deadline = later(self.clock.now(), wait);
        loop {
            let rung = self.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let deliveries = self.take(max);
            let now = self.clock.now();
            if !deliveries.is_empty() || now >= deadline {
                return Ok(deliveries);
            }
            // The next message that becomes visible by itself, or the end of the wait.
            let next = self.state().messages.iter().map(|message| message.visible_at).min().unwrap_or(deadline);
            tokio::select! {
                () = rung => {}
                () = self.clock.sleep_until(next.min(deadline)) => {}
            }
        }
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.settle(receipt, |messages, index, _| drop(messages.remove(index)))
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        self.settle(receipt, |messages, index, now| {
            messages[index].receipt = None;
            messages[index].visible_at = later(now, after);
        })
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        self.settle(receipt, |messages, index, now| messages[index].visible_at = later(now, by))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let now = self.clock.now();
        let mut depth = Depth::default();
        for message in &self.state().messages {
            let count = match (message.visible_at <= now, &message.receipt) {
                (true, _) => &mut depth.ready,
                (false, None) => &mut depth.delayed,
                (false, Some(_)) => &mut depth.in_flight,
            };
            *count += 1;
            depth.oldest = Some(depth.oldest.map_or(message.sent_at, |oldest| oldest.min(message.sent_at)));
        }
        Ok(depth)
    }

    fn visibility(&self) -> Duration {
        self.options.visibility
    }

    fn blind(&self) -> Option<Blind> {
        self.options.blind
    }
}
