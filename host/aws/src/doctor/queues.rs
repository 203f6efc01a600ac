//! The queues: there, with dead letters, a visibility timeout long enough for functions, and permission to use them.
//!
//! Does not send anything: a test message would reach a consumer.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, QueueAttributeName,
};
use deploy::{Deployment, Mode};
use url::Url;

use super::check::{Check, Finding, mend, so};
use crate::cloud::Cloud;
use crate::failure::CallError;
use crate::queue::{LEAST, buried_after, place};

/// A receipt that SQS has never given out.
const NO_RECEIPT: &str = "none";
/// Dead letters are kept as long as SQS keeps anything, in seconds.
const KEPT: u64 = 14 * 24 * 3600;

pub(super) async fn check(cloud: &Cloud, deployment: &Deployment<'_>, mode: Mode) -> Vec<Check> {
    let Some(base) = &deployment.plan.queue.url else { return Vec::new() };
    let client = cloud.sqs(deployment.site.said_region());
    let mut checks = Vec::new();
    for stage in deploy::STAGES {
        let (live, dead) = (stage.name().to_owned(), format!("{}-dead", stage.name()));
        let (live, dead) =
            (Looked::beside(cloud, &client, base, &live).await, Looked::beside(cloud, &client, base, &dead).await);
        checks.push(live.is_there());
        checks.push(dead.is_there());
        if live.attributes.is_ok() {
            checks.extend(live.is_fit(deployment, mode, stage, &dead.name));
            checks.push(live.may_be_used(&client).await);
        }
        if dead.attributes.is_ok() {
            checks.extend(dead.is_fit_for_the_dead());
        }
    }
    checks
}

/// A queue as it is.
struct Looked {
    url: String,
    name: String,
    attributes: Result<HashMap<QueueAttributeName, String>, CallError>,
}

impl Looked {
    /// The queue whose name ends in `-SUFFIX`. If SQS does not say where it is, it is looked for by its name, and not found.
    async fn beside(cloud: &Cloud, client: &Client, base: &Url, suffix: &str) -> Self {
        let url = place(cloud, base, suffix).await;
        let url =
            url.map_or_else(|_| format!("{}-{suffix}", base.host_str().unwrap_or_default()), |url| url.to_string());
        Looked::at(client, url).await
    }

    async fn at(client: &Client, url: String) -> Self {
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        let asked = client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All).send().await;
        let attributes = asked.map(|told| told.attributes.unwrap_or_default());
        let attributes = attributes.map_err(|error| CallError::of("GetQueueAttributes", &url, &error));
        Looked { url, name, attributes }
    }

    fn about(&self) -> String {
        format!("queue {}", self.name)
    }

    fn number(&self, attribute: &QueueAttributeName) -> u64 {
        let text = self.attributes.as_ref().ok().and_then(|attributes| attributes.get(attribute));
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    fn is_there(&self) -> Check {
        let outcome = match &self.attributes {
            Ok(_) => Ok(()),
            Err(error)
                if error.code().is_some_and(|code| code.contains("NonExistent") || code.contains("NotExist")) =>
            {
                Err(Finding::new(
                    error.to_string(),
                    "make it, as `sluicebox deploy cloudformation` does, or correct `queue.url`",
                ))
            }
            Err(error) => Err(Finding::new(
                error.to_string(),
                mend(error, "allow `sqs:GetQueueAttributes` on it, or look as somebody who may"),
            )),
        };
        Check::new(self.about(), "is there", outcome)
    }

    fn is_fit(&self, deployment: &Deployment<'_>, mode: Mode, stage: pipeline::role::Role, dead: &str) -> Vec<Check> {
        let plan = deployment.plan;
        let needed = deployment.visibility(mode, stage);
        let visible = self.number(&QueueAttributeName::VisibilityTimeout);
        let why = match mode {
            Mode::Lambda => "what is handed out stays invisible for six times as long as its function may run",
            Mode::Ecs => "what is handed out stays invisible for a minute or more",
        };
        let fix = format!("set its `VisibilityTimeout` to {needed}");
        let visibility = so(visible >= needed, || Finding::new(format!("{visible} s, expected {needed} s"), fix));
        let redrive = self.attributes.as_ref().ok().and_then(|all| all.get(&QueueAttributeName::RedrivePolicy));
        let redrive = redrive.map(String::as_str).unwrap_or_default();
        let wanted = plan.queue.max_receives.get();
        let fix = format!(
            "set its `RedrivePolicy`: `deadLetterTargetArn` to that of `{dead}`, `maxReceiveCount` to {wanted}, as `queue.max_receives`"
        );
        let found = if redrive.is_empty() { "no `RedrivePolicy`".to_owned() } else { redrive.to_owned() };
        let buried = so(buried_after(redrive, dead) == Some(wanted), || Finding::new(found, fix));
        let largest = self.number(&QueueAttributeName::MaximumMessageSize);
        let size = so(largest >= LEAST as u64, || {
            Finding::new(format!("{largest} bytes, expected {LEAST}"), "set its `MaximumMessageSize` to 1048576")
        });
        vec![
            Check::new(self.about(), why, visibility),
            Check::new(self.about(), "gives up into its dead letters, after as many tries as the file says", buried),
            Check::new(self.about(), "takes messages as large as ours", size),
        ]
    }

    fn is_fit_for_the_dead(&self) -> Vec<Check> {
        let kept = self.number(&QueueAttributeName::MessageRetentionPeriod);
        let retention = so(kept >= KEPT, || {
            let found = format!("kept for {} days, counted from when they were first sent", kept / 86_400);
            Finding::new(found, format!("set its `MessageRetentionPeriod` to {KEPT}, the most that SQS takes"))
        });
        let count = self.number(&QueueAttributeName::ApproximateNumberOfMessages);
        let empty = so(count == 0, || {
            Finding::new(
                format!("{count} dead letters"),
                "the log says why; when that is mended, hand them out again (`aws sqs start-message-move-task`)",
            )
        });
        vec![
            Check::new(self.about(), "keeps dead letters until somebody has looked", retention),
            Check::new(self.about(), "is empty", empty),
        ]
    }

    /// For a receipt that it never gave out, SQS answers that the receipt is wrong, or that the caller may not ask.
    async fn may_be_used(&self, client: &Client) -> Check {
        let entry = DeleteMessageBatchRequestEntry::builder().id("0").receipt_handle(NO_RECEIPT).build();
        let mut refused = Vec::new();
        if let Ok(entry) = entry {
            let asked = client.delete_message_batch().queue_url(&self.url).entries(entry).send().await;
            refused.extend(asked.err().map(|error| CallError::of("DeleteMessageBatch", &self.url, &error)));
        }
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id("0").receipt_handle(NO_RECEIPT);
        if let Ok(entry) = entry.visibility_timeout(0).build() {
            let asked = client.change_message_visibility_batch().queue_url(&self.url).entries(entry).send().await;
            refused.extend(asked.err().map(|error| CallError::of("ChangeMessageVisibilityBatch", &self.url, &error)));
        }
        // The error that the receipt is wrong is the expected answer.
        let refused =
            refused.into_iter().find(|error| error.is_denied() || error.is_foreign() || error.status().is_none());
        let outcome = refused.map_or(Ok(()), |error| {
            let allow = "allow `sqs:ReceiveMessage`, `sqs:SendMessage`, `sqs:DeleteMessage` and `sqs:ChangeMessageVisibility` on it, \
                       as `sluicebox deploy iam` prints them by role";
            Err(Finding::new(error.to_string(), mend(&error, allow)))
        });
        Check::new(self.about(), "lets us settle messages", outcome)
    }
}
