//! [`Faulty`] over HTTP: no connection before the effect, a broken answer after it.

use async_trait::async_trait;
use engine::seams::http::{Http, HttpAnswer, HttpError, HttpRequest};

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
        }
    }
}
