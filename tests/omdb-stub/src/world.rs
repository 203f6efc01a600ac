//! Answers for everything that a call can see or change: films, faults, counters, quota; and what they are at the start.
//!
//! Does not listen (`server`), and does not know calls.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::faults::{Faults, Rule};
use crate::films::Films;
use crate::stats::Snapshot;

/// What a stand-in starts with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The CSV of films.
    pub films: PathBuf,
    /// The one key that is right.
    pub key: String,
    /// Loopback port; 0 lets the system choose.
    pub port: u16,
    /// Good calls until `Request limit reached!`; none for ever.
    pub quota: Option<u64>,
    /// What every answer takes at least.
    pub latency: Duration,
    /// Faults that are in force from the start.
    pub faults: Vec<Rule>,
}

impl Options {
    /// The usual stand-in of a test: any free port, no quota, no latency, no faults.
    pub fn new(films: impl Into<PathBuf>, key: impl Into<String>) -> Self {
        Self { films: films.into(), key: key.into(), port: 0, quota: None, latency: Duration::ZERO, faults: Vec::new() }
    }
}

/// Good calls allowed and used.
#[derive(Default)]
pub(crate) struct Quota {
    limit: Option<u64>,
    used: u64,
}

impl Quota {
    pub(crate) fn set(&mut self, limit: Option<u64>) {
        *self = Self { limit, used: 0 };
    }

    pub(crate) fn reset(&mut self) {
        self.used = 0;
    }

    /// Takes one call from the quota, if there is one left.
    pub(crate) fn take(&mut self) -> bool {
        let left = self.limit.is_none_or(|limit| self.used < limit);
        if left {
            self.used += 1;
        }
        left
    }
}

/// Everything that a call can see or change.
pub(crate) struct World {
    pub(crate) films: Films,
    pub(crate) faults: Faults,
    pub(crate) stats: Snapshot,
    pub(crate) quota: Quota,
    pub(crate) latency: Duration,
    pub(crate) key: String,
    start: Options,
}

impl World {
    /// Everything as at the start.
    pub(crate) fn reset(&mut self) {
        self.films.restore();
        self.stats.zero();
        self.quota.set(self.start.quota);
        self.latency = self.start.latency;
        self.faults.clear();
        for rule in self.start.faults.clone() {
            self.faults.add(rule);
        }
    }
}

/// The world behind its lock, which is never held across a wait.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        for rule in &options.faults {
            if let Some(problem) = rule.problem() {
                anyhow::bail!("a fault rule is wrong: {problem}");
            }
        }
        let mut world = World {
            films: Films::read(&options.films)?,
            faults: Faults::default(),
            stats: Snapshot::default(),
            quota: Quota::default(),
            latency: options.latency,
            key: options.key.clone(),
            start: options.clone(),
        };
        world.reset();
        Ok(Self(Arc::new(Mutex::new(world))))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
