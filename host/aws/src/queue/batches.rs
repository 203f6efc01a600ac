//! Settles several deliveries with one call: a request that comes while a call is under way goes with the next one.
//!
//! Does not know whose time is over: the caller checks that before.

use std::time::Duration;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use seams::backoff;
use seams::queue::{QueueError, Receipt};
use tokio::sync::{mpsc, oneshot};

use super::call::{BATCH, failed};

/// How often a delivery is tried that SQS could not settle for a passing reason.
const TRIES: u32 = 4;

/// What is to become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settle {
    /// It is done.
    Delete,
    /// It is invisible for so many seconds from now.
    Invisible(i32),
}

#[derive(Debug)]
struct Item {
    receipt: String,
    settle: Settle,
    done: oneshot::Sender<Result<(), QueueError>>,
}

/// Settles deliveries of one queue, in the order in which it is asked to. All of one `Batches` are deletions, or none.
#[derive(Clone, Debug)]
pub(super) struct Batches {
    items: mpsc::UnboundedSender<Item>,
}

impl Batches {
    /// Starts its task, which ends with the last clone.
    pub(super) fn start(client: aws_sdk_sqs::Client, url: String) -> Self {
        let (items, mut waiting) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while waiting.recv_many(&mut batch, BATCH).await > 0 {
                settle_all(&client, &url, std::mem::take(&mut batch)).await;
            }
        });
        Batches { items }
    }

    /// Settles one delivery soon, and does not report how that went.
    pub(super) fn settle_unheard(&self, receipt: &Receipt, settle: Settle) {
        let (done, _) = oneshot::channel();
        // The task ends only with the process.
        let _ = self.items.send(Item { receipt: receipt.0.clone(), settle, done });
    }

    /// Settles one delivery. It is done even if the caller no longer waits for it.
    pub(super) async fn settle(&self, receipt: &Receipt, settle: Settle) -> Result<(), QueueError> {
        let (done, told) = oneshot::channel();
        let gone = || QueueError::Backend("the task that settles deliveries has ended".into());
        self.items.send(Item { receipt: receipt.0.clone(), settle, done }).map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }
}

async fn settle_all(client: &aws_sdk_sqs::Client, url: &str, mut batch: Vec<Item>) {
    for tried in 1..=TRIES {
        let mut left = Vec::new();
        match call(client, url, &batch).await {
            // The SDK has tried it several times by now.
            Err(error) => {
                let text = error.to_string();
                for item in batch {
                    // The caller may have gone meanwhile.
                    let _ = item.done.send(Err(QueueError::Backend(text.clone())));
                }
                return;
            }
            Ok(failures) => {
                for (number, item) in batch.into_iter().enumerate() {
                    let failure = failures.iter().find(|failure| failure.id() == number.to_string());
                    match failure {
                        Some(failure) if !failure.sender_fault() && tried < TRIES => left.push(item),
                        failure => {
                            let _ = item.done.send(failure.map_or(Ok(()), |failure| Err(refused(url, failure))));
                        }
                    }
                }
            }
        }
        if left.is_empty() {
            return;
        }
        batch = left;
        let delay = backoff::delay(Duration::from_millis(100), tried, Duration::from_secs(2), &[url.as_bytes()]);
        tokio::time::sleep(delay).await;
    }
}

/// One call; returns the items that failed.
async fn call(
    client: &aws_sdk_sqs::Client,
    url: &str,
    batch: &[Item],
) -> Result<Vec<BatchResultErrorEntry>, QueueError> {
    let wrong = |error: aws_sdk_sqs::error::BuildError| QueueError::Backend(error.to_string());
    if batch.iter().any(|item| item.settle == Settle::Delete) {
        let entry = |(number, item): (usize, &Item)| {
            DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(&item.receipt).build()
        };
        let entries = batch.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let call = client.delete_message_batch().queue_url(url).set_entries(Some(entries));
        return call.send().await.map(|told| told.failed).map_err(|error| failed("DeleteMessageBatch", url, &error));
    }
    let entry = |(number, item): (usize, &Item)| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
        let entry = match item.settle {
            Settle::Invisible(seconds) => entry.visibility_timeout(seconds),
            Settle::Delete => entry,
        };
        entry.receipt_handle(&item.receipt).build()
    };
    let entries = batch.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let call = client.change_message_visibility_batch().queue_url(url).set_entries(Some(entries));
    call.send().await.map(|told| told.failed).map_err(|error| failed("ChangeMessageVisibilityBatch", url, &error))
}

/// What a refusal of one delivery means.
fn refused(url: &str, failure: &BatchResultErrorEntry) -> QueueError {
    let (code, message) = (failure.code(), failure.message().unwrap_or_default());
    let over = ["ReceiptHandleIsInvalid", "MessageNotInflight"].iter().any(|known| code.ends_with(known))
        || code == "InvalidParameterValue" && message.contains("receipt handle has expired");
    if over {
        return QueueError::Expired;
    }
    QueueError::Backend(format!("`{url}` could not settle a delivery: {code}: {message}"))
}
