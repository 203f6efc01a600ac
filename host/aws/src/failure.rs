//! How a call failed, and the words for it.
//!
//! Does not know what the call was for: each adapter makes its seam's error of it.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;

/// A call that failed: its operation, its place, what the service said, and what to do if that is known. The SDK has tried it again already
/// where that could help.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct CallError {
    text: String,
    code: Option<String>,
    status: Option<u16>,
    lost: bool,
    foreign: bool,
}

impl CallError {
    /// How `operation` failed at `place`, an object, a queue or a secret.
    pub(crate) fn of<E>(operation: &str, place: &str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let code = error.code().map(str::to_owned);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let lost = match error {
            SdkError::ServiceError(_) => status.is_some_and(|status| status >= 500),
            SdkError::ConstructionFailure(_) => false,
            _ => true,
        };
        // By its first letters: some servers that speak as AWS does call an empty answer a page.
        let is_page = error.raw_response().and_then(|response| response.body().bytes()).is_some_and(is_page);
        let foreign = is_page || (status.is_some() && matches!(error, SdkError::ResponseError(_)));
        let said = match (error, &code, error.message()) {
            (SdkError::ServiceError(_), Some(code), Some(message)) => format!("{code}: {message}"),
            (SdkError::ServiceError(_), Some(code), None) => code.clone(),
            (SdkError::ServiceError(_), None, _) => format!("status {}", status.unwrap_or_default()),
            _ => chain(error),
        };
        let request = error.request_id().map(|id| format!(" (request {id})")).unwrap_or_default();
        let hint = if foreign { Some(FOREIGN) } else { hint(code.as_deref(), status, &said) };
        let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        CallError {
            text: format!("`{operation}` at `{place}` failed: {said}{request}{hint}"),
            code,
            status,
            lost,
            foreign,
        }
    }

    /// A failure of one entry in an answer that succeeded as a whole.
    pub(crate) fn part(operation: &str, place: &str, code: Option<&str>, message: Option<&str>) -> Self {
        let code = code.unwrap_or("no code");
        let text = format!("`{operation}` at `{place}` failed: {code}: {}", message.unwrap_or("no message"));
        CallError { text, code: Some(code.to_owned()), status: None, lost: false, foreign: false }
    }

    /// The service's own code.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The status of the answer, if one came.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether AWS has said that the call is not allowed.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        !self.foreign && (self.status == Some(403) || self.code().is_some_and(|code| code.contains("AccessDenied")))
    }

    /// Whether the answer did not come from AWS or a server like it: a page, or a text that cannot be read.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Whether the call may have taken effect: no answer came, or one that leaves it open.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        self.lost
    }
}

/// What to do about an answer that does not come from AWS.
const FOREIGN: &str =
    "what answers there is not AWS: see `AWS_ENDPOINT_URL`, `HTTPS_PROXY`, and which portal or firewall is between";

/// Whether a body is a page of HTML.
fn is_page(body: &[u8]) -> bool {
    let begin = String::from_utf8_lossy(body.get(..body.len().min(100)).unwrap_or_default()).to_ascii_lowercase();
    ["<!doctype html", "<html"].iter().any(|start| begin.trim_start().starts_with(start))
}

/// An error and its causes, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(now) = cause {
        let said = now.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = now.source();
    }
    text
}

/// What to do about the most common failures.
fn hint(code: Option<&str>, status: Option<u16>, said: &str) -> Option<&'static str> {
    match code {
        Some("NoSuchBucket") => Some("make the bucket, or name one that is there"),
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            Some("the bucket is in another region: set `AWS_REGION` to it")
        }
        Some("ExpiredToken" | "ExpiredTokenException") => Some("log in again: the credentials are over"),
        Some(
            "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch",
        ) => Some("AWS does not know these credentials: `aws sts get-caller-identity` shows which are used"),
        Some("RequestTimeTooSkewed") => Some("set this machine's clock"),
        Some("AccessDenied" | "AccessDeniedException") => Some(
            "allow it in the policy of the role or user; without `s3:ListBucket` a missing object is refused as well",
        ),
        Some("QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue") => {
            Some("make the queue, or name one that is there")
        }
        Some("SlowDown" | "ThrottlingException" | "RequestThrottled") => Some("AWS wants fewer calls at once"),
        None if status == Some(403) => Some("allow it in the policy of the role or user"),
        None if said.contains("credentials") => {
            Some("set `AWS_PROFILE` and log in (`aws sso login`), or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`")
        }
        _ => None,
    }
}
