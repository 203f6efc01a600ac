//! What was looked at, what is not as it has to be, and what to do about it.
//!
//! Does not look at anything.

use serde::Serialize;

use crate::failure::CallError;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked: a queue, a bucket, a layer.
    pub about: String,
    /// What has to hold.
    pub promise: &'static str,
    /// What does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
}

/// Something that is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What holds instead.
    pub found: String,
    /// What to do about it.
    pub fix: String,
}

impl Check {
    /// A check with its outcome.
    pub fn new(about: impl Into<String>, promise: &'static str, outcome: Result<(), Finding>) -> Self {
        Check { about: about.into(), promise, finding: outcome.err() }
    }
}

impl Finding {
    /// What holds instead, and what to do.
    pub fn new(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Finding { found: found.into(), fix: fix.into() }
    }
}

/// What to do about a call that failed; if it was denied: to allow it.
pub(super) fn mend(error: &CallError, allow: &str) -> String {
    let fix = match error {
        error if error.is_denied() => allow,
        error if error.is_foreign() => {
            "let the call reach AWS: `AWS_ENDPOINT_URL`, proxies and portals decide who answers"
        }
        error if error.status().is_none() => "see that this machine reaches AWS, and what `AWS_ENDPOINT_URL` is",
        _ => "do what AWS says there, and look again",
    };
    fix.to_owned()
}

/// `Ok` if it holds.
pub(super) fn so(is_so: bool, finding: impl FnOnce() -> Finding) -> Result<(), Finding> {
    if is_so { Ok(()) } else { Err(finding()) }
}
