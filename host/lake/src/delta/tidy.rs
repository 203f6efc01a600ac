//! Deleting what no version within the retention needs: data files, those that dead writers have left, and log entries.
//!
//! Does not decide how long that is, and deletes nothing when it is not sure what the log says.
//!
//! Safe beside other writers, however long they sleep and whatever their clocks say. It looks at what is in the store first and at the newest
//! version afterwards, so a file that was named by then stays. And it takes an unnamed file only if the log has a commit, the fence, that was
//! written [`FENCE`] after it: a writer looks at its file's age before each attempt to commit it, so its last attempt was aimed at a version
//! before the fence, and that version is taken.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use seams::store::StoreError;

use super::checkpoint::is_readable;
use super::commit::COMMIT_WITHIN;
use super::error::TableError;
use super::log::{self, LOG, Listing};
use super::state::TableState;
use super::table::{Removals, Table};

/// How much younger than an unnamed file the log's last commit must be.
const FENCE: Duration = COMMIT_WITHIN.saturating_mul(2);
/// How many commits are read at once.
const AT_ONCE: usize = 16;

/// What a tidy-up has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Data files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Objects of the log: commits and checkpoints.
    pub log_entries: usize,
}

impl Tidied {
    /// Whether nothing was deleted.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Tidied::default()
    }
}

impl std::ops::AddAssign for Tidied {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.log_entries += other.log_entries;
    }
}

impl Table {
    /// Deletes what only versions older than `retention` need, files that no version names and that are older than that, and log entries of
    /// that age that a checkpoint covers.
    ///
    /// A call that is interrupted or fails has deleted less. Calls at the same time delete the same objects.
    pub(crate) async fn tidy(&self, retention: Duration) -> Result<Tidied, TableError> {
        let span = TimeDelta::from_std(retention.max(FENCE)).unwrap_or(TimeDelta::MAX);
        // A retention that reaches back before the first instant keeps everything.
        let Some(cutoff) = self.clock().now().checked_sub_signed(span) else { return Ok(Tidied::default()) };
        let (listing, mut old_files) = self.look(cutoff).await?;
        old_files.retain(|file| listing.fences(file));
        let newest = self.refresh().await?;
        let oldest_kept = listing.oldest_kept(cutoff).unwrap_or(newest.version).min(newest.version);
        let named = self.named_since(oldest_kept, &newest).await?;
        let unnamed = old_files.into_iter().filter(|file| !named.contains(&file.location)).collect();
        let mut done = self.delete_files(unnamed).await?;
        done.log_entries = self.cut_log(&listing, oldest_kept, cutoff).await?;
        Ok(done)
    }

    /// Data files that no version in the log names, and that were written longer ago than `grace`: what dead writers have left.
    pub(crate) async fn strays(&self, grace: Duration) -> Result<Vec<Path>, TableError> {
        let span = TimeDelta::from_std(grace).unwrap_or(TimeDelta::MAX);
        let Some(cutoff) = self.clock().now().checked_sub_signed(span) else { return Ok(Vec::new()) };
        let (listing, old_files) = self.look(cutoff).await?;
        let newest = self.refresh().await?;
        let named = self.named_since(listing.oldest(), &newest).await?;
        let mut strays: Vec<Path> = old_files.into_iter().map(|file| file.location).collect();
        strays.retain(|file| !named.contains(file));
        strays.sort();
        Ok(strays)
    }

    /// The log, and the data files that were written before `cutoff`.
    pub(super) async fn look(&self, cutoff: DateTime<Utc>) -> Result<(Listing, Vec<ObjectMeta>), TableError> {
        let failed = |error| TableError::store(self.name(), error);
        let store = self.store();
        // Folder by folder: beside the data there may be far more, such as the receipts of all ticks.
        let top = store.list_with_delimiter(None).await.map_err(failed)?;
        let mut listing = Listing::default();
        let mut log = store.list(Some(&Path::from(LOG)));
        while let Some(object) = log.try_next().await.map_err(failed)? {
            listing.add(object);
        }
        let folders = top.common_prefixes.into_iter().filter(|folder| !is_hidden(folder));
        let lists: Vec<_> = folders.map(|folder| store.list(Some(&folder)).try_collect::<Vec<_>>()).collect();
        let mut lists = stream::iter(lists).buffered(AT_ONCE);
        let is_old = |file: &ObjectMeta| is_data(&file.location) && file.last_modified <= cutoff;
        let mut old_files: Vec<ObjectMeta> = top.objects.into_iter().filter(is_old).collect();
        while let Some(objects) = lists.try_next().await.map_err(failed)? {
            old_files.extend(objects.into_iter().filter(is_old));
        }
        Ok((listing, old_files))
    }

