//! A service that is down: which senders may still ask it, which one finds out whether it is up again, and how that is reported.
//!
//! Does not judge whether it is down: `health` does. Does not decide what becomes of the work: the class of the failure does.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::failure::Failure;
use seams::plugin::EndpointRequest;
use tokio::sync::SemaphorePermit;

use super::endpoints::Gateway;
use super::gate::Gate;
use super::health::{Stance, Trouble};
use super::judge::trouble;
use crate::progress::Outage;

impl Gateway {
    /// Waits until a request may be sent. [`Failure::Pause`] if the service is down. When a probe is due, the caller makes it.
    pub(super) async fn admitted<'g>(&self, gate: &'g Gate) -> Result<Option<SemaphorePermit<'g>>, Failure> {
        // The semaphore is never closed.
        let permit = if gate.health().is_proven() { None } else { gate.unproven.acquire().await.ok() };
        loop {
            let stance = gate.health().stance(self.clock.now());
            match stance {
                Stance::Up => return Ok(permit),
                Stance::Down { pause, reason } => return Err(Failure::Pause { pause, reason }),
                Stance::Due => {
                    let _alone = gate.probing.lock().await;
                    let still_due = gate.health().stance(self.clock.now()) == Stance::Due;
                    if still_due {
                        self.probe(gate).await?;
                    }
                }
            }
        }
    }

    /// Asks the service whether it is up; if not, it is asked again later.
    pub(super) async fn probe(&self, gate: &Gate) -> Result<bool, Failure> {
        let request = gate.health().probe();
        let Some(request) = request else {
            let over = gate.health().is_over();
            self.tell_over(over);
            return Ok(true);
        };
        let sent = self.clock.now();
        let (_, asked) = self.exchange(gate, &request).await?;
        match trouble(&asked, true, sent) {
            None => {
                self.is_up(gate, &request);
                Ok(true)
            }
            Some(trouble) => {
                gate.health().failed(&request, sent, &trouble);
                self.goes_down(gate, trouble.pause);
                Ok(false)
            }
        }
    }

    /// Notes that a request has failed. Fails if the service is down and the request is not at fault.
    pub(super) async fn failed(
        &self,
        gate: &Gate,
        request: &EndpointRequest,
        sent: DateTime<Utc>,
        trouble: &Trouble,
    ) -> Result<(), Failure> {
        let looks_down = gate.health().failed(request, sent, trouble);
        if looks_down {
            let _alone = gate.probing.lock().await;
            let (stance, witness) = {
                let health = gate.health();
                (health.stance(self.clock.now()), health.has_witness())
            };
            match stance {
                // A request that has succeeded before tells a service that is down from requests that get no answer.
                Stance::Up if witness && !trouble.certain => drop(self.probe(gate).await?),
                Stance::Up => self.goes_down(gate, trouble.pause),
                Stance::Due | Stance::Down { .. } => {}
            }
        }
        let stance = gate.health().stance(self.clock.now());
        match stance {
            Stance::Down { pause, reason } => Err(Failure::Pause { pause, reason }),
            Stance::Up | Stance::Due => Ok(()),
        }
    }

    pub(super) fn goes_down(&self, gate: &Gate, pause: Option<Duration>) {
        let (begins, outage) = {
            let mut health = gate.health();
            (health.goes_down(self.clock.now(), pause), health.outage())
        };
        if let Some(outage) = begins {
            let Outage { endpoint, since, error, requests } = &outage;
            tracing::error!(endpoint, %since, error, requests, "the service is down: it is asked rarely until it answers, nothing is lost");
        }
        if let Some(outage) = outage {
            self.progress.set_outage(&outage.endpoint.clone(), Some(outage));
        }
        gate.went_down.notify_waiters();
    }

    pub(super) fn is_up(&self, gate: &Gate, request: &EndpointRequest) {
        let over = gate.health().succeeded(request);
        self.tell_over(over);
    }

    pub(super) fn tell_over(&self, over: Option<Outage>) {
        let Some(Outage { endpoint, since, requests, .. }) = over else { return };
        let down_for = (self.clock.now() - since).to_std().unwrap_or_default();
        tracing::info!(endpoint, %since, ?down_for, requests, "the service answers again");
        self.progress.set_outage(&endpoint, None);
    }
}
