//! A pipeline as it works: its roles and the queues between them, in one version of its plugins.
//!
//! Does not build roles from a plan: a composition root does. Does not run them: `drivers::forever` and `drivers::once` do.

use std::sync::Arc;
use std::time::Duration;

use lake::failure::Failure;
use lake::{bronze, ticks};
use pipeline::role::Role;
use pipeline::schedule::Schedule;
use records::keys::Tick;
use seams::clock::Clock;
use seams::queue::StageQueue;

use super::keeping::Keeping;
pub use super::left::{Ended, Left};
use crate::contract::columns::Reader;
use crate::progress::Progress;
use crate::roles::aggregate::Aggregate;
use crate::roles::clean::Clean;
use crate::roles::enrich::Enrich;
use crate::roles::ingest::Ingest;

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

    /// How long a command that only reads now and then waits between two looks at the queues: zero where a look costs nothing.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        self.all().iter().map(|(_, queue)| queue.live.look_every()).max().unwrap_or_default()
    }
}

/// Whether nothing waits and nothing is under way.
pub async fn is_empty(queue: &StageQueue) -> Result<bool, Failure> {
    Ok(queue.live.depth().await?.total() + queue.dead.depth().await?.total() == 0)
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

impl Service {
    /// The same with its plugins at the beginning of a new generation: for a version that serves again after a different one.
    #[must_use]
    pub fn next_generation(&self) -> Self {
        Service {
            enrich: Arc::new(self.enrich.next_generation()),
            clean: Arc::new(self.clean.next_generation()),
            aggregate: Arc::new(self.aggregate.next_generation()),
            ..self.clone()
        }
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

    /// Records that a Silver that was emptied is whole again. Returns whether it was emptied. Call it when all of Bronze was cleaned again,
    /// which `crate::replay::finish` knows; Gold follows.
    pub(crate) async fn finish_rebuild(&self) -> Result<bool, Failure> {
        let silver = &self.clean.silver;
        if !silver.snapshot().await?.rebuilding {
            return Ok(false);
        }
        silver.rebuilt().await?;
        Ok(true)
    }

    /// The plugin that reads the records of the source.
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
}
