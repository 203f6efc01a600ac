//! What a function does with an event: it fires a tick, or works off a batch of messages as the role's consumer would.
//!
//! Does not talk to Lambda.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws::events::{self, BatchRecord};
use aws::lambda::{BatchQueue, Invocation, Redelivery, Unfinished};
use bytes::Bytes;
use engine::drivers::schedule;
use engine::drivers::serving::Serving;
use engine::drivers::sweep::sweep_within;
use engine::progress::Progress;
use pipeline::plan::{LakePlaces, Location, Plan};
use pipeline::role::Role;
use records::keys::Tick;
use seams::queue::StageQueue;
use seams::spans;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::place::Place;
use crate::swap::Watch;

/// How often it looks for a new version, at most.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long it waits for the next look after one that took too long.
const AFTER_LONG: Duration = Duration::from_secs(60);
/// How often it looks whether a batch can continue.
const PULSE: Duration = Duration::from_millis(25);
/// The last part of an invocation's time, in which it begins nothing more, within these bounds.
const LAST_PART: u32 = 5;
const LEAST_MARGIN: Duration = Duration::from_millis(500);
const MOST_MARGIN: Duration = Duration::from_secs(15);
/// The longest that the answer itself takes.
const TO_ANSWER: Duration = Duration::from_millis(300);
/// How long a message rests when its pause is over.
const SHORT_REST: Duration = Duration::from_secs(1);
/// The longest rest of a message that met a pause. SQS allows twelve hours.
const LONGEST_REST: Duration = Duration::from_secs(11 * 3600);

/// One role at work, warm from one invocation to the next.
pub(super) struct Function<'a> {
    role: Role,
    serving: Arc<Serving>,
    lake: LakePlaces,
    place: &'a Place,
    watch: Option<Watch<'a>>,
    next_look: Instant,
    redelivery: Option<Redelivery>,
}

impl<'a> Function<'a> {
    /// The function of `role`, which `serving` serves.
    pub(super) async fn new(
        role: Role,
        serving: Arc<Serving>,
        plan: &Plan,
        place: &'a Place,
        watch: Option<Watch<'a>>,
    ) -> Self {
        let redelivery = match &plan.queue.url {
            // Without AWS there is no redelivery.
            Some(url) => match place.remote.cloud().await {
                Ok(cloud) => Redelivery::of_stage(cloud, url, role.name()).await,
                Err(_) => None,
            },
            None => None,
        };
        let (lake, next_look) = (plan.lake.clone(), Instant::now() + LOOK_EVERY);
        Function { role, serving, lake, place, watch, next_look, redelivery }
    }

