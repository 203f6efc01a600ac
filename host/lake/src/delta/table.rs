//! A table, and following its log: its state is read once, and then only what is new.
//!
//! Does not change a table's content: `commit` does, with what `files` writes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::TryStreamExt;
use object_store::prefix::PrefixStore;
use seams::clock::Clock;
use seams::store::{Path, Store, delete_if_there};
use url::Url;

use super::error::TableError;
use super::genesis::Genesis;
use super::load::{self, Found};
use super::state::TableState;
use super::{entry, log};

/// After how many newer commits the log is read from its last checkpoint instead of commit by commit.
const FOLLOW_AT_MOST: u32 = 64;

/// The newest version of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LastCommit {
    /// Its number.
    pub version: i64,
    /// When it was committed, by its writer's clock.
    pub at: Option<DateTime<Utc>>,
}

/// A table, open or to be opened at its first use. The newest state seen is kept, so that following the log costs what is new in it.
pub(crate) struct Table {
    name: String,
    store: Store,
    pub(super) log: LogStoreRef,
    clock: Arc<dyn Clock>,
    pub(super) genesis: Genesis,
    newest: Mutex<Option<Arc<TableState>>>,
    /// When the log was last followed to its end, in milliseconds since 1970.
    pub(super) followed: AtomicI64,
    /// The last version that is known to be summed up in a checkpoint.
    pub(super) summed_up: AtomicU64,
    /// Which files the latest commits took out of the table.
    pub(super) removals: tokio::sync::Mutex<Removals>,
}

