//! The version of a pipeline that serves. A new version takes its place between two batches, and the old one comes back when the new one
//! turns out worse.
//!
//! Does not find out whether a version is any good before it serves: `crate::rehearsal` does. Does not load plugins, and does no work:
//! `drivers::forever` does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use lake::failure::Failure;
use lake::swaps::{self, Happened, Held, Initiator, Version};
use lake::{Lake, bronze};
use records::keys::Tick;
use tokio::sync::watch;

use super::mending::mend;
use super::service::Service;
use crate::progress::Progress;

/// What serves, and since which switch.
#[derive(Clone)]
struct Now {
    /// One more at each switch.
    number: u64,
    /// One more at each switch of more than plugins: consumers and schedule start over.
    epoch: u64,
    service: Arc<Service>,
}

/// A switch that may still be taken back by itself.
struct Before {
    /// The number that the switch led to.
    number: u64,
    service: Arc<Service>,
    /// The versions that the switch brought, and those that they replaced.
    replaced: Vec<Replaced>,
}

/// A plugin in the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The stage: `enrich`, `clean`, or `aggregate NAME`.
    pub stage: String,
    /// What served.
    pub old: Version,
    /// What serves now.
    pub new: Version,
}

/// The version of a pipeline that serves.
pub struct Serving {
    now: watch::Sender<Now>,
    before: Mutex<Option<Before>>,
    /// Ticks that are known to be in the lake. Held during a look, so that one look serves all callers.
    ticks: tokio::sync::Mutex<BTreeSet<Tick>>,
}

impl Serving {
    /// `service` serves.
    #[must_use]
    pub fn new(service: Service) -> Arc<Self> {
        let now = Now { number: 0, epoch: 0, service: Arc::new(service) };
        Arc::new(Serving { now: watch::Sender::new(now), before: Mutex::default(), ticks: Default::default() })
    }

    /// Whether the lake has a tick. A tick that was found once is not looked for again.
    pub(super) async fn has_tick(&self, lake: &Lake, tick: Tick) -> Result<bool, Failure> {
        let mut known = self.ticks.lock().await;
        if known.contains(&tick) {
            return Ok(true);
        }
        let has = bronze::has_tick(lake, tick).await?;
        if has {
            known.insert(tick);
        }
        Ok(has)
    }

    /// What serves. A batch asks once and stays with what it got.
    #[must_use]
    pub fn current(&self) -> Arc<Service> {
        Arc::clone(&self.now.borrow().service)
    }

    /// The number of switches so far.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.now.borrow().number
    }

    /// Returns when the number is no longer `seen`.
    pub async fn renewed(&self, seen: u64) {
        let mut now = self.now.subscribe();
        // The sender is in `self`.
        let _ = now.wait_for(|now| now.number != seen).await;
    }

    /// The number of switches of more than plugins so far.
    pub(super) fn epoch(&self) -> u64 {
        self.now.borrow().epoch
    }

    /// Returns when the epoch is no longer `epoch`.
    pub(super) async fn replaced(&self, epoch: u64) {
        let mut now = self.now.subscribe();
        let _ = now.wait_for(|now| now.epoch != epoch).await;
    }

    /// Lets `next` serve, which differs in plugins only: batches in hand are finished by the version that they began with, and what is
    /// taken from now on is `next`'s. `replaced` comes back by itself if one of the new plugins fails as a whole while it is on trial.
    pub fn switch(&self, next: Service, replaced: Vec<Replaced>) {
        let service = self.current();
        self.put(next, 0);
        let before = Before { number: self.number(), service, replaced };
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    }

    /// Lets `next` serve, which differs in more: what is in hand is finished, then consumers and schedule start over.
    pub fn replace(&self, next: Service) {
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.put(next, 1);
    }

    fn put(&self, next: Service, epochs: u64) {
        // The next tick's columns are compared with what reads them now.
        next.ingest.reads.set(next.reader());
        let service = Arc::new(next);
        self.now.send_modify(|now| {
            *now = Now { number: now.number + 1, epoch: now.epoch + epochs, service: Arc::clone(&service) };
        });
    }

    /// The version of number `seen` has failed as a whole in `stage`, one of `enrich`, `clean` and `aggregate NAME`. Returns whether the
    /// version before it serves in its place now. That is so once, and only if the failure is of a stage that the latest switch has
    /// changed.
    pub async fn fall_back(&self, stage: &str, seen: u64, reason: &str) -> bool {
        let before = {
            let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            let concerned =
                |before: &Before| before.number == seen && before.replaced.iter().any(|one| one.stage == stage);
            before.take_if(|before| concerned(before))
        };
        let Some(before) = before else { return false };
        Progress::add(&before.service.progress.rolled_back, before.replaced.len());
        for one in &before.replaced {
            tracing::error!(
                stage = one.stage, reason, failed = %one.new.plugin, serves = %one.old.plugin,
                "the new plugin is worse, the one before it serves again"
            );
            let held = Held { version: one.old.clone(), reason: reason.to_owned(), by: Initiator::Host };
            let at = before.service.clock.now();
            let told = swaps::tell(&before.service.enrich.lake, &one.stage, &one.new, Happened::RolledBack(held), at);
            if let Err(error) = told.await {
                // It serves all the same; only a restart would meet the failure again.
                tracing::warn!(stage = one.stage, %error, "could not note the way back in the lake");
            }
        }
        self.put(before.service.next_generation(), 0);
        let taken_back: Vec<_> = before.replaced.iter().map(|one| (one.stage.clone(), one.new.clone())).collect();
        let now = self.current();
        let mended = async {
            // Before anything is queued: a host that still serves what was taken back would see nothing new in it.
            match stage {
                "enrich" => now.enrich.generation().await.map(drop)?,
                "clean" => now.clean.generation().await.map(drop)?,
                _ => {}
            }
            mend(&now, &taken_back).await
        };
        if let Err(failure) = mended.await {
            tracing::error!(error = %failure, "what the plugin that was taken back has refused is not made again: run `sluicebox quarantine replay`");
        }
        true
    }
}
