//! When SQS delivers a message again that an invocation has reported as failed: by default when the visibility timeout is over.
//!
//! Only saves time: if it fails, the timeout holds.

use std::time::Duration;

use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use url::Url;

use super::Unfinished;
use crate::cloud::Cloud;
use crate::failure::CallError;
use crate::queue::{BATCH, region_of, seconds, stages};

/// The queue that a function's messages come from.
#[derive(Clone, Debug)]
pub struct Redelivery {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl Redelivery {
    /// For the stage `stage`, its queue named as [`crate::open_stage`] does. Nothing is asked yet, unless the queue is named without its
    /// account: then SQS is asked where it is. `None` if SQS does not say.
    pub async fn of_stage(cloud: &Cloud, base: &Url, stage: &str) -> Option<Self> {
        let url = stages::place(cloud, base, stage).await.ok()?;
        Some(Redelivery { client: cloud.sqs(region_of(&url)), url: url.to_string() })
    }

    /// Makes messages that were given back for a while visible when that while is over. For those that were given back at once there is no
    /// better time known: there the queue's own timeout holds.
    pub async fn settle(&self, unfinished: &[Unfinished]) {
        let entries: Vec<_> = unfinished
            .iter()
            .enumerate()
            .filter(|(_, one)| !one.receipt.is_empty())
            .filter_map(|(index, one)| entry(index, &one.receipt, one.after.filter(|after| !after.is_zero())?))
            .collect();
        for some in entries.chunks(BATCH) {
            let call = self.client.change_message_visibility_batch().queue_url(&self.url);
            if let Err(error) = call.set_entries(Some(some.to_vec())).send().await {
                let error = CallError::of("ChangeMessageVisibility", &self.url, &error);
                tracing::warn!(%error, "what has failed comes again when the queue's visibility timeout is over");
                return;
            }
        }
    }
}

fn entry(index: usize, receipt: &str, after: Duration) -> Option<ChangeMessageVisibilityBatchRequestEntry> {
    let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
        .id(index.to_string())
        .receipt_handle(receipt)
        .visibility_timeout(seconds(after));
    entry.build().ok()
}
