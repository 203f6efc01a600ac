//! The log as a folder of objects: what is in it, where it was last summed up.
//!
//! Does not read commits or sum them up, and deletes nothing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;
use seams::store::{self, Store};

use super::error::TableError;

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
    /// Adds an object, if it belongs to the log.
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
