//! Dropping a table's past at once: for rows that must not only leave the table, but be gone.
//!
//! Does not touch files that no version has named, because a writer may be about to commit one, unless the caller knows that there is no
//! writer.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use seams::store::StoreError;

use super::checkpoint::is_readable;
use super::error::TableError;
use super::table::Table;
use super::tidy::Tidied;

impl Table {
    /// Deletes every file that only versions before the newest name, and the log's entries before it. A reader of such a version finds its
    /// files gone.
    pub(crate) async fn drop_past(&self) -> Result<Tidied, TableError> {
        let newest = self.refresh().await?;
        let history = self.history().await?;
        let removed = history.iter().flat_map(|commit| &commit.removed).map(|path| Path::from(path.as_str()));
        let gone: BTreeSet<Path> = removed.filter(|path| !newest.files.contains_key(path)).collect();
        let mut done = Tidied::default();
        for path in gone {
            done.files += usize::from(self.delete(&path).await?);
        }
        self.write_checkpoint(newest.version)
            .await
            .map_err(|error| TableError::corrupt(self.name(), format!("no checkpoint could be written: {error}")))?;
        self.summed_up.fetch_max(newest.version, Ordering::Relaxed);
        if !is_readable(self, newest.version).await {
            return Err(TableError::corrupt(self.name(), "its checkpoint cannot be read, the log is kept"));
        }
        let mut old = self.list_log().await?.objects;
        old.retain(|(version, _)| *version < newest.version);
        old.sort_by_key(|(version, _)| *version);
        for (_, object) in old {
            done.log_entries += usize::from(self.delete(&object.location).await?);
        }
        Ok(done)
    }

    /// Data files that no version in the log names, however young.
    pub(crate) async fn unnamed(&self) -> Result<Vec<Path>, TableError> {
        let (listing, mut files) = self.look(DateTime::<Utc>::MAX_UTC).await?;
        let newest = self.refresh().await?;
        let named = self.named_since(listing.oldest(), &newest).await?;
        files.retain(|file| !named.contains(&file.location));
        Ok(files.into_iter().map(|file| file.location).collect())
    }

    /// Deletes files that no version names. Returns how many were there.
    pub(crate) async fn delete_unnamed(&self, files: &[Path]) -> Result<usize, TableError> {
        let mut deleted = 0;
        for file in files {
            deleted += usize::from(self.delete(file).await?);
        }
        Ok(deleted)
    }

    /// Deletes an object. Returns whether it was there.
    async fn delete(&self, path: &Path) -> Result<bool, TableError> {
        match self.store().delete(path).await {
            Ok(()) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(TableError::store(self.name(), error)),
        }
    }
}
