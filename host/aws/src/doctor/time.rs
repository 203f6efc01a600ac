//! This machine's clock compared with that of AWS, which refuses what was signed too early or too late.
//!
//! Does not set a clock.

use std::time::Duration;

use chrono::DateTime;

use super::check::{Check, Finding, so};
use crate::cloud::Cloud;

/// AWS takes five minutes, some services fifteen.
const MOST: i64 = 60;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// `now` is this machine's time in seconds since 1970.
pub(super) async fn check(cloud: &Cloud, now: impl Fn() -> i64) -> Check {
    let outcome = match told(&cloud.s3_address()).await {
        // Without a time in the answer there is nothing to compare with.
        Ok(None) => Ok(()),
        Ok(Some(theirs)) => {
            let skew = now() - theirs;
            so(skew.abs() <= MOST, || {
                let (amount, way) = (skew.abs(), if skew > 0 { "ahead" } else { "behind" });
                Finding::new(format!("it is {amount} s {way}"), "have it set by NTP: `timedatectl set-ntp true`")
            })
        }
        Err(error) => Err(Finding::new(error, "see that this machine reaches AWS, and what `AWS_ENDPOINT_URL` is")),
    };
    Check::new("clock", "is that of AWS, to the minute", outcome)
}

async fn told(address: &str) -> Result<Option<i64>, String> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
    let answer = client.head(address).send().await.map_err(|error| format!("`{address}` does not answer: {error}"))?;
    let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
    Ok(date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|date| date.timestamp()))
}
