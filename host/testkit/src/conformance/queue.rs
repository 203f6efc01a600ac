//! The clauses of the queue's contract.
//!
//! Does not check order, which no queue promises.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seams::queue::{Delivery, Depth, Queue, QueueError};

use super::PassTime;

/// A queue under test, empty. It has a dead-letter queue.
pub struct QueueRig {
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The queue for messages that passed `max_receives`.
    pub dead_letters: Arc<dyn Queue>,
    /// The queue's bound on receives; a small one keeps the suite fast.
    pub max_receives: u32,
    /// The queue's limit in bytes.
    pub max_message: usize,
    /// Whether `send_missing` finds equal messages, and does not add everything.
    pub finds_equals: bool,
    /// Whether `depth` reports the oldest message.
    pub tells_oldest: bool,
    /// Lets time pass for the queue.
    pub pass: PassTime,
    /// Kept until the clause is over.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// Makes a test of every clause; the argument is an async closure that returns a [`QueueRig`].
#[macro_export]
macro_rules! queue_conformance {
    ($rig:expr) => {
        $crate::conformance_tests!(queue, $rig;
            a_message_arrives_as_it_was_sent,
            a_batch_arrives_whole_and_without_doubles,
            a_receive_takes_at_most_its_maximum,
            an_empty_queue_answers_after_the_wait,
            a_waiting_receive_is_woken_by_a_send,
            a_waiting_receive_sees_a_visibility_end,
            a_delivered_message_is_invisible,
            lease_expiry_redelivers_once,
            an_acknowledged_message_never_comes_back,
            ack_after_expiry_is_its_own_error,
            a_stale_receipt_cannot_settle_a_newer_delivery,
            a_delivery_is_settled_once,
            a_made_up_receipt_is_expired,
            a_released_message_is_ready_at_once,
            a_release_may_be_delayed,
            an_extended_delivery_stays_invisible,
            extend_counts_from_now,
            extend_after_expiry_changes_nothing,
            dead_letters_after_max_receives,
            a_dead_letter_starts_with_no_receives,
            what_is_too_large_is_refused_whole,
            depth_tells_ready_delayed_and_in_flight_apart,
            depth_tells_when_the_oldest_was_first_sent,
            racing_receivers_share_no_message,
            what_is_missing_is_sent,
            what_is_there_is_not_sent_again,
            what_is_gone_is_missing,
            of_racing_senders_of_the_same_one_sends_it,
        );
    };
}

const NOW: Duration = Duration::ZERO;

fn bodies(count: usize) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(format!("message {n}"))).collect()
}

impl QueueRig {
    async fn send(&self, body: &'static [u8]) {
        self.queue.send(vec![Bytes::from_static(body)]).await.unwrap();
    }

    /// The messages that are ready now.
    async fn ready(&self) -> Vec<Delivery> {
        self.queue.receive(100, NOW).await.unwrap()
    }

    /// The only message that is ready now.
    async fn only(&self) -> Delivery {
        let mut ready = self.ready().await;
        assert_eq!(ready.len(), 1, "expected one ready message, got {ready:?}");
        ready.remove(0)
    }

    async fn pass_visibility(&self) {
        (self.pass)(self.queue.visibility() + Duration::from_millis(1)).await;
    }
}

fn assert_expired(result: Result<(), QueueError>) {
    assert!(matches!(result, Err(QueueError::Expired)), "expected `Expired`, got {result:?}");
}

/// Every byte, and the first receive is number 1.
pub async fn a_message_arrives_as_it_was_sent(rig: QueueRig) {
    let body: Vec<u8> = (0..=255).cycle().take(2000).collect();
    rig.queue.send(vec![body.clone().into()]).await.unwrap();
    let got = rig.only().await;
    assert_eq!((&got.body[..], got.receives), (&body[..], 1));
}

/// Fifty messages sent at once are fifty deliveries with ids and receipts of their own.
pub async fn a_batch_arrives_whole_and_without_doubles(rig: QueueRig) {
    rig.queue.send(bodies(50)).await.unwrap();
    let mut got = Vec::new();
    loop {
        let more = rig.queue.receive(10, NOW).await.unwrap();
        if more.is_empty() {
            break;
        }
        got.extend(more);
    }
    let distinct = |of: fn(&Delivery) -> Vec<u8>| got.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(got.len(), 50);
    assert_eq!(distinct(|d| d.body.to_vec()), 50);
    assert_eq!(distinct(|d| d.id.clone().into_bytes()), 50);
    assert_eq!(distinct(|d| d.receipt.0.clone().into_bytes()), 50);
}

