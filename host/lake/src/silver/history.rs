//! Silver's past.
//!
//! Does not read rows: [`Silver::read`] does, of any snapshot.

use std::time::Duration;

use seams::store::Path;

use super::{Silver, Snapshot, TableError};
use crate::delta::{Commit, Tidied};

impl Silver {
    /// The table at an earlier version. Its files are there as long as a tidy-up's retention says; afterwards
    /// [`Silver::read`] says [`TableError::Missing`].
    ///
    /// # Errors
    /// [`TableError::NoVersion`] if the log does not reach back so far.
    pub async fn snapshot_at(&self, version: i64) -> Result<Snapshot, TableError> {
        Snapshot::of(self.table.name(), self.table.at(version).await?)
    }

    /// The commits that are still in the log, oldest first.
    pub async fn history(&self) -> Result<Vec<Commit>, TableError> {
        self.table.history().await
    }

    /// Data files that no version in the log names, and that were written longer ago than `grace`.
    pub async fn strays(&self, grace: Duration) -> Result<Vec<Path>, TableError> {
        self.table.strays(grace).await
    }

    /// Deletes what only versions older than `retention` need.
    pub async fn tidy(&self, retention: Duration) -> Result<Tidied, TableError> {
        self.table.tidy(retention).await
    }
}
