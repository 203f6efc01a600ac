//! [`Faulty`] over HTTP: no connection before the effect, a broken answer after it. Odd is a service in trouble that says so: errors of
//! its own, throttling with and without a time, a body that is cut off.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use seams::http::{Http, HttpAnswer, HttpError, HttpRequest};

use super::{Fate, Faulty};

#[async_trait]
impl<T: Http + ?Sized> Http for Faulty<T> {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        match self.faults.next().await {
            Fate::Pass => self.inner.send(request).await,
            Fate::FailBefore => Err(HttpError::Connect("injected".into())),
            Fate::FailAfter => {
                self.inner.send(request).await?;
                Err(HttpError::Broken("injected".into()))
            }
            Fate::Odd => trouble(self.faults.pick(7)),
            Fate::Die { after } => {
                if after {
                    let _ = self.inner.send(request).await;
                }
                self.faults.die().await
            }
        }
    }
}

fn trouble(kind: usize) -> Result<HttpAnswer, HttpError> {
    let says = |status, headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(HttpAnswer { status, headers, body: Bytes::from_static(b"<html>trouble</html>") })
    };
    match kind {
        0 => says(500, &[]),
        1 => says(502, &[]),
        2 => says(503, &[("retry-after", "3")]),
        3 => says(429, &[("retry-after", "90")]),
        4 => says(429, &[]),
        5 => Err(HttpError::Timeout(Duration::from_secs(5))),
        _ => Err(HttpError::Broken("the body ended early".into())),
    }
}