/// `max` is a bound, and the rest stays ready.
pub async fn a_receive_takes_at_most_its_maximum(rig: QueueRig) {
    rig.queue.send(bodies(5)).await.unwrap();
    let first = rig.queue.receive(2, NOW).await.unwrap();
    assert!((1..=2).contains(&first.len()), "{}", first.len());
    assert_eq!(first.len() + rig.ready().await.len(), 5);
}

/// An empty queue is no error; the answer comes when the wait is over, not before.
pub async fn an_empty_queue_answers_after_the_wait(rig: QueueRig) {
    assert!(rig.ready().await.is_empty());
    let queue = Arc::clone(&rig.queue);
    let waiting = tokio::spawn(async move { queue.receive(1, Duration::from_secs(1)).await });
    (rig.pass)(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished(), "answered before the wait was over");
    // In small steps: a poll that was waiting when time leapt goes to sleep again.
    for _ in 0..20 {
        (rig.pass)(Duration::from_millis(100)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let got = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the wait ends").unwrap().unwrap();
    assert!(got.is_empty());
}

/// A receive that waits gets what is sent meanwhile, long before its wait is over.
pub async fn a_waiting_receive_is_woken_by_a_send(rig: QueueRig) {
    let queue = Arc::clone(&rig.queue);
    let waiting = tokio::spawn(async move { queue.receive(1, Duration::from_secs(20)).await });
    (rig.pass)(Duration::from_millis(20)).await;
    rig.send(b"wake up").await;
    let got =
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the send wakes it").unwrap().unwrap();
    assert_eq!(got[0].body, "wake up");
}

/// A receive that waits gets a message whose visibility ends meanwhile.
pub async fn a_waiting_receive_sees_a_visibility_end(rig: QueueRig) {
    rig.send(b"again").await;
    rig.only().await;
    let (queue, wait) = (Arc::clone(&rig.queue), rig.queue.visibility() * 3);
    let waiting = tokio::spawn(async move { queue.receive(1, wait).await });
    (rig.pass)(Duration::from_millis(20)).await;
    rig.pass_visibility().await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        (rig.pass)(Duration::from_millis(20)).await;
    }
    let got =
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it is delivered again").unwrap().unwrap();
    assert_eq!(got[0].receives, 2);
}

/// While it is visible to one consumer it is to no other.
pub async fn a_delivered_message_is_invisible(rig: QueueRig) {
    rig.send(b"one").await;
    rig.only().await;
    assert!(rig.ready().await.is_empty());
    (rig.pass)(rig.queue.visibility() / 2).await;
    assert!(rig.ready().await.is_empty());
}

/// When the visibility ends it comes again, once, under the same id, with another receipt and one receive more.
pub async fn lease_expiry_redelivers_once(rig: QueueRig) {
    rig.send(b"one").await;
    let first = rig.only().await;
    rig.pass_visibility().await;
    let second = rig.only().await;
    assert_eq!((&second.id, &second.body, second.receives), (&first.id, &first.body, 2));
    assert_ne!(second.receipt, first.receipt);
    assert!(rig.ready().await.is_empty());
}

/// Not when its visibility would have ended, and it counts no more.
pub async fn an_acknowledged_message_never_comes_back(rig: QueueRig) {
    rig.send(b"one").await;
    rig.queue.ack(&rig.only().await.receipt).await.unwrap();
    rig.pass_visibility().await;
    assert!(rig.ready().await.is_empty());
    assert_eq!(rig.queue.depth().await.unwrap(), Depth::default());
}

/// It is `Expired`, and the message is delivered again.
pub async fn ack_after_expiry_is_its_own_error(rig: QueueRig) {
    rig.send(b"one").await;
    let late = rig.only().await;
    rig.pass_visibility().await;
    assert_expired(rig.queue.ack(&late.receipt).await);
    assert_expired(rig.queue.release(&late.receipt, NOW).await);
    assert_eq!(rig.only().await.receives, 2);
}

/// The first consumer wakes up after the second got the message: it can do nothing to it.
pub async fn a_stale_receipt_cannot_settle_a_newer_delivery(rig: QueueRig) {
    rig.send(b"one").await;
    let stale = rig.only().await;
    rig.pass_visibility().await;
    let current = rig.only().await;
    assert_expired(rig.queue.ack(&stale.receipt).await);
    assert_expired(rig.queue.release(&stale.receipt, NOW).await);
    assert_expired(rig.queue.extend(&stale.receipt, Duration::from_secs(1)).await);
    assert!(rig.ready().await.is_empty(), "the current delivery lost its visibility");
    rig.queue.ack(&current.receipt).await.unwrap();
}

/// A second ack, release or extend is `Expired`.
pub async fn a_delivery_is_settled_once(rig: QueueRig) {
    rig.queue.send(bodies(2)).await.unwrap();
    let got = rig.ready().await;
    rig.queue.ack(&got[0].receipt).await.unwrap();
    rig.queue.release(&got[1].receipt, rig.queue.visibility()).await.unwrap();
    for delivery in &got {
        assert_expired(rig.queue.ack(&delivery.receipt).await);
        assert_expired(rig.queue.release(&delivery.receipt, NOW).await);
        assert_expired(rig.queue.extend(&delivery.receipt, Duration::from_secs(1)).await);
    }
}

/// A receipt that this queue never gave out settles nothing.
pub async fn a_made_up_receipt_is_expired(rig: QueueRig) {
    rig.send(b"one").await;
    rig.only().await;
    for receipt in ["", "1", "1-", "-", "nonsense", "9999999999999999999999-a", "1-' OR 1=1 --"] {
        let receipt = seams::queue::Receipt(receipt.into());
        assert_expired(rig.queue.ack(&receipt).await);
    }
    rig.pass_visibility().await;
    assert_eq!(rig.only().await.receives, 2);
}

/// Released without a delay it is ready, and the receive counted.
pub async fn a_released_message_is_ready_at_once(rig: QueueRig) {
    rig.send(b"one").await;
    rig.queue.release(&rig.only().await.receipt, NOW).await.unwrap();
    assert_eq!(rig.only().await.receives, 2);
}

/// Released with a delay it is not ready before that, and is after it.
pub async fn a_release_may_be_delayed(rig: QueueRig) {
    rig.send(b"one").await;
    let delay = Duration::from_secs(2);
    rig.queue.release(&rig.only().await.receipt, delay).await.unwrap();
    assert!(rig.ready().await.is_empty());
    (rig.pass)(delay / 2).await;
    assert!(rig.ready().await.is_empty());
    (rig.pass)(delay / 2 + Duration::from_millis(1)).await;
    assert_eq!(rig.only().await.body, "one");
}

/// An extended delivery outlives its first visibility, and can be acknowledged then.
pub async fn an_extended_delivery_stays_invisible(rig: QueueRig) {
    rig.send(b"one").await;
    let delivery = rig.only().await;
    rig.queue.extend(&delivery.receipt, rig.queue.visibility() * 3).await.unwrap();
    rig.pass_visibility().await;
    assert!(rig.ready().await.is_empty());
    rig.queue.ack(&delivery.receipt).await.unwrap();
}

/// `extend` sets the time that is left, and does not add to it.
pub async fn extend_counts_from_now(rig: QueueRig) {
    rig.send(b"one").await;
    let delivery = rig.only().await;
    for _ in 0..3 {
        rig.queue.extend(&delivery.receipt, rig.queue.visibility()).await.unwrap();
    }
    rig.pass_visibility().await;
    assert_eq!(rig.only().await.receives, 2);
}

/// It is `Expired`, and the message stays ready.
pub async fn extend_after_expiry_changes_nothing(rig: QueueRig) {
    rig.send(b"one").await;
    let late = rig.only().await;
    rig.pass_visibility().await;
    assert_expired(rig.queue.extend(&late.receipt, Duration::from_secs(60)).await);
    assert_eq!(rig.only().await.receives, 2);
}

/// The message is delivered `max_receives` times and no more, then it is in the dead-letter queue with its body unchanged.
pub async fn dead_letters_after_max_receives(rig: QueueRig) {
    rig.send(b"poison").await;
    for receives in 1..=rig.max_receives {
        assert!(rig.dead_letters.receive(1, NOW).await.unwrap().is_empty(), "buried after {} receives", receives - 1);
        assert_eq!(rig.only().await.receives, receives);
        rig.pass_visibility().await;
    }
    assert!(rig.ready().await.is_empty());
    let dead = rig.dead_letters.receive(10, NOW).await.unwrap();
    assert_eq!(dead.iter().map(|d| &d.body[..]).collect::<Vec<_>>(), [b"poison"]);
    assert_eq!(rig.queue.depth().await.unwrap(), Depth::default());
}

/// In the dead-letter queue it can be received, and acknowledged with the new receipt alone.
pub async fn a_dead_letter_starts_with_no_receives(rig: QueueRig) {
    rig.send(b"poison").await;
    let mut last = None;
    for _ in 0..rig.max_receives {
        last = Some(rig.only().await.receipt);
        rig.pass_visibility().await;
    }
    assert!(rig.ready().await.is_empty());
    let dead = rig.dead_letters.receive(1, NOW).await.unwrap().remove(0);
    assert_eq!(dead.receives, 1);
    assert_expired(rig.queue.ack(&last.unwrap()).await);
    assert_expired(rig.queue.ack(&dead.receipt).await);
    rig.dead_letters.ack(&dead.receipt).await.unwrap();
    assert_eq!(rig.dead_letters.depth().await.unwrap(), Depth::default());
}

/// A message of exactly the limit fits. One byte more is `TooLarge` with both figures, and none of its batch is there.
pub async fn what_is_too_large_is_refused_whole(rig: QueueRig) {
    let of_size = |size| Bytes::from(vec![b'x'; size]);
    let result = rig.queue.send(vec![of_size(1), of_size(rig.max_message + 1)]).await;
    let expected = (rig.max_message + 1, rig.max_message);
    assert!(matches!(result, Err(QueueError::TooLarge { size, limit }) if (size, limit) == expected), "{result:?}");
    assert!(rig.ready().await.is_empty());
    rig.queue.send(vec![of_size(rig.max_message)]).await.unwrap();
    assert_eq!(rig.only().await.body.len(), rig.max_message);
}

/// Each message is in exactly one of the three counts.
pub async fn depth_tells_ready_delayed_and_in_flight_apart(rig: QueueRig) {
    rig.queue.send(bodies(6)).await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < 3 {
        taken.extend(rig.queue.receive(3 - taken.len(), NOW).await.unwrap());
    }
    rig.queue.release(&taken[0].receipt, rig.queue.visibility() * 2).await.unwrap();
    let counts = async || {
        let depth = rig.queue.depth().await.unwrap();
        assert_eq!(depth.total(), 6);
        (depth.ready, depth.delayed, depth.in_flight)
    };
    assert_eq!(counts().await, (3, 1, 2));
    rig.pass_visibility().await;
    assert_eq!(counts().await, (5, 1, 0));
}

/// Being received, given back or buried makes no message younger; with its end the next one is the oldest. A backend that cannot tell
/// never does.
pub async fn depth_tells_when_the_oldest_was_first_sent(rig: QueueRig) {
    let oldest = async || rig.queue.depth().await.unwrap().oldest;
    assert_eq!(oldest().await, None);
    rig.send(b"old").await;
    if !rig.tells_oldest {
        assert_eq!(oldest().await, None);
        return;
    }
    let first = oldest().await.expect("a backend that tells");
    (rig.pass)(Duration::from_millis(100)).await;
    rig.send(b"young").await;
    assert_eq!(oldest().await, Some(first));
    let got = rig.ready().await;
    assert_eq!(oldest().await, Some(first), "in flight");
    for delivery in got.iter().filter(|delivery| delivery.body == "old") {
        rig.queue.release(&delivery.receipt, NOW).await.unwrap();
    }
    assert_eq!(oldest().await, Some(first), "given back");
    rig.queue.ack(&rig.only().await.receipt).await.unwrap();
    let second = oldest().await.expect("the other one is still there");
    assert!(second - first >= chrono::TimeDelta::milliseconds(100), "{first} {second}");
    for _ in 1..rig.max_receives {
        rig.pass_visibility().await;
        rig.only().await;
    }
    rig.pass_visibility().await;
    assert!(rig.ready().await.is_empty());
    assert_eq!(rig.dead_letters.depth().await.unwrap().oldest, Some(second), "buried");
}

/// Eight consumers at once get each of a hundred messages exactly once.
pub async fn racing_receivers_share_no_message(rig: QueueRig) {
    rig.queue.send(bodies(100)).await.unwrap();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let queue = Arc::clone(&rig.queue);
        racers.spawn(async move {
            let mut got = Vec::new();
            loop {
                let more = queue.receive(3, NOW).await.unwrap();
                if more.is_empty() {
                    return got;
                }
                for delivery in more {
                    queue.ack(&delivery.receipt).await.unwrap();
                    got.push(delivery.id);
                }
            }
        });
    }
    let mut times = BTreeMap::new();
    for id in racers.join_all().await.into_iter().flatten() {
        *times.entry(id).or_insert(0) += 1;
    }
    assert_eq!((times.len(), times.values().max()), (100, Some(&1)));
    assert_eq!(rig.queue.depth().await.unwrap(), Depth::default());
}

