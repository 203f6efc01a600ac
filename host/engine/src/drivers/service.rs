//! A pipeline at work: its roles, its queues, and the two ways to run it, for ever and once.
//!
//! Does not build roles from a plan: a composition root does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::failure::Failure;
use lake::{bronze, ticks};
use pipeline::role::Role;
use pipeline::schedule::Schedule;
use records::keys::Tick;
use seams::clock::Clock;
use seams::queue::StageQueue;
use seams::spans;
use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::consumer::Consumer;
use super::done;
use super::keeping::Keeping;
use super::serving::Serving;
use super::sweep::{Missing, is_empty, sweep, turn};
use super::work::{AggregateQueue, CleanQueue, EnrichQueue};
use crate::contract::columns::Reader;
use crate::progress::{Outage, Progress};
use crate::roles::aggregate::Aggregate;
use crate::roles::clean::Clean;
use crate::roles::enrich::Enrich;
use crate::roles::ingest::{Fired, Ingest};

/// Events that become one commit.
const COALESCE: usize = 256;
/// Records that the enrich stage has in hand, unless its workers have more, and messages at most.
const RECORDS_IN_HAND: usize = 64;
const MESSAGES_IN_HAND: usize = 10;
/// How often `once` looks whether it is done, and where each look at a queue is paid for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOK_AFAR_EVERY: Duration = Duration::from_secs(1);

/// How long `once` waits while another host looks for what is lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often `once` queues what was given up before it gives up itself.
const MOST_REPAIRS: u32 = 3;

/// The queues between the roles.
#[derive(Clone, Debug)]
pub struct Queues {
    /// Messages to enrich.
    pub enrich: StageQueue,
    /// Objects to clean.
    pub clean: StageQueue,
    /// Versions to aggregate.
    pub aggregate: StageQueue,
}

impl Queues {
    /// All queues with their stages' names.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &StageQueue); 3] {
        [("enrich", &self.enrich), ("clean", &self.clean), ("aggregate", &self.aggregate)]
    }

    /// How rarely who only looks now and then asks what is in them: zero where that costs nothing.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        self.all().iter().map(|(_, queue)| queue.live.look_every()).max().unwrap_or_default()
    }
}

/// A pipeline at work, in one version of its plugins. Cheap to clone; clones share queues, counters and what is known of tables.
#[derive(Clone)]
pub struct Service {
    /// The pipeline's name.
    pub pipeline: String,
    /// When it ticks.
    pub schedule: Option<Schedule>,
    /// Messages that the enrich stage has under way at once.
    pub enrich_workers: usize,
    /// After how many receives a message is given up.
    pub max_receives: u32,
    /// Role ingest.
    pub ingest: Arc<Ingest>,
    /// Role enrich.
    pub enrich: Arc<Enrich>,
    /// Role clean.
    pub clean: Arc<Clean>,
    /// Role aggregate.
    pub aggregate: Arc<Aggregate>,
    /// The queues between them.
    pub queues: Queues,
    /// The tables' old versions.
    pub keeping: Arc<Keeping>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub progress: Arc<Progress>,
}

/// How a run ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Ended {
    /// What the tick did.
    pub fired: Fired,
    /// What is still not done: nothing, unless the run was stopped or had to wait too long.
    #[serde(flatten)]
    pub left: Left,
}

/// What is left when work ends.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Left {
    /// What is still not done.
    pub missing: Missing,
    /// Messages that are still queued, given up or in somebody's hands: of what is to be done again the lake knows nothing.
    pub queued: u64,
    /// Why it did not wait longer.
    pub waiting_for: Option<String>,
    /// The stages that are suspended, and why. Their messages stay queued.
    pub suspended: BTreeMap<&'static str, String>,
    /// The Gold tables that keep their last good version because their plugin fails, and why.
    pub tables_behind: BTreeMap<String, String>,
    /// The services that are down, by endpoint.
    pub outages: BTreeMap<String, Outage>,
}

impl Left {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.missing.is_nothing() && self.queued == 0 && self.suspended.is_empty() && self.tables_behind.is_empty()
    }
}

/// How a wait for the end of all work ended.
enum Waited {
    /// Nothing was queued and nothing missing.
    Done,
    /// Before that, with what it waited for in vain, if anything.
    Ended(Option<String>),
}

impl Service {
    /// Serves these roles until `stop`, as [`Serving::serve`] does with a version that is never switched.
    pub async fn serve(&self, roles: &[Role], stop: &CancellationToken) -> Result<(), Failure> {
        Serving::new(self.clone()).serve(roles, stop).await
    }

