//! A pipeline that serves until a stop: its schedule, its consumers, and the checks for lost work and finished ticks.
//!
//! Does not decide which version serves: `drivers::serving` does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use lake::events::{NewVersion, encode};
use lake::failure::Failure;
use pipeline::role::Role;
use pipeline::schedule::Schedule;
use records::keys::Tick;
use seams::queue::StageQueue;
use tokio_util::sync::CancellationToken;

use super::consumer::bug;
use super::consumers::{consume, flatten};
use super::service::Service;
use super::serving::Serving;
use super::sweep::sweep_within;
use super::{done, schedule};
use crate::stopping;

/// How often a running pipeline looks for lost work.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// The longest that one look takes. The next look starts with what this one did not reach.
const SWEEP_FOR: Duration = Duration::from_secs(300);

/// How often it checks whether a table that is behind may be made again.
const LOOK_FOR_LIFT: Duration = Duration::from_secs(3);

/// How long it waits before it asks a lake again that did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Service {
    /// Serves these roles until `stop`, as [`Serving::serve`] does with a version that is never switched.
    pub async fn serve(&self, roles: &[Role], stop: &CancellationToken) -> Result<(), Failure> {
        Serving::new(self.clone()).serve(roles, stop).await
    }
}

impl Serving {
    /// Serves these roles until `stop`, then drains: what is in hand is finished, nothing new is taken.
    pub async fn serve(self: &Arc<Self>, roles: &[Role], stop: &CancellationToken) -> Result<(), Failure> {
        while !stop.is_cancelled() {
            let round = stop.child_token();
            let epoch = self.epoch();
            let work = self.round(roles, &round);
            tokio::pin!(work);
            tokio::select! {
                ended = &mut work => ended?,
                () = self.replaced(epoch) => {
                    round.cancel();
                    work.await?;
                }
            }
        }
        Ok(())
    }

    /// Does the work of one role for what is in `queue`, until `stop`. For messages that do not wait in a queue of their own but are handed
    /// over, as to a function. Fires no tick and looks for no lost work.
    pub async fn work_off(
        self: &Arc<Self>,
        role: Role,
        queue: StageQueue,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut tasks = consume(&self.current().fed_by(role, queue), self, &[role], true, stop);
        let mut outcome = Ok(());
        while let Some(ended) = tasks.join_next().await {
            outcome = outcome.and(flatten(ended));
        }
        outcome
    }

    /// Until `stop`: one schedule, one set of consumers.
    async fn round(self: &Arc<Self>, roles: &[Role], stop: &CancellationToken) -> Result<(), Failure> {
        let service = self.current();
        let mut tasks = consume(&service, self, roles, true, stop);
        let ticks = async {
            match &service.schedule {
                Some(schedule) if roles.contains(&Role::Ingest) => {
                    if let Some(missed) = missed(schedule, &service, stop).await {
                        schedule::keep(schedule, missed, &service.ingest, &service.clock, stop).await;
                    }
                }
                _ => stop.cancelled().await,
            }
            Ok(())
        };
        let done = async {
            done::follow(self, stop).await;
            Ok(())
        };
        let sweeps = async {
            while !stop.is_cancelled() {
                let service = self.current();
                let swept = stopping::under(stop, AssertUnwindSafe(sweep_within(&service, SWEEP_FOR)).catch_unwind());
                let swept = tokio::select! {
                    swept = swept => swept,
                    // It is left as if the host had died, which costs nothing.
                    () = stopping::under(stop, stopping::overdue(&*service.clock)) => break,
                };
                if let Err(failure) = swept.unwrap_or_else(|panic| Err(bug(panic))) {
                    tracing::warn!(error = %failure, "sweep failed");
                }
                tokio::select! {
                    () = service.clock.sleep(SWEEP_EVERY) => {}
                    () = stop.cancelled() => {}
                }
            }
            Ok(())
        };
        let lifted = async {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = service.clock.sleep(LOOK_FOR_LIFT) => lifted(&self.current()).await,
                    () = stop.cancelled() => {}
                }
            }
            Ok(())
        };
        let drained = async {
            while let Some(ended) = tasks.join_next().await {
                flatten(ended).inspect_err(|_| stop.cancel())?;
            }
            Ok(())
        };
        tokio::try_join!(ticks, done, sweeps, lifted, drained).map(drop)
    }
}

/// Makes the tables that were behind because their plugin failed and whose suspension is lifted: by hand, or by another plugin.
async fn lifted(service: &Service) {
    let behind = service.progress.behind();
    for table in service.aggregate.tables.iter().filter(|table| behind.contains_key(&table.name)) {
        if !matches!(service.aggregate.failure(table).await, Ok(None)) {
            continue;
        }
        let told = async {
            let event = encode(&NewVersion { silver: service.clean.silver.snapshot().await?.version });
            service.queues.aggregate.live.send_missing(vec![event]).await?;
            Ok::<_, Failure>(())
        };
        match told.await {
            // From now on it is no longer known to be behind.
            Ok(()) => drop(service.progress.set_behind(&table.name, None)),
            Err(error) => tracing::debug!(table = table.name, %error, "the next look has the table made"),
        }
    }
}

/// The ticks that were missed up to now, asked for until the lake answers; `None` on a stop.
async fn missed(
    schedule: &Schedule,
    service: &Service,
    stop: &CancellationToken,
) -> Option<(Vec<Tick>, DateTime<Utc>)> {
    while !stop.is_cancelled() {
        let now = service.clock.now();
        match schedule::missed(schedule, &service.enrich.lake, now).await {
            Ok(missed) => return Some((missed, now)),
            Err(error) => tracing::warn!(%error, "cannot tell yet which ticks were missed"),
        }
        tokio::select! {
            () = service.clock.sleep(LOOK_AGAIN) => {}
            () = stop.cancelled() => {}
        }
    }
    None
}