/// Everything that was missing is delivered, whatever the queue can detect, and it reports the right number of messages.
pub async fn what_is_missing_is_sent(rig: QueueRig) {
    rig.send(b"message 1").await;
    let sent = rig.queue.send_missing(bodies(3)).await.unwrap();
    assert_eq!(rig.queue.depth().await.unwrap().total(), 1 + sent as u64);
    let got: BTreeSet<Bytes> = rig.ready().await.into_iter().map(|delivery| delivery.body).collect();
    assert_eq!(got, bodies(3).into_iter().collect());
}

/// Neither what waits, nor what is in flight, delayed or dead, nor a body that is twice in one call. No other body counts as equal.
pub async fn what_is_there_is_not_sent_again(rig: QueueRig) {
    if !rig.finds_equals {
        return;
    }
    let sent = async |body: &'static [u8]| rig.queue.send_missing(vec![Bytes::from_static(body)]).await.unwrap();
    assert_eq!(rig.queue.send_missing(["one", "one"].map(Bytes::from).into()).await.unwrap(), 1, "twice in one call");
    assert_eq!(sent(b"one").await, 0, "waiting");
    let delivery = rig.only().await;
    assert_eq!(sent(b"one").await, 0, "in flight");
    rig.queue.release(&delivery.receipt, rig.queue.visibility()).await.unwrap();
    assert_eq!(sent(b"one").await, 0, "delayed");
    for _ in 1..rig.max_receives {
        rig.pass_visibility().await;
        rig.only().await;
    }
    rig.pass_visibility().await;
    assert!(rig.ready().await.is_empty());
    assert_eq!(sent(b"one").await, 0, "dead");
    assert_eq!((sent(b"one ").await, sent(b"").await), (1, 1), "other bodies");
    assert_eq!(rig.dead_letters.send_missing(vec![Bytes::from_static(b"one ")]).await.unwrap(), 1, "another queue");
}

/// An acknowledged message is gone.
pub async fn what_is_gone_is_missing(rig: QueueRig) {
    let send = async || rig.queue.send_missing(vec![Bytes::from_static(b"one")]).await.unwrap();
    assert_eq!(send().await, 1);
    rig.queue.ack(&rig.only().await.receipt).await.unwrap();
    assert_eq!(send().await, 1);
    assert_eq!(rig.only().await.receives, 1);
}

/// Eight senders of the same twenty messages: each message is there once, and each was counted by one of them.
pub async fn of_racing_senders_of_the_same_one_sends_it(rig: QueueRig) {
    if !rig.finds_equals {
        return;
    }
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let queue = Arc::clone(&rig.queue);
        racers.spawn(async move { queue.send_missing(bodies(20)).await.unwrap() });
    }
    let sent: usize = racers.join_all().await.into_iter().sum();
    assert_eq!((sent, rig.queue.depth().await.unwrap().total()), (20, 20));
}
