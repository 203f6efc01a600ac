//! The way out: an endpoint's name and some parameters become one request with secrets, within the endpoint's rate, tried again
//! where that makes sense.
//!
//! Does not keep answers, and does not know what they mean: `roles::enrich` and its plugin do. No answer that leaves it holds a secret.

use seams::http::HttpAnswer;
use seams::plugin::EndpointRequest;

use crate::stopping;

mod admit;
mod endpoints;
mod error;
mod gate;
mod health;
mod judge;
mod keys;
mod outages;
mod timing;

pub use endpoints::Gateway;
pub use error::GatewayError;
use judge::{Verdict, after_error, of_try, trouble};

impl Gateway {
    /// The answer to `request` (as the plugin asked), tried as often as its endpoint allows.
    pub async fn send(&self, request: &EndpointRequest) -> Result<HttpAnswer, GatewayError> {
        let gate = self.gate(&request.endpoint)?;
        let mut refreshed = false;
        let mut attempt = 1;
        loop {
            let permit = self.admitted(gate).await?;
            let sent = self.clock.now();
            let (url, asked) = self.exchange(gate, request).await?;
            drop(permit);
            match trouble(&asked, attempt >= gate.endpoint.attempts.get(), sent) {
                None => self.is_up(gate, request),
                Some(trouble) => self.failed(gate, request, sent, &trouble).await?,
            }
            let wait = match asked {
                Ok(answer) if matches!(answer.status, 401 | 403) && !refreshed => {
                    // The secret may have been rotated: look once, and ask again only if it has changed.
                    refreshed = true;
                    if !self.keys.refresh(&gate.endpoint).await? {
                        return Ok(answer);
                    }
                    continue;
                }
                Ok(answer) => {
                    let (now, redactor) = (self.clock.now(), self.keys.redactor());
                    match of_try(gate, (request, &url), &answer, attempt, now, redactor) {
                        Verdict::Answer => return Ok(answer),
                        Verdict::Refuse(error) => return Err(error),
                        Verdict::Wait(span) => span,
                    }
                }
                Err(error) => after_error(gate, request, error, attempt)?,
            };
            attempt += 1;
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                () = gate.went_down.notified() => {}
                () = stopping::stopped() => return Err(stopping::failure().into()),
            }
        }
    }
}
