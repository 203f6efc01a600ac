//! A table's past: the commits that are still in its log, and its state at an earlier version.
//!
//! Does not keep anything: `tidy` decides what is deleted when.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use serde_json::Value;

use super::error::TableError;
use super::load;
use super::log::{LOG, Listing};
use super::state::{TableState, store_path};
use super::table::Table;

/// How many commits are read at once.
const AT_ONCE: usize = 16;

/// One commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The version that it made.
    pub version: i64,
    /// When, by its writer's clock, if it says so.
    pub timestamp: Option<DateTime<Utc>>,
    /// What it did: `MERGE`, `WRITE`, `CREATE TABLE`, or what another engine calls it.
    pub operation: Option<String>,
    /// What its writer says of it.
    pub parameters: HashMap<String, Value>,
    /// What it says of applications: `sluicebox.silver` is the Silver version that a Gold table was made from.
    pub transactions: BTreeMap<String, i64>,
    /// Files that came in, relative to the table.
    pub added: Vec<String>,
    /// Files that went out, relative to the table.
    pub removed: Vec<String>,
}

impl Table {
    /// The commits that are in the log, oldest first. One that is cleaned up while this runs is left out.
    pub(crate) async fn history(&self) -> Result<Vec<Commit>, TableError> {
        let versions: Vec<u64> = self.list_log().await?.commits.into_keys().collect();
        let reads = versions.into_iter().map(|version| self.read_commit(version));
        stream::iter(reads).buffered(AT_ONCE).try_filter_map(|commit| async { Ok(commit) }).try_collect().await
    }

    /// What the log's folder holds.
    pub(super) async fn list_log(&self) -> Result<Listing, TableError> {
        let mut listing = Listing::default();
        let mut objects = self.store().list(Some(&Path::from(LOG)));
        while let Some(object) = objects.try_next().await.map_err(|error| TableError::store(self.name(), error))? {
            listing.add(object);
        }
        Ok(listing)
    }

    /// The commit of a version, if it is in the log.
    pub(super) async fn read_commit(&self, version: u64) -> Result<Option<Commit>, TableError> {
        let Some(entry) = self.read_entry(version).await? else { return Ok(None) };
        let actions = get_actions(version, &entry).map_err(|error| TableError::log(self.name(), error))?;
        Ok(Some(commit_of(version, actions)))
    }

    /// The table at `version`.
    ///
    /// # Errors
    /// [`TableError::NoVersion`] if the log does not reach there.
    pub(crate) async fn at(&self, version: i64) -> Result<Arc<TableState>, TableError> {
        let newest = self.refresh().await?;
        if newest.version_i64() == version {
            return Ok(newest);
        }
        let oldest = self.list_log().await?.oldest();
        match u64::try_from(version) {
            Ok(wanted) if (oldest..newest.version).contains(&wanted) => {
                Ok(Arc::new(load::listed(self.name(), &self.log, Some(wanted), self.genesis.derived).await?))
            }
            _ => Err(TableError::NoVersion { table: self.name().to_owned(), version, oldest, newest: newest.version }),
        }
    }
}

fn commit_of(version: u64, actions: Vec<Action>) -> Commit {
    let mut commit = Commit {
        version: i64::try_from(version).unwrap_or(i64::MAX),
        timestamp: None,
        operation: None,
        parameters: HashMap::new(),
        transactions: BTreeMap::new(),
        added: Vec::new(),
        removed: Vec::new(),
    };
    for action in actions {
        match action {
            Action::Add(add) => commit.added.push(store_path(&add.path).to_string()),
            Action::Remove(remove) => commit.removed.push(store_path(&remove.path).to_string()),
            Action::Txn(txn) => drop(commit.transactions.insert(txn.app_id, txn.version)),
            Action::CommitInfo(info) => {
                commit.timestamp = info.timestamp.and_then(DateTime::from_timestamp_millis);
                commit.operation = info.operation;
                commit.parameters = info.operation_parameters.unwrap_or_default();
            }
            Action::Metadata(_) | Action::Protocol(_) | Action::Cdc(_) | Action::DomainMetadata(_) => {}
        }
    }
    commit
}
