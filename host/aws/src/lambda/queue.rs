//! The messages of one invocation as a queue, so that a function does what a consumer of SQS does.
//!
//! Does not call SQS: the invocation's answer names the messages that are not done.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use seams::queue::{Delivery, Depth, Queue, QueueError, Receipt};
use tokio::sync::Notify;

use crate::events::BatchRecord;

/// Longer than any invocation: a message in hand stays so until SQS's own time-out, which is longer than the function's.
const VISIBILITY: Duration = Duration::from_secs(12 * 3600);

/// A [`Queue`] of what an invocation has brought.
///
/// Nothing can be sent to it, and a message that is given back is not delivered again: SQS does that. A message may stand for several pieces of
/// work, each a delivery of its own; it is done when all of them are.
#[derive(Debug)]
pub struct BatchQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Message>,
    waiting: VecDeque<(usize, Delivery)>,
    out: HashMap<Receipt, usize>,
    closed: bool,
}

#[derive(Debug)]
struct Message {
    id: String,
    receipt: String,
    receives: u32,
    /// Pieces of work that are not settled.
    open: usize,
    /// The longest that a piece of work was given back for.
    given_back: Option<Duration>,
}

/// A message that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The message.
    pub id: String,
    /// Its receipt in SQS.
    pub receipt: String,
    /// How often it was received.
    pub receives: u32,
    /// How long to wait before the next try, if the consumer that gave it back has said so; none if it was not begun or not finished.
    pub after: Option<Duration>,
}

impl BatchQueue {
    /// Holds messages, each with the bodies of the work that it stands for; one without any is done.
    #[must_use]
    pub fn of(messages: Vec<(BatchRecord, Vec<Bytes>)>) -> Self {
        let mut state = State::default();
        for (index, (record, bodies)) in messages.into_iter().enumerate() {
            let (id, receives) = (record.id, record.receives);
            state.messages.push(Message {
                id: id.clone(),
                receipt: record.receipt,
                receives,
                open: bodies.len(),
                given_back: None,
            });
            let deliveries = bodies.into_iter().enumerate().map(|(part, body)| {
                let receipt = Receipt(format!("{index}/{part}"));
                (index, Delivery { receipt, id: id.clone(), body, receives })
            });
            state.waiting.extend(deliveries);
        }
        BatchQueue { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Hands out nothing more.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_waiters();
    }

    /// Returns when everything is settled.
    pub async fn settled(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_settled() {
                return;
            }
            changed.await;
        }
    }

    /// The messages that are not done, in their order.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Unfinished> {
        let state = self.state();
        let left = state.messages.iter().filter(|message| message.open > 0 || message.given_back.is_some());
        left.map(|message| Unfinished {
            id: message.id.clone(),
            receipt: message.receipt.clone(),
            receives: message.receives,
            after: message.given_back,
        })
        .collect()
    }

    fn is_settled(&self) -> bool {
        let state = self.state();
        state.waiting.is_empty() && state.out.is_empty()
    }

    fn take(&self, max: usize) -> Option<Vec<Delivery>> {
        let mut state = self.state();
        if state.closed {
            return Some(Vec::new());
        }
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some((index, delivery)) = state.waiting.pop_front() else { break };
            state.out.insert(delivery.receipt.clone(), index);
            taken.push(delivery);
        }
        (!taken.is_empty()).then_some(taken)
    }

    fn settle(&self, receipt: &Receipt, given_back: Option<Duration>) -> Result<(), QueueError> {
        let mut state = self.state();
        let index = state.out.remove(receipt).ok_or(QueueError::Expired)?;
        if let Some(message) = state.messages.get_mut(index) {
            match given_back {
                None => message.open = message.open.saturating_sub(1),
                Some(after) => message.given_back = message.given_back.max(Some(after)),
            }
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for BatchQueue {
    async fn send(&self, _: Vec<Bytes>) -> Result<(), QueueError> {
        Err(QueueError::Backend("the messages of an invocation take no other beside them".to_owned()))
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let waited = async {
            loop {
                let changed = self.changed.notified();
                if let Some(taken) = self.take(max) {
                    return taken;
                }
                changed.await;
            }
        };
        Ok(tokio::time::timeout(wait, waited).await.unwrap_or_default())
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.settle(receipt, None)
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        self.settle(receipt, Some(after))
    }

    async fn extend(&self, receipt: &Receipt, _: Duration) -> Result<(), QueueError> {
        if self.state().out.contains_key(receipt) { Ok(()) } else { Err(QueueError::Expired) }
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let state = self.state();
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (ready, in_flight) = (count(state.waiting.len()), count(state.out.len()));
        Ok(Depth { ready, in_flight, ..Depth::default() })
    }

    fn visibility(&self) -> Duration {
        VISIBILITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(works: &[usize]) -> BatchQueue {
        let message = |(index, works): (usize, &usize)| {
            let (id, receipt) = (format!("m{index}"), format!("r{index}"));
            let record = BatchRecord { id, receipt, body: Bytes::new(), receives: 1 };
            (record, vec![Bytes::from_static(b"work"); *works])
        };
        BatchQueue::of(works.iter().enumerate().map(message).collect())
    }

    fn left(queue: &BatchQueue) -> Vec<(String, Option<u64>)> {
        queue.unfinished().into_iter().map(|one| (one.id, one.after.map(|after| after.as_secs()))).collect()
    }

    #[tokio::test]
    async fn a_message_is_done_when_all_of_its_work_is() {
        let queue = messages(&[1, 2, 0, 2]);
        let taken = queue.receive(10, Duration::ZERO).await.unwrap();
        let ids: Vec<&str> = taken.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["m0", "m1", "m1", "m3", "m3"]);
        for one in &taken[..4] {
            queue.ack(&one.receipt).await.unwrap();
        }
        assert_eq!(left(&queue), [("m3".to_owned(), None)]);
        queue.release(&taken[4].receipt, Duration::from_secs(7)).await.unwrap();
        queue.settled().await;
        assert_eq!(left(&queue), [("m3".to_owned(), Some(7))]);
        assert!(matches!(queue.ack(&taken[4].receipt).await, Err(QueueError::Expired)));
    }

    #[tokio::test]
    async fn a_closed_one_hands_out_nothing_and_wakes_who_waits() {
        let queue = messages(&[1, 1]);
        queue.receive(1, Duration::ZERO).await.unwrap();
        let (taken, ()) = tokio::join!(
            async {
                let first = queue.receive(1, Duration::from_secs(60)).await.unwrap();
                let none = queue.receive(1, Duration::from_secs(60)).await.unwrap();
                (first.len(), none.len())
            },
            async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                queue.close();
            }
        );
        assert_eq!(taken, (1, 0));
        assert_eq!(left(&queue), [("m0".to_owned(), None), ("m1".to_owned(), None)]);
        let depth = queue.depth().await.unwrap();
        assert_eq!((depth.ready, depth.in_flight), (0, 2));
    }
}
