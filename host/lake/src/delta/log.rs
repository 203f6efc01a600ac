//! The log as a folder of objects: what is in it, where it was last summed up, and summing it up.
//!
//! Does not read commits, and deletes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use delta_kernel::Snapshot;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;
use seams::store::{self, Store};

use super::Table;
use super::error::TableError;

/// Every so many commits the log is summed up in a checkpoint, so that readers need not walk it from the start.
const CHECKPOINT_EVERY: u64 = 100;
/// How many commits after that a checkpoint is overdue: whoever was to write it is dead, or its store failed.
const OVERDUE_AFTER: u64 = 10;

/// The folder of the log.
pub(super) const LOG: &str = "_delta_log";

/// Commits and checkpoints, by version.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// When each commit was written, by the store's clock.
    pub(super) commits: BTreeMap<u64, DateTime<Utc>>,
    /// Versions with a checkpoint of one file: the only kind that the engine relies on.
    pub(super) checkpoints: BTreeSet<u64>,
    /// All objects that belong to a version.
    pub(super) objects: Vec<(u64, ObjectMeta)>,
}

impl Listing {
    /// Takes in an object, if it is one of the log's.
    pub(super) fn add(&mut self, object: ObjectMeta) {
        let path = object.location.as_ref();
        let name = path.strip_prefix(LOG).and_then(|path| path.strip_prefix('/')).unwrap_or_default();
        let Some((digits, kind)) = name.split_once('.') else { return };
        let Some(version) = (digits.len() == 20).then(|| digits.parse().ok()).flatten() else { return };
        match kind {
            "json" => drop(self.commits.insert(version, object.last_modified)),
            "checkpoint.parquet" => drop(self.checkpoints.insert(version)),
            _ => {}
        }
        self.objects.push((version, object));
    }

    /// The oldest version that can be read: that of a checkpoint, or else the first of all.
    pub(super) fn oldest(&self) -> u64 {
        let first = self.commits.keys().next().copied().unwrap_or_default();
        if first == 0 { 0 } else { self.checkpoints.first().copied().unwrap_or(first) }
    }
}

/// The version of the last checkpoint, as far as the log's own hint knows. A hint that makes no sense is none.
pub(super) async fn hint(table: &str, store: &Store) -> Result<Option<u64>, TableError> {
    #[derive(serde::Deserialize)]
    struct Hint {
        version: u64,
    }
    let path = Path::from_iter([LOG, "_last_checkpoint"]);
    let found = store::read_if_there(store.as_ref(), &path).await.map_err(|error| TableError::store(table, error))?;
    Ok(found.and_then(|bytes| serde_json::from_slice::<Hint>(&bytes).ok()).map(|hint| hint.version))
}

impl Table {
    /// What the log's folder holds.
    pub(super) async fn list_log(&self) -> Result<Listing, TableError> {
        let mut listing = Listing::default();
        let mut objects = self.store().list(Some(&Path::from(LOG)));
        while let Some(object) = objects.try_next().await.map_err(|error| TableError::store(self.name(), error))? {
            listing.add(object);
        }
        Ok(listing)
    }

    /// Writes a checkpoint if one is due. Without it readers are slower, no more: a failure is told and passed over.
    pub(super) async fn sum_up(&self, version: u64) {
        match self.checkpoint_is_due(version).await {
            Ok(false) => {}
            Ok(true) => match self.write_checkpoint(version).await {
                Ok(()) => drop(self.summed_up.fetch_max(version, Ordering::Relaxed)),
                Err(error) => tracing::warn!(table = self.name(), version, %error, "no checkpoint could be written"),
            },
            Err(error) => tracing::warn!(table = self.name(), version, %error, "the last checkpoint is unknown"),
        }
    }

    /// Whose commit has a round number writes the checkpoint. Should it have died over that, whoever comes later does.
    async fn checkpoint_is_due(&self, version: u64) -> Result<bool, TableError> {
        if version.is_multiple_of(CHECKPOINT_EVERY) {
            return Ok(version > 0);
        }
        let overdue = |summed_up: u64| summed_up + CHECKPOINT_EVERY + OVERDUE_AFTER <= version;
        if !version.is_multiple_of(OVERDUE_AFTER) || !overdue(self.summed_up.load(Ordering::Relaxed)) {
            return Ok(false);
        }
        // As far as this process knows; most of the time another one has written it.
        let hint = hint(self.name(), self.store()).await?.unwrap_or_default();
        Ok(overdue(self.summed_up.fetch_max(hint, Ordering::Relaxed).max(hint)))
    }

    pub(super) async fn write_checkpoint(&self, version: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let root = self.log.transaction_url(None)?;
        let engine = self.log.engine(None);
        let written = tokio::task::spawn_blocking(move || -> Result<(), delta_kernel::Error> {
            let snapshot = Snapshot::builder_for(root).at_version(version).build(engine.as_ref())?;
            snapshot.checkpoint(engine.as_ref(), None).map(drop)
        });
        Ok(written.await??)
    }
}

/// The checkpoint of `version` is enough to read the table at that version.
pub(super) async fn is_readable(table: &Table, version: u64) -> bool {
    let state = super::load::listed(table.name(), &table.log, Some(version), table.genesis.derived).await;
    state.is_ok_and(|state| state.version == version)
}
