//! The Lambda Runtime API: how a function asks for its next invocation, and answers it.
//!
//! Does not know what an invocation is about.

mod queue;
mod redelivery;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::json;
use thiserror::Error;

pub use self::queue::{BatchQueue, Unfinished};
pub use self::redelivery::Redelivery;

/// The API's version, in its paths.
const VERSION: &str = "2018-06-01";
/// The time of an invocation that does not say its time: Lambda's own default.
const UNTOLD: Duration = Duration::from_secs(3);
/// The longest that a function may take to say how it went. The call crosses no network.
const ANSWER: Duration = Duration::from_secs(30);

/// Why the Runtime API cannot be used.
#[derive(Debug, Error)]
pub enum RuntimeApiError {
    /// No call goes through.
    #[error("the Lambda Runtime API does not answer: {0}")]
    Unreachable(#[from] reqwest::Error),
    /// It answers with an error.
    #[error("the Lambda Runtime API answered `{call}` with status {status}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// What it said.
        status: u16,
    },
}

/// One invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Its id, for the answer.
    pub id: String,
    /// How much time it had left when it came.
    pub left: Duration,
    /// The event.
    pub event: Bytes,
}

/// A client of the Runtime API.
#[derive(Clone, Debug)]
pub struct RuntimeApi {
    client: reqwest::Client,
    base: String,
}

impl RuntimeApi {
    /// The API at `HOST:PORT`, as `AWS_LAMBDA_RUNTIME_API` names it.
    ///
    /// # Errors
    /// Fails if this machine has no HTTP.
    pub fn at(address: &str) -> Result<Self, RuntimeApiError> {
        // Between two invocations the process is frozen, for any time: no call may have a total time-out.
        // The API is on the same machine and speaks no TLS: to read certificate authorities for it would take a good part of a cold start.
        let builder = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).tls_certs_only([]);
        let client = builder.build()?;
        Ok(RuntimeApi { client, base: format!("http://{address}/{VERSION}/runtime") })
    }

    /// Waits for the next invocation.
    ///
    /// # Errors
    /// Fails if the API is gone: then the function has nothing left to do.
    pub async fn next(&self) -> Result<Invocation, RuntimeApiError> {
        let answer = self.client.get(format!("{}/invocation/next", self.base)).send().await?;
        let status = answer.status().as_u16();
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let (Some(id), 200) = (header("lambda-runtime-aws-request-id").map(str::to_owned), status) else {
            return Err(RuntimeApiError::Refused { call: "invocation/next", status });
        };
        let deadline = header("lambda-runtime-deadline-ms").and_then(|millis| millis.parse().ok());
        let left = deadline.map_or(UNTOLD, |millis| until(Duration::from_millis(millis)));
        Ok(Invocation { id, left, event: answer.bytes().await? })
    }

    /// Answers an invocation.
    ///
    /// # Errors
    /// Fails if the answer does not arrive; the invocation then counts as failed.
    pub async fn respond(&self, invocation: &str, answer: Vec<u8>) -> Result<(), RuntimeApiError> {
        self.post("response", &format!("invocation/{invocation}/response"), answer, None).await
    }

    /// Says that an invocation has failed.
    ///
    /// # Errors
    /// Fails if that does not arrive either.
    pub async fn fail(&self, invocation: &str, kind: &str, message: &str) -> Result<(), RuntimeApiError> {
        self.post("error", &format!("invocation/{invocation}/error"), failed(kind, message), Some(kind)).await
    }

    /// Says that the function cannot start.
    ///
    /// # Errors
    /// Fails if that does not arrive either.
    pub async fn fail_init(&self, kind: &str, message: &str) -> Result<(), RuntimeApiError> {
        self.post("init/error", "init/error", failed(kind, message), Some(kind)).await
    }

    async fn post(
        &self,
        call: &'static str,
        path: &str,
        body: Vec<u8>,
        failed: Option<&str>,
    ) -> Result<(), RuntimeApiError> {
        let mut request = self.client.post(format!("{}/{path}", self.base)).timeout(ANSWER).body(body);
        if let Some(kind) = failed {
            request = request.header("lambda-runtime-function-error-type", kind);
        }
        let status = request.send().await?.status().as_u16();
        if (200..300).contains(&status) { Ok(()) } else { Err(RuntimeApiError::Refused { call, status }) }
    }
}

fn failed(kind: &str, message: &str) -> Vec<u8> {
    json!({ "errorType": kind, "errorMessage": message, "stackTrace": [] }).to_string().into_bytes()
}

/// How long it is until an instant, counted from 1970.
fn until(instant: Duration) -> Duration {
    instant.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
