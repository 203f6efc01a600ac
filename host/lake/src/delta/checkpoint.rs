//! Summing the log up in a checkpoint, so that readers need not walk it from the start.
//!
//! Does not delete what a checkpoint makes superfluous: `tidy` and `purge` do.

use std::sync::atomic::Ordering;

use delta_kernel::Snapshot;

use super::error::TableError;
use super::table::Table;
use super::{load, log};

/// Every so many commits the log is summed up in a checkpoint, so that readers need not walk it from the start.
const CHECKPOINT_EVERY: u64 = 100;
/// How many commits after that a checkpoint is overdue: the process that had to write it died, or its store failed.
const OVERDUE_AFTER: u64 = 10;

impl Table {
    /// Writes a checkpoint if one is due. Without it readers are only slower, so a failure is logged and ignored.
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

    /// The writer of a commit with a round number writes the checkpoint. If that writer died first, a later one does it.
    async fn checkpoint_is_due(&self, version: u64) -> Result<bool, TableError> {
        if version.is_multiple_of(CHECKPOINT_EVERY) {
            return Ok(version > 0);
        }
        let overdue = |summed_up: u64| summed_up + CHECKPOINT_EVERY + OVERDUE_AFTER <= version;
        if !version.is_multiple_of(OVERDUE_AFTER) || !overdue(self.summed_up.load(Ordering::Relaxed)) {
            return Ok(false);
        }
        // As far as this process knows; mostly another process has written it.
        let hint = log::hint(self.name(), self.store()).await?.unwrap_or_default();
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
    let state = load::listed(table.name(), &table.log, Some(version), table.genesis.derived).await;
    state.is_ok_and(|state| state.version == version)
}