    /// The same with its plugins at the beginning of a new generation: for a version that serves again after another one.
    #[must_use]
    pub fn anew(&self) -> Self {
        Service {
            enrich: Arc::new(self.enrich.anew()),
            clean: Arc::new(self.clean.anew()),
            aggregate: Arc::new(self.aggregate.anew()),
            ..self.clone()
        }
    }

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
        let mut tasks = self.consume(&Serving::new(self.clone()), &Role::ALL, false, &inner);
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

    /// The same with another queue before one of its roles.
    #[must_use]
    pub(super) fn fed_by(&self, role: Role, queue: StageQueue) -> Self {
        let mut queues = self.queues.clone();
        match role {
            Role::Ingest => {}
            Role::Enrich => queues.enrich = queue,
            Role::Clean => queues.clean = queue,
            Role::Aggregate => queues.aggregate = queue,
        }
        Service { queues, ..self.clone() }
    }

    /// Says that a Silver that was emptied is whole again, and whether it was one. To be called when all of Bronze was cleaned again, which
    /// `crate::replay::finish` knows; Gold follows.
    pub(crate) async fn finish_rebuild(&self) -> Result<bool, Failure> {
        let silver = &self.clean.silver;
        if !silver.snapshot().await?.rebuilding {
            return Ok(false);
        }
        silver.rebuilt().await?;
        Ok(true)
    }

    /// Who reads the records of the source.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::of(self.enrich.plugin.as_deref().map(|plugin| plugin.descriptor()), self.clean.plugin.descriptor())
    }

    /// The last tick up to now that took something from the source.
    pub async fn last_tick(&self) -> Result<Option<Tick>, Failure> {
        Ok(ticks::last(&self.enrich.lake, self.clock.now()).await?)
    }

    /// The ticks that are in the lake and still to come.
    pub async fn future_ticks(&self) -> Result<Vec<Tick>, Failure> {
        let now = Tick::at(self.clock.now());
        let ticks = bronze::ticks(&self.enrich.lake).await?;
        Ok(ticks.into_iter().filter(|tick| *tick > now).collect())
    }

    /// Starts the consumers of these roles, which go on in a lake that is not as expected if they last. Each batch is the work of what
    /// serves at its beginning.
    pub(super) fn consume(
        &self,
        serving: &Arc<Serving>,
        roles: &[Role],
        lasts: bool,
        stop: &CancellationToken,
    ) -> JoinSet<Result<(), Failure>> {
        let mut tasks = JoinSet::new();
        let room = Arc::default();
        for role in roles {
            tasks.spawn({
                let stop = stop.clone();
                let consumer = self.consumer(serving, *role, lasts, &room);
                let running = async move {
                    match consumer {
                        Some(consumer) => consumer.run(stop).await,
                        None => {
                            stop.cancelled().await;
                            Ok(())
                        }
                    }
                };
                running.instrument(spans::role(&self.pipeline, role.name()))
            });
        }
        tasks
    }

    fn consumer(&self, serving: &Arc<Serving>, role: Role, lasts: bool, room: &Arc<RwLock<()>>) -> Option<Consumer> {
        let consumer = |stage, queue: &StageQueue, work, at_once, workers| Consumer {
            stage,
            queue: queue.clone(),
            work,
            at_once,
            workers,
            max_receives: self.max_receives,
            lasts,
            room: Arc::clone(room),
            clock: Arc::clone(&self.clock),
            progress: Arc::clone(&self.progress),
        };
        match role {
            Role::Ingest => None,
            Role::Enrich => {
                let (batch_size, at_once) = (self.ingest.source.batch_size, self.enrich.concurrency);
                let turns = self.enrich_workers.saturating_mul(at_once.min(batch_size).get());
                let turns = Semaphore::new(turns.min(Semaphore::MAX_PERMITS));
                let work = Arc::new(EnrichQueue { serving: Arc::clone(serving), turns });
                // Of small messages more than work at once: what they were answered is written together.
                let workers = self.enrich_workers.max((RECORDS_IN_HAND / batch_size).min(MESSAGES_IN_HAND));
                Some(consumer("enrich", &self.queues.enrich, work, 1, workers))
            }
            Role::Clean => {
                let work = Arc::new(CleanQueue { serving: Arc::clone(serving) });
                Some(consumer("clean", &self.queues.clean, work, COALESCE, 1))
            }
            Role::Aggregate => {
                let work = Arc::new(AggregateQueue::new(Arc::clone(serving)));
                Some(consumer("aggregate", &self.queues.aggregate, work, COALESCE, 1))
            }
        }
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
                    // A clock that was set back makes nobody wait for longer.
                    *begun = (*begun).min(now);
                    // A service that is down blocked the way from its first request on that failed, also while that waited for an answer.
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

pub(super) fn flatten(ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> Result<(), Failure> {
    ended.unwrap_or_else(|error| Err(Failure::Fatal(format!("host bug: {error}"))))
}
