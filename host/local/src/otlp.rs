//! An OpenTelemetry collector: sends it OTLP documents over HTTP, in JSON.
//!
//! Does not make documents, and does not retry.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;
use url::Url;

use crate::http::{HttpOptions, ReqwestHttp};

/// The timeout for one document.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a document was not taken. No message holds a header's value.
#[derive(Debug, Error)]
pub enum CollectorError {
    /// It may be accepted later.
    #[error("the collector cannot take them now: {0}")]
    Later(String),
    /// It will never be accepted.
    #[error("the collector does not take them: it answered with status {0}")]
    Never(u16),
    /// The collector cannot be used.
    #[error("{0}")]
    Invalid(String),
}

/// A collector.
#[derive(Clone, Debug)]
pub struct OtlpCollector {
    http: ReqwestHttp,
    url: Url,
    headers: HeaderMap,
}

impl OtlpCollector {
    /// The collector at `url`; each request carries these headers.
    ///
    /// # Errors
    /// If a header is not valid.
    pub fn at(url: Url, headers: HashMap<String, String>) -> Result<Self, CollectorError> {
        let mut all = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in headers {
            let invalid = || CollectorError::Invalid(format!("`{name}` and its value are no header"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| invalid())?;
            value.set_sensitive(true);
            all.insert(key, value);
        }
        Ok(OtlpCollector { http: ReqwestHttp::new(HttpOptions::default()), url, headers: all })
    }

    /// Sends a document.
    ///
    /// # Errors
    /// If it was not accepted.
    pub async fn post(&self, document: String) -> Result<(), CollectorError> {
        let client = self.http.client_for(&self.url).await.map_err(|error| CollectorError::Later(error.to_string()))?;
        let request = client.post(self.url.clone()).headers(self.headers.clone());
        let sent = request.timeout(TIMEOUT).body(document).send().await;
        let status = sent.map_err(|error| CollectorError::Later(crate::http::reason(&error)))?.status().as_u16();
        match status {
            200..=299 => Ok(()),
            429 | 502..=504 => Err(CollectorError::Later(format!("it answered with status {status}"))),
            status => Err(CollectorError::Never(status)),
        }
    }
}
