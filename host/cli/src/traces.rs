//! Traces: the spans of the work, sent to a collector of OpenTelemetry if the environment names one.
//!
//! Does not decide what a span is, or its parent: `seams::spans` does. Sends no key of a record and no secret. A slow or missing collector
//! costs spans, never work.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use local::otlp::{CollectorError, OtlpCollector};
use percent_encoding::percent_decode_str;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::env_vars;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::redact::Redactor;

pub(crate) use layer::SpanLayer;
use waiting::Waiting;

mod document;
mod layer;
mod waiting;

/// How long spans wait for more spans.
const EVERY: Duration = Duration::from_secs(5);
/// How long the end of the program waits for the last spans.
const LAST: Duration = Duration::from_secs(5);

/// The connection to the collector, if there is one. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Traces(Option<Arc<Sending>>);

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Traces" } else { "Traces(off)" })
    }
}

struct Sending {
    waiting: Arc<Waiting>,
    collector: OtlpCollector,
    service: String,
    redactor: Redactor,
    /// Held during a send; whether the last send failed.
    turn: tokio::sync::Mutex<bool>,
}

impl Traces {
    /// Reads the environment: a layer that collects spans, and the connection to the collector; neither if no collector is named.
    ///
    /// # Errors
    /// Fails if the environment names an invalid place.
    pub(crate) fn from_environment(redactor: &Redactor) -> anyhow::Result<(Option<SpanLayer>, Self)> {
        let Some(url) = endpoint()? else { return Ok((None, Traces::default())) };
        let headers = headers(&variable(env_vars::OTLP_HEADERS).unwrap_or_default());
        for value in headers.values() {
            redactor.register(value);
        }
        let collector = OtlpCollector::at(url, headers)
            .map_err(|error| Failure::new(ExitCode::Usage, format!("traces cannot be sent: {error}")))?;
        let waiting = Arc::new(Waiting::default());
        let sending = Sending {
            waiting: Arc::clone(&waiting),
            collector,
            service: variable(env_vars::OTEL_SERVICE_NAME).unwrap_or_else(|| "sluicebox".to_owned()),
            redactor: redactor.clone(),
            turn: tokio::sync::Mutex::default(),
        };
        Ok((Some(SpanLayer::to(waiting)), Traces(Some(Arc::new(sending)))))
    }

    /// Sends spans while `command` runs, and the rest at its end.
    pub(crate) async fn during<T>(&self, command: impl Future<Output = T>) -> T {
        let Some(sending) = &self.0 else { return command.await };
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(Arc::clone(sending).keep(stop.clone()));
        let ended = command.await;
        stop.cancel();
        let rest = async {
            let _ = keeping.await;
            sending.flush().await;
        };
        if tokio::time::timeout(LAST, rest).await.is_err() {
            tracing::warn!("the last spans could not be sent in time");
        }
        ended
    }

    /// Sends the waiting spans, for at most `limit`.
    pub(crate) async fn flush(&self, limit: Duration) {
        if let Some(sending) = &self.0 {
            // The rest is sent the next time.
            let _ = tokio::time::timeout(limit, sending.flush()).await;
        }
    }
}

impl Sending {
    async fn keep(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
                () = self.waiting.enough() => {}
            }
            self.flush().await;
        }
    }

    async fn flush(&self) {
        let mut failed = self.turn.lock().await;
        loop {
            let (spans, dropped) = self.waiting.take();
            if dropped > 0 {
                tracing::warn!(dropped, "more spans than can be sent, some were dropped");
            }
            if spans.is_empty() {
                return;
            }
            let text = self.redactor.redact_body(&document::of(&self.service, &spans).to_string().into());
            let text = String::from_utf8_lossy(&text).into_owned();
            match self.collector.post(text).await {
                Ok(()) => *failed = false,
                Err(error) => {
                    let again = matches!(error, CollectorError::Later(_));
                    // Logged once and not with each try.
                    if !std::mem::replace(&mut *failed, true) {
                        tracing::warn!(%error, again, "spans could not be sent");
                    }
                    if again {
                        return self.waiting.put_back(spans);
                    }
                }
            }
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where spans go: the variable for traces holds the place itself, the one for all signals holds its base URL.
fn endpoint() -> Result<Option<Url>, Failure> {
    let (name, text) = match (variable(env_vars::OTLP_TRACES_ENDPOINT), variable(env_vars::OTLP_ENDPOINT)) {
        (Some(whole), _) => (env_vars::OTLP_TRACES_ENDPOINT, whole),
        (None, Some(base)) => (env_vars::OTLP_ENDPOINT, format!("{}/v1/traces", base.trim_end_matches('/'))),
        (None, None) => return Ok(None),
    };
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(url)),
        // The text may hold a token.
        _ => Err(Failure::new(
            ExitCode::Usage,
            format!("`{name}` is no URL, expected `http://HOST:4318` or `https://…`"),
        )),
    }
}

/// `NAME=VALUE,…`, values percent-encoded.
fn headers(text: &str) -> HashMap<String, String> {
    let one = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8_lossy().into_owned();
        Some((name.trim().to_lowercase(), value))
    };
    text.split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_writes_them() {
        let expected = [("authorization", "Basic a=b"), ("x-team", "data")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers("Authorization=Basic%20a=b, x-team=data,,none"), HashMap::from(expected));
    }
}
