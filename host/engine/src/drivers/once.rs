//! A pipeline run once: one tick, and then the work of all stages until nothing is left or nothing more will be done.
//!
//! Does not wait for ever: it ends when the way is blocked for longer than its patience.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::failure::Failure;
use pipeline::role::Role;
use records::keys::Tick;
use tokio_util::sync::CancellationToken;

use super::consumers::{consume, flatten};
use super::done;
use super::left::{Ended, Left};
use super::service::{Service, is_empty};
use super::serving::Serving;
use super::sweep::{sweep, turn};

/// How often `once` checks whether it is done, and the pause where each look at a queue is paid for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOK_AFAR_EVERY: Duration = Duration::from_secs(1);

/// How long `once` waits while another host looks for what is lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often `once` queues what was given up before it gives up itself.
const MOST_REPAIRS: u32 = 3;

/// How a wait for the end of all work ended.
enum Waited {
    /// Nothing was queued and nothing missing.
    Done,
    /// Before that, with what it waited for in vain, if anything.
    Ended(Option<String>),
}

impl Service {
    /// Fires one tick and works until every record is in its place, or the way has been blocked for `patience`, or a stage is suspended,
    /// or `stop`.
    pub async fn once(&self, tick: Tick, patience: Duration, stop: &CancellationToken) -> Result<Ended, Failure> {
        let begun = self.clock.now();
        let fired = self.ingest.fire(tick).await?;
        let fired = self.ingest.told(fired).await?;
        let left = self.work_off(patience, stop).await?;
        if (Left { tables_behind: BTreeMap::new(), ..left.clone() }).is_nothing() {
            done::say(self, tick, done::how_far(self, tick).await?, begun);
        }
        Ok(Ended { fired, left })
    }

    /// Works until every record is in its place, or the way has been blocked for `patience`, or a stage is suspended, or `stop`.
    pub async fn work_off(&self, patience: Duration, stop: &CancellationToken) -> Result<Left, Failure> {
        let inner = stop.child_token();
        let mut tasks = consume(self, &Serving::new(self.clone()), &Role::ALL, false, &inner);
        let waited = tokio::select! {
            waited = self.until_done(patience, &inner) => waited,
            ended = tasks.join_next() => ended.map_or(Ok(()), flatten).map(|()| Waited::Ended(None)),
        };
        inner.cancel();
        while let Some(ended) = tasks.join_next().await {
            flatten(ended)?;
        }
        let (suspended, outages) = (self.progress.suspended(), self.progress.outages());
        let waited = waited?;
        // Not from the counters: an earlier process may have found it out.
        let tables_behind = self.aggregate.behind().await?.suspended;
        let waiting_for = match waited {
            // What has come since is another host's, or another tick's.
            Waited::Done => return Ok(Left { suspended, tables_behind, ..Left::default() }),
            Waited::Ended(waiting_for) => waiting_for,
        };
        let missing = sweep(self, false).await?;
        let mut queued = 0;
        for (_, queue) in self.queues.all() {
            queued += queue.live.depth().await?.total() + queue.dead.depth().await?.total();
        }
        Ok(Left { missing, queued, waiting_for, suspended, tables_behind, outages })
    }

    /// Returns when nothing is left to do, or nothing more will be done.
    async fn until_done(&self, patience: Duration, stop: &CancellationToken) -> Result<Waited, Failure> {
        let (mut blocked_since, mut repairs) = (None, 0);
        let every = if self.queues.look_every().is_zero() { LOOK_EVERY } else { LOOK_AFAR_EVERY };
        while !stop.is_cancelled() {
            self.clock.sleep(every).await;
            // No waiting helps a suspended stage, and what the stages before it make would only be queued before it.
            if !self.progress.suspended().is_empty() {
                return Ok(Waited::Ended(None));
            }
            match self.progress.waiting_for() {
                None => blocked_since = None,
                Some(reason) => {
                    let now = self.clock.now();
                    let begun: &mut DateTime<Utc> = blocked_since.get_or_insert(now);
                    // A clock that was set back makes no run wait for longer.
                    *begun = (*begun).min(now);
                    // A service that is down blocked the way from its first failed request on, also while that waited for an answer.
                    let since = self.progress.outages().values().map(|outage| outage.since).fold(*begun, Ord::min);
                    if (now - since).to_std().is_ok_and(|span| span >= patience) {
                        return Ok(Waited::Ended(Some(reason)));
                    }
                }
            }
            if self.is_idle().await? {
                let swept = turn(self, stop).await?;
                if !swept.whole {
                    // It is another host's turn, or there is a stop.
                    self.clock.sleep(LOOK_AGAIN).await;
                    continue;
                }
                let missing = swept.missing;
                if missing.is_nothing() {
                    return Ok(Waited::Done);
                }
                repairs += 1;
                if repairs > MOST_REPAIRS {
                    let reason = format!("work that was given up {MOST_REPAIRS} times, see the log: {missing}");
                    return Ok(Waited::Ended(Some(reason)));
                }
            }
        }
        Ok(Waited::Ended(None))
    }

    async fn is_idle(&self) -> Result<bool, Failure> {
        for (_, queue) in self.queues.all() {
            if !is_empty(queue).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
