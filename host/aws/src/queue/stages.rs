//! The queues of a stage, named from `queue.url`.
//!
//! Does not make them.

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_sdk_sqs::types::QueueAttributeName;
use pipeline::sqs::{beside, named};
use seams::clock::Clock;
use seams::queue::{QueueError, StageQueue};
use serde_json::Value;
use url::Url;

use super::call::failed;
use super::sqs::{SqsOptions, SqsQueue};
use crate::cloud::Cloud;

/// What a stage's queue must take. The engine puts up to 200 KiB into a message, and a third more goes where the text needs encoding; what
/// does not fit would stop the host.
pub(crate) const LEAST: usize = 288 << 10;

/// Opens the two queues of the stage `stage`. With `queue.url = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"` they are `NAME-STAGE` and
/// `NAME-STAGE-dead`, as the embedded ones are `STAGE` and `STAGE-dead`; with `sqs://NAME` the same of the account and region that the
/// environment says. SQS itself moves dead letters, by the queue's `RedrivePolicy`.
///
/// # Errors
/// `QueueError::Backend` if one cannot be opened or takes only small messages, or if the first does not send its dead letters to the second.
pub async fn open_stage(
    cloud: &Cloud,
    base: &Url,
    stage: &str,
    max_receives: NonZeroU32,
    clock: &Arc<dyn Clock>,
) -> Result<StageQueue, QueueError> {
    let dead = format!("{stage}-dead");
    let (live, dead) = tokio::try_join!(place(cloud, base, stage), place(cloud, base, &dead))?;
    let name = dead.path().rsplit('/').next().unwrap_or_default().to_owned();
    let open = |url| async move { SqsQueue::open(cloud, &url, SqsOptions::default(), Arc::clone(clock)).await };
    let (live, dead) = tokio::join!(open(live), open(dead));
    let live = live?;
    let redrive = live.attributes.get(&QueueAttributeName::RedrivePolicy).map(String::as_str).unwrap_or_default();
    let received_before = buried_after(redrive, &name).ok_or_else(|| {
        QueueError::Backend(format!(
            "`{}` does not send its dead letters to `{name}`: its `RedrivePolicy` is `{redrive}`\n\
             hint: set `deadLetterTargetArn` to that queue, and `maxReceiveCount` to {max_receives}, as in `queue.max_receives`",
            live.url
        ))
    })?;
    if received_before < max_receives.get() {
        let url = &live.url;
        tracing::warn!(
            queue = url,
            max_receives,
            received_before,
            "the queue gives up before `queue.max_receives` is reached"
        );
    }
    let mut dead = dead?;
    dead.options = SqsOptions { received_before };
    if let Some(small) = [&live, &dead].into_iter().find(|queue| queue.max_message < LEAST) {
        return Err(QueueError::Backend(format!(
            "`{}` takes messages of at most {} bytes, expected at least {LEAST}\nhint: set its `MaximumMessageSize` to 1048576",
            small.url, small.max_message
        )));
    }
    Ok(StageQueue { live: Arc::new(live), dead: Arc::new(dead) })
}

/// The queue whose name ends in `-SUFFIX`, as SQS names it.
///
/// # Errors
/// `QueueError::Backend` if SQS has to be asked where it is, and it is not there or may not be seen.
pub(crate) async fn place(cloud: &Cloud, base: &Url, suffix: &str) -> Result<Url, QueueError> {
    let Some(name) = named(base) else { return Ok(beside(base, suffix)) };
    let name = format!("{name}-{suffix}");
    let asked = cloud.sqs(None).get_queue_url().queue_name(&name).send().await;
    let told = asked.map_err(|error| failed("GetQueueUrl", &name, &error))?;
    let url = told.queue_url.as_deref().and_then(|url| Url::parse(url).ok());
    url.ok_or_else(|| QueueError::Backend(format!("SQS does not tell where its queue `{name}` is")))
}

/// After how many receives a policy moves messages to the queue of that name; none if it does not.
pub(crate) fn buried_after(redrive: &str, name: &str) -> Option<u32> {
    let policy: Value = serde_json::from_str(redrive).ok()?;
    let target = policy.get("deadLetterTargetArn")?.as_str()?;
    if target.rsplit(':').next() != Some(name) {
        return None;
    }
    let count = policy.get("maxReceiveCount")?;
    // SQS returns the value as it was set, a number or its text.
    count.as_u64().and_then(|count| u32::try_from(count).ok()).or_else(|| count.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_counts_if_it_names_the_queue() {
        let policy = |target: &str, count: &str| {
            let redrive = format!(
                r#"{{"deadLetterTargetArn": "arn:aws:sqs:eu-central-1:1:{target}", "maxReceiveCount": {count}}}"#
            );
            buried_after(&redrive, "orders-clean-dead")
        };
        assert_eq!((policy("orders-clean-dead", "5"), policy("orders-clean-dead", "\"5\"")), (Some(5), Some(5)));
        assert_eq!((policy("other", "5"), buried_after("", "orders-clean-dead")), (None, None));
    }
}