/// What each of the latest commits took out of the table: read once, kept from one tidy-up to the next.
#[derive(Debug, Default)]
pub(super) struct Removals {
    /// The table's id: a table that was deleted and made again counts its versions from the start.
    pub(super) table: String,
    pub(super) by_version: BTreeMap<u64, Vec<Path>>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Table {
    /// The table below `folder` of `store` (all of the store if empty). It is opened at its first use, or created if there is none; until
    /// then nothing is read.
    pub(crate) fn unopened(
        name: &str,
        store: Store,
        folder: &Path,
        clock: Arc<dyn Clock>,
        genesis: Genesis,
    ) -> Result<Table, TableError> {
        let store: Store =
            if folder.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, folder.clone())) };
        let log = log_of(&store)?;
        let (followed, summed_up) = (AtomicI64::default(), AtomicU64::default());
        let (name, newest, removals) = (name.to_owned(), Mutex::default(), tokio::sync::Mutex::default());
        Ok(Table { name, store, log, clock, genesis, newest, followed, summed_up, removals })
    }

    /// The state of the log; creates the table if there is none.
    async fn begin(&self) -> Result<Arc<TableState>, TableError> {
        let (name, begun) = (self.name.as_str(), self.now());
        let hint = log::hint(name, &self.store).await?;
        let state = match load::by_name(name, &self.store, hint).await? {
            Found::Newest(state) => state,
            unclear => {
                let there = matches!(unclear, Found::Gap(_))
                    || self.log.is_delta_table_location().await.map_err(|error| TableError::log(name, error))?;
                if !there {
                    entry::create(name, &self.store, self.clock.as_ref(), &self.genesis).await?;
                }
                load::newest(name, &self.store, &self.log, self.genesis.derived).await?
            }
        };
        self.summed_up.fetch_max(hint.unwrap_or_default(), Ordering::Relaxed);
        self.followed.store(begun, Ordering::Relaxed);
        Ok(self.remember(state))
    }

    /// The table's name in errors.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The store, rooted at the table.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Milliseconds since 1970, as Delta's actions have it.
    pub(crate) fn now(&self) -> i64 {
        self.clock().now().timestamp_millis()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The newest state in the store.
    pub(crate) async fn refresh(&self) -> Result<Arc<TableState>, TableError> {
        let known = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(known) => self.follow(known).await,
            None => self.begin().await,
        }
    }

    /// `known`, and every commit after it.
    pub(super) async fn follow(&self, known: Arc<TableState>) -> Result<Arc<TableState>, TableError> {
        let begun = self.now();
        let mut state = known;
        let mut steps = 0;
        while let Some(entry) = self.read_entry(state.version + 1).await? {
            if entry::table_of(&entry).is_some_and(|table| table != state.metadata.id()) {
                return self.reload().await;
            }
            // Copies the list of files at the first step only: from then on no other holder shares this state.
            Arc::make_mut(&mut state).advance(&self.name, &entry)?;
            steps += 1;
            if steps == FOLLOW_AT_MOST {
                return self.reload().await;
            }
        }
        // No next commit means "newest" only while the known one is there: another engine's log clean-up may have taken both.
        if steps == 0 && !self.has_entry(state.version).await? {
            return self.reload().await;
        }
        self.followed.store(begun, Ordering::Relaxed);
        Ok(self.remember(state))
    }

    /// Reads the state from the log again, not from memory. A table that was deleted is created again, as opening it now would do.
    pub(crate) async fn reload(&self) -> Result<Arc<TableState>, TableError> {
        let known = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = self.begin().await?;
        if known.is_some_and(|known| known.metadata.id() != state.metadata.id()) {
            tracing::warn!(table = self.name, "the table was deleted and made again");
            // What was known of the log was the old table's.
            self.summed_up.store(0, Ordering::Relaxed);
        }
        Ok(state)
    }

    /// Forgets what is known of the table: a file that its newest version names is not there, so it may be another table by now.
    pub(crate) fn distrust(&self) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Keeps the newer of `state` and the one kept, and returns `state`.
    pub(super) fn remember(&self, state: Arc<TableState>) -> Arc<TableState> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        // A table that was deleted and made again starts over, under another id.
        let is_newer =
            |kept: &Arc<TableState>| state.version > kept.version || state.metadata.id() != kept.metadata.id();
        if newest.as_ref().is_none_or(is_newer) {
            *newest = Some(Arc::clone(&state));
        }
        state
    }

    /// Deletes everything below the table's folder. The next use creates an empty table.
    pub(crate) async fn wipe(&self) -> Result<(), TableError> {
        let failed = |error| TableError::store(&self.name, error);
        let objects: Vec<_> = self.store.list(None).try_collect().await.map_err(failed)?;
        // The log first: without a log no reader looks for the files.
        let (log, files): (Vec<_>, Vec<_>) =
            objects.into_iter().map(|object| object.location).partition(|path| path.as_ref().contains(log::LOG));
        for path in log.iter().chain(&files) {
            delete_if_there(&*self.store, path).await.map_err(failed)?;
        }
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.summed_up.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// When the newest version was committed, if its commit says so and is still in the log.
    pub(crate) async fn last_commit(&self) -> Result<LastCommit, TableError> {
        let version = self.refresh().await?.version_i64();
        let entry = self.read_entry(u64::try_from(version).unwrap_or_default()).await?.unwrap_or_default();
        let at = entry.split(|byte| *byte == b'\n').find_map(|line| {
            let action: serde_json::Value = serde_json::from_slice(line).ok()?;
            DateTime::from_timestamp_millis(action.pointer("/commitInfo/timestamp")?.as_i64()?)
        });
        Ok(LastCommit { version, at })
    }

    pub(super) async fn read_entry(&self, version: u64) -> Result<Option<bytes::Bytes>, TableError> {
        load::read_entry(&self.name, &self.store, version).await
    }

    pub(super) async fn has_entry(&self, version: u64) -> Result<bool, TableError> {
        load::has_entry(&self.name, &self.store, version).await
    }
}

/// The log of the table at the root of `store`, as `deltalake-core` wants it. The URL only fills its paths, requests go to `store`; its
/// scheme makes the log reader sort what a store lists, which not every store does.
fn log_of(store: &Store) -> Result<LogStoreRef, TableError> {
    let root = Url::parse("file:///")
        .map_err(|error| TableError::Corrupt { table: String::new(), what: error.to_string() })?;
    Ok(default_logstore(Arc::clone(store), Arc::clone(store), &root, &StorageConfig::default()))
}