    /// What the function has counted since it began.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.serving.current().progress)
    }

    /// What it has counted that a newer plugin, serving elsewhere meanwhile, would do differently: records that it refused, and objects that it
    /// found done already.
    fn doubtful(&self) -> u64 {
        let progress = self.progress();
        Progress::get(&progress.quarantined) + Progress::get(&progress.found_done)
    }

    /// Does the work of an event, and returns the answer.
    pub(super) async fn invoke(&mut self, invocation: &Invocation) -> anyhow::Result<Vec<u8>> {
        let until = Instant::now() + invocation.left;
        self.look(invocation.left).await;
        if self.role == Role::Ingest {
            return self.tick(&invocation.event, until).await;
        }
        let records = events::batch(&invocation.event)?;
        let span = spans::role(&self.serving.current().pipeline, self.role.name());
        let answer_at = until.checked_sub(TO_ANSWER).unwrap_or(until);
        let doubtful = self.doubtful();
        let (unfinished, paused) = self.batch(records, (until, answer_at)).instrument(span).await;
        // The pause may mean that another function has switched to another plugin: then this one can, too. And if another function took back
        // the plugin that serves here, only this function can tell before the next tick: it refuses records, or finds repeated work done.
        let looks = (paused && !unfinished.is_empty()) || self.doubtful() > doubtful;
        let goes_on = looks && self.renewed(answer_at).await && paused;
        if !unfinished.is_empty() {
            self.put_off(&unfinished, (paused, goes_on), answer_at).await;
        }
        let failures: Vec<_> = unfinished.iter().map(|one| json!({ "itemIdentifier": one.id })).collect();
        Ok(json!({ "batchItemFailures": failures }).to_string().into_bytes())
    }

    /// Lets a newly published version take over before the batch: between two invocations the process is frozen. If anything fails, the old
    /// version continues to serve.
    async fn look(&mut self, left: Duration) {
        let Some(watch) = &mut self.watch else { return };
        if Instant::now() < self.next_look {
            return;
        }
        let looked = tokio::time::timeout(left / 2, async {
            if let Err(error) = self.place.fetch().await {
                tracing::warn!(error = format!("{error:#}"), "the pipeline file stays as it was");
            }
            watch.turn().await;
        });
        let looked = looked.instrument(spans::pipeline(&self.serving.current().pipeline));
        let rest = if looked.await.is_ok() {
            LOOK_EVERY
        } else {
            tracing::warn!("what was published takes longer to try than there is time, it is tried again later");
            watch.forget();
            AFTER_LONG
        };
        self.next_look = Instant::now() + rest;
    }

    /// Whether another version serves after another look.
    async fn renewed(&mut self, answer_at: Instant) -> bool {
        let before = self.serving.number();
        self.next_look = Instant::now();
        self.look(answer_at.saturating_duration_since(Instant::now())).await;
        self.serving.number() != before
    }

    /// Fires a tick, then those that were missed, and then looks for lost work while there is time. The tick is fired first, so that no
    /// amount of lost work delays it.
    async fn tick(&self, event: &Bytes, until: Instant) -> anyhow::Result<Vec<u8>> {
        let service = self.serving.current();
        let tick = events::tick(event)?.unwrap_or_else(|| Tick::at(service.clock.now()));
        let missed = match &service.schedule {
            Some(schedule) => schedule::missed(schedule, &service.enrich.lake, tick.instant()).await,
            None => Ok(Vec::new()),
        };
        let fired = service.ingest.fire(tick).await?;
        let missed = missed.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell which ticks were missed, the next one does");
            Vec::new()
        });
        for missed in missed.into_iter().filter(|missed| *missed != tick) {
            if let Err(failure) = service.ingest.fire(missed).await {
                tracing::error!(run = %missed, error = %failure, "a tick that was missed failed again, the next one tries it again");
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        if let Err(failure) = sweep_within(&service, left.saturating_sub(left / LAST_PART)).await {
            tracing::warn!(error = %failure, "sweep failed");
        }
        Ok(serde_json::to_vec(&fired)?)
    }

    /// Works off a batch. Returns the messages that are not done, and whether they met a pause.
    async fn batch(
        &self,
        records: Vec<BatchRecord>,
        (until, answer_at): (Instant, Instant),
    ) -> (Vec<Unfinished>, bool) {
        let works = records.into_iter().map(|record| {
            let bodies = self.bodies(&record);
            (record, bodies)
        });
        let queue = Arc::new(BatchQueue::of(works.collect()));
        let service = self.serving.current();
        // An earlier invocation may have met either; this one checks again.
        service.progress.resume(self.role.name());
        service.progress.set_waiting_for(None);
        let stop = CancellationToken::new();
        let dead = Arc::new(BatchQueue::of(Vec::new()));
        let feed = StageQueue { live: Arc::clone(&queue) as _, dead };
        let margin = (until.saturating_duration_since(Instant::now()) / LAST_PART).clamp(LEAST_MARGIN, MOST_MARGIN);
        let begin_until = until.checked_sub(margin).unwrap_or(until);
        let conduct = async {
            let mut pulse = tokio::time::interval(PULSE);
            let why = loop {
                tokio::select! {
                    () = queue.settled() => break None,
                    () = tokio::time::sleep_until(begin_until.into()) => break Some("the time is nearly over".to_owned()),
                    _ = pulse.tick() => {}
                }
                // To wait here would cost money, and SQS waits for free.
                let blocked = service.progress.waiting_for();
                if let Some(reason) = blocked.or_else(|| service.progress.suspended().remove(self.role.name())) {
                    break Some(reason);
                }
            };
            queue.close();
            stop.cancel();
            why
        };
        let work = self.serving.work_off(self.role, feed, &stop);
        let both = async {
            let (why, ended) = tokio::join!(conduct, work);
            if let Err(failure) = ended {
                tracing::error!(error = %failure, "stopped");
            }
            why
        };
        let why = match tokio::time::timeout_at(answer_at.into(), both).await {
            Ok(why) => why,
            // Work in hand is cut off as if the host had died: it comes again, and its finished part is found done.
            Err(_) => Some("the time is over".to_owned()),
        };
        let unfinished = queue.unfinished();
        if !unfinished.is_empty() {
            let reason = why.unwrap_or_else(|| "see above".to_owned());
            tracing::warn!(messages = unfinished.len(), reason, "not all of the batch is done");
        }
        (unfinished, service.progress.waiting_for().is_some())
    }

    /// Has the messages delivered again when a retry may succeed: after a pause later each time, unless the pause is over already.
    async fn put_off(&self, unfinished: &[Unfinished], (paused, goes_on): (bool, bool), answer_at: Instant) {
        let Some(redelivery) = &self.redelivery else { return };
        let rested = unfinished.iter().cloned().map(|one| {
            let stated = one.after.filter(|after| !after.is_zero());
            let paused = || paused.then(|| if goes_on { SHORT_REST } else { rest(one.receives) });
            let after = stated.or_else(paused);
            Unfinished { after, ..one }
        });
        let rested: Vec<Unfinished> = rested.collect();
        let limit = answer_at.saturating_duration_since(Instant::now()).max(TO_ANSWER / 2);
        if tokio::time::timeout(limit, redelivery.settle(&rested)).await.is_err() {
            tracing::debug!("SQS was not told in time when to deliver again");
        }
    }

    /// The work that a message stands for.
    fn bodies(&self, record: &BatchRecord) -> Vec<Bytes> {
        match (self.role, &self.lake.bronze, &self.lake.silver) {
            (Role::Clean, Location::Remote(bronze), _) => events::to_clean(bronze, &record.body),
            (Role::Aggregate, _, Location::Remote(silver)) => events::to_aggregate(silver, &record.body),
            _ => vec![record.body.clone()],
        }
    }
}

/// How long a message that met a pause rests: twice as long each time, so that its receives last for more than a day.
fn rest(receives: u32) -> Duration {
    Duration::from_secs(60).saturating_mul(2_u32.saturating_pow(receives)).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_receives_outlast_a_quota_of_a_day() {
        let total: Duration = (1..=10).map(rest).sum();
        assert!(total > Duration::from_secs(24 * 3600), "{total:?}");
        assert_eq!((rest(1), rest(u32::MAX)), (Duration::from_secs(120), LONGEST_REST));
    }
}
