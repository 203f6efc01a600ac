//! Sending, in as few calls as SQS allows.
//!
//! Does not look for equal messages: a standard queue cannot.

use std::time::Duration;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures::{StreamExt, TryStreamExt, stream};
use seams::backoff;
use seams::queue::QueueError;

use super::call::{BATCH, failed};

/// Bytes of one call. SQS takes a single message of more if the queue does; a call of several stays within SQS's old limit.
const BYTES: usize = 256 << 10;
/// Calls under way at once.
const AT_ONCE: usize = 4;
/// How often a message is tried that SQS could not take for a passing reason.
const TRIES: u32 = 5;

/// Sends all texts. Fails with those that are not sent.
pub(super) async fn send(client: &aws_sdk_sqs::Client, url: &str, texts: Vec<String>) -> Result<(), QueueError> {
    stream::iter(batches(texts))
        .map(|batch| send_batch(client, url, batch))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Texts in calls, each with its number.
fn batches(texts: Vec<String>) -> Vec<Vec<(usize, String)>> {
    let mut batches: Vec<Vec<(usize, String)>> = Vec::new();
    let mut bytes = 0;
    for (number, text) in texts.into_iter().enumerate() {
        bytes += text.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes <= BYTES => batch.push((number, text)),
            _ => {
                bytes = text.len();
                batches.push(vec![(number, text)]);
            }
        }
    }
    batches
}

async fn send_batch(
    client: &aws_sdk_sqs::Client,
    url: &str,
    mut batch: Vec<(usize, String)>,
) -> Result<(), QueueError> {
    let mut tried = 0;
    loop {
        tried += 1;
        let entry = |(number, text): &(usize, String)| {
            SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(text).build()
        };
        let entries = batch.iter().map(entry).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| QueueError::Backend(error.to_string()))?;
        let call = client.send_message_batch().queue_url(url).set_entries(Some(entries));
        let told = call.send().await.map_err(|error| failed("SendMessageBatch", url, &error))?;
        let failures = told.failed();
        if failures.is_empty() {
            return Ok(());
        }
        if tried >= TRIES || failures.iter().any(|failure| failure.sender_fault()) {
            let said = failures.iter().map(|failure| {
                format!("message {}: {} {}", failure.id(), failure.code(), failure.message().unwrap_or_default())
            });
            let said = said.collect::<Vec<_>>().join("; ");
            let text = format!("{} of {} messages were not sent to `{url}`: {said}", failures.len(), batch.len());
            return Err(QueueError::Backend(text));
        }
        batch.retain(|(number, _)| failures.iter().any(|failure| failure.id() == number.to_string()));
        let delay = backoff::delay(Duration::from_millis(100), tried, Duration::from_secs(5), &[url.as_bytes()]);
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_hold_ten_messages_and_so_many_bytes() {
        let sizes = |texts: Vec<String>| batches(texts).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec!["x".into(); 25]), [10, 10, 5]);
        let (large, small) = ("x".repeat(BYTES - 10), "x".repeat(10));
        assert_eq!(sizes(vec![small.clone(), large.clone(), large.clone(), large]), [2, 1, 1]);
        assert_eq!(sizes(vec!["x".repeat(1 << 20), small]), [1, 1]);
        assert!(batches(Vec::new()).is_empty());
    }
}