    /// Every file that a version from `oldest` to `newest` names: those of the newest, and those that went out on the way there.
    pub(super) async fn named_since(&self, oldest: u64, newest: &TableState) -> Result<HashSet<Path>, TableError> {
        let mut removals = self.removals.lock().await;
        if removals.table != newest.metadata.id() {
            *removals = Removals { table: newest.metadata.id().to_owned(), ..Removals::default() };
        }
        removals.by_version.retain(|version, _| *version > oldest);
        let unread = (oldest + 1..=newest.version).filter(|version| !removals.by_version.contains_key(version));
        let reads: Vec<u64> = unread.collect();
        let mut reads = stream::iter(reads.into_iter().map(|version| self.removed_by(version))).buffered(AT_ONCE);
        while let Some((version, removed)) = reads.try_next().await? {
            removals.by_version.insert(version, removed);
        }
        let current = newest.files.keys().map(AsRef::as_ref);
        Ok(current.chain(removals.by_version.values().flatten()).cloned().collect())
    }

    async fn removed_by(&self, version: u64) -> Result<(u64, Vec<Path>), TableError> {
        let commit = self.read_commit(version).await?;
        let commit = commit
            .ok_or_else(|| TableError::corrupt(self.name(), format!("its log lacks version {version} in between")))?;
        Ok((version, commit.removed.into_iter().map(Path::from).collect()))
    }

    async fn delete_files(&self, files: Vec<ObjectMeta>) -> Result<Tidied, TableError> {
        let sizes: HashMap<Path, u64> = files.iter().map(|file| (file.location.clone(), file.size)).collect();
        let paths: Vec<_> = files.into_iter().map(|file| Ok(file.location)).collect();
        let mut deleted = self.store().delete_stream(stream::iter(paths).boxed());
        let (mut done, mut failed) = (Tidied::default(), None);
        while let Some(outcome) = deleted.next().await {
            match outcome {
                Ok(path) => {
                    done.files += 1;
                    done.bytes += sizes.get(&path).copied().unwrap_or_default();
                }
                // Another process tidies up as well.
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(done), |error| Err(TableError::store(self.name(), error)))
    }

    /// Deletes the log's objects from before the last checkpoint that no kept version comes before, if that checkpoint can be read.
    async fn cut_log(&self, listing: &Listing, oldest_kept: u64, cutoff: DateTime<Utc>) -> Result<usize, TableError> {
        let hint = log::hint(self.name(), self.store()).await?;
        // Readers begin at the checkpoint that the hint names, so that one stays as well.
        let bound = hint.map_or(oldest_kept, |hint| hint.min(oldest_kept));
        let Some(covering) = listing.checkpoints.range(..=bound).next_back().copied() else { return Ok(0) };
        let is_old = |(version, object): &&(u64, ObjectMeta)| *version < covering && object.last_modified <= cutoff;
        let mut old: Vec<_> = listing.objects.iter().filter(is_old).collect();
        if old.is_empty() || !is_readable(self, covering).await {
            return Ok(0);
        }
        old.sort_by_key(|(version, _)| *version);
        let mut deleted = 0;
        // One after the other, oldest first: a reader that follows the log takes a commit that is gone for "not there yet" unless the
        // commit before it is gone too.
        for (_, object) in old {
            match self.store().delete(&object.location).await {
                Ok(()) => deleted += 1,
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(TableError::store(self.name(), error)),
            }
        }
        Ok(deleted)
    }
}

/// Whether an object can be a data file.
fn is_data(path: &Path) -> bool {
    path.as_ref().ends_with(".parquet") && !is_hidden(path)
}

/// As Delta has it, what is below a name that begins with `_` or `.` is no data, unless that is a partition's folder.
fn is_hidden(path: &Path) -> bool {
    path.as_ref().split('/').any(|part| part.starts_with(['_', '.']) && !part.contains('='))
}

impl Listing {
    /// Whether no writer can still commit the file.
    fn fences(&self, file: &ObjectMeta) -> bool {
        let last = self.commits.last_key_value().map(|(_, written)| *written);
        last.is_some_and(|last| (last - file.last_modified).to_std().is_ok_and(|span| span >= FENCE))
    }

    /// The version that was the newest one at `cutoff`: it and what came after is within the retention. The first one that there is if all are
    /// younger, none if the log is empty.
    fn oldest_kept(&self, cutoff: DateTime<Utc>) -> Option<u64> {
        let old = self.commits.iter().take_while(|(_, written)| **written <= cutoff).last();
        old.or(self.commits.first_key_value()).map(|(version, _)| *version)
    }
}
