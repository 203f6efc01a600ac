//! HTTP whose answers and errors hold no secret: what stands above it cannot leak one.
//!
//! Does not look at requests: they are what secrets are for.

use std::sync::Arc;

use async_trait::async_trait;
use seams::http::{Http, HttpAnswer, HttpError, HttpRequest};
use url::Url;

use super::redactor::Redactor;

/// [`Http`] without secrets in what comes back.
#[derive(Clone, Debug)]
pub struct RedactingHttp {
    inner: Arc<dyn Http>,
    redactor: Redactor,
}

impl RedactingHttp {
    /// `inner`, its answers without what `redactor` knows at that time.
    #[must_use]
    pub fn new(inner: Arc<dyn Http>, redactor: Redactor) -> Self {
        RedactingHttp { inner, redactor }
    }
}

#[async_trait]
impl Http for RedactingHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        match self.inner.send(request).await {
            Ok(answer) => Ok(self.redactor.redact_answer(answer)),
            Err(error) => Err(self.redactor.redact_error(error)),
        }
    }

    fn prepare(&self, url: &Url) {
        self.inner.prepare(url);
    }
}

impl Redactor {
    /// `answer` without any secret, in its headers and its body.
    #[must_use]
    pub fn redact_answer(&self, answer: HttpAnswer) -> HttpAnswer {
        let clean = |text: String| match self.redact(&text) {
            std::borrow::Cow::Borrowed(_) => text,
            std::borrow::Cow::Owned(clean) => clean,
        };
        let headers = answer.headers.into_iter().map(|(name, value)| (clean(name), clean(value))).collect();
        // Parquet has checksums and offsets; no service echoes a secret in it.
        let body = if answer.body.starts_with(b"PAR1") { answer.body } else { self.redact_body(&answer.body) };
        HttpAnswer { status: answer.status, headers, body }
    }

    fn redact_error(&self, error: HttpError) -> HttpError {
        let clean = |text: String| self.redact(&text).into_owned();
        match error {
            HttpError::Connect(text) => HttpError::Connect(clean(text)),
            HttpError::Broken(text) => HttpError::Broken(clean(text)),
            HttpError::Tls(text) => HttpError::Tls(clean(text)),
            HttpError::Invalid(text) => HttpError::Invalid(clean(text)),
            other @ (HttpError::Timeout(_) | HttpError::TooLarge { .. }) => other,
        }
    }
}
