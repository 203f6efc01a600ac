//! One outgoing HTTP request and its answer.
//!
//! Does not decide where a request may go, how often, or whether it is tried again: that is `roles::enrich::gateway`,
//! above this seam, so that every adapter gets the same rules.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;
use url::Url;

/// A GET request, complete with secrets.
///
/// Its `Debug` shows scheme, host and path only: query and headers may hold a secret.
#[derive(Clone)]
pub struct HttpRequest {
    /// Where to, with every query parameter.
    pub url: Url,
    /// Header names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The time for the whole exchange, from connecting to the last byte of the body.
    pub timeout: Duration,
    /// Most bytes of the decoded body; a longer one is an error, and is never held in memory whole.
    pub max_body: u64,
}

impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        f.debug_struct("HttpRequest")
            .field("url", &format_args!("{}://{host}{}", self.url.scheme(), self.url.path()))
            .finish_non_exhaustive()
    }
}

/// A complete answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status code, 100 to 599. Redirects are answers like any other: they are never followed.
    pub status: u16,
    /// Header names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body after content decoding.
    pub body: Bytes,
}

impl HttpAnswer {
    /// The first header of that name, which must be lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer. No message holds the request's query or headers.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Nothing was sent: name resolution, refused connection, no route.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The timeout passed before the last byte.
    #[error("no complete answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke or the answer was no valid HTTP.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// The peer's certificate or handshake was refused. Trying again will not help.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The decoded body is longer than `max_body`. Trying again will not help.
    #[error("the body is over the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The request is not valid (a header value with a line break, say).
    #[error("not a valid request: {0}")]
    Invalid(String),
}

impl HttpError {
    /// A short name, for where there is no room for a sentence.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            HttpError::Connect(_) => "connect",
            HttpError::Timeout(_) => "timeout",
            HttpError::Broken(_) => "broken",
            HttpError::Tls(_) => "tls",
            HttpError::TooLarge { .. } => "too_large",
            HttpError::Invalid(_) => "invalid",
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            HttpError::Connect(_) | HttpError::Timeout(_) | HttpError::Broken(_) => true,
            HttpError::Tls(_) | HttpError::TooLarge { .. } | HttpError::Invalid(_) => false,
        }
    }
}

/// Sends requests.
///
/// # Contract
/// * One call is at most one request on the wire: no retries, no redirects, no cookies, no proxy except the adapter's own.
/// * Any complete answer is `Ok`, whatever its status.
/// * No error text holds the query string, a header value or the body of the request.
#[async_trait]
pub trait Http: Send + Sync + std::fmt::Debug {
    /// Sends `request` and waits for the whole answer.
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError>;

    /// Begins to prepare what the first request to `url` needs, and waits for nothing. Sends no request; a failure shows in that first
    /// request.
    fn prepare(&self, _url: &Url) {}
}
