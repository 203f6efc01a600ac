//! What holds for each call to SQS: in which region, how much it takes, how long it waits, and what it means when it fails.
//!
//! Does not call.

use std::time::Duration;

use chrono::TimeDelta;
use seams::queue::QueueError;
use url::Url;

use crate::failure::CallError;

/// As many messages as one call takes or gives.
pub(crate) const BATCH: usize = 10;
/// The longest that a call waits for a message.
pub(super) const LONGEST_POLL: Duration = Duration::from_secs(20);
/// How rarely a queue's depth is asked where no caller waits for the answer.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The longest that a message can be invisible, from its receipt.
pub(super) const LONGEST: TimeDelta = TimeDelta::hours(12);

/// A failed call as an error of a queue.
pub(super) fn failed<E>(operation: &str, url: &str, error: &aws_sdk_sqs::error::SdkError<E>) -> QueueError
where
    E: aws_sdk_sqs::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    QueueError::Backend(CallError::of(operation, url, error).to_string())
}

/// The region that is in the name of SQS's own host.
pub(crate) fn region_of(url: &Url) -> Option<&str> {
    let rest = url.host_str()?.strip_prefix("sqs.")?;
    rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_in_the_host_of_sqs_and_of_nobody_else() {
        for (url, region) in [
            ("https://sqs.eu-central-1.amazonaws.com/123456789012/orders", Some("eu-central-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders", Some("cn-north-1")),
            ("http://127.0.0.1:4566/000000000000/orders", None),
            ("https://queues.example.org/orders", None),
        ] {
            assert_eq!(region_of(&Url::parse(url).unwrap()), region, "{url}");
        }
    }
}
