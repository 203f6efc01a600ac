//! One entry of a log, a commit's object: made from a draft, and created once: the writer that creates it owns the version.
//!
//! Does not know a table's state beyond the version on which a draft rests, and does not decide whether a draft still holds: `commit` does.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use deltalake_core::kernel::{Action, CommitInfo, Protocol};
use deltalake_core::logstore::commit_uri_from_version;
use seams::clock::Clock;
use seams::spans;
use seams::store::{self, Created, Store, StoreError};
use serde_json::Value;
use uuid::Uuid;

use super::error::TableError;
use super::genesis::{Genesis, first_metadata};
use super::keys::TRACE;
use super::state::TableState;

/// How often a write without a clear answer is tried.
const WRITE_AT_MOST: u32 = 6;
/// The key of `commitInfo` by which a writer recognises its own commit.
const COMMIT_ID: &str = "sluicebox.commit";
/// The key of `commitInfo` that says which table a commit was made for.
const TABLE_ID: &str = "sluicebox.table";

/// A change to commit.
pub(crate) struct Draft {
    /// What history calls it.
    pub(crate) operation: &'static str,
    /// What history says of it.
    pub(crate) parameters: HashMap<String, Value>,
    /// The change itself.
    pub(crate) actions: Vec<Action>,
}

impl Draft {
    /// When the first of its files was written, in milliseconds since 1970.
    pub(super) fn oldest_file(&self) -> Option<i64> {
        let written = |action: &Action| match action {
            Action::Add(add) => Some(add.modification_time),
            _ => None,
        };
        self.actions.iter().filter_map(written).min()
    }
}

/// Who made the commit of a version.
pub(super) enum Settled {
    Ours,
    Theirs,
}

/// Makes the table: version 0. One of several racing makers succeeds, and the others find its table.
pub(super) async fn create(name: &str, store: &Store, clock: &dyn Clock, genesis: &Genesis) -> Result<(), TableError> {
    let now = clock.now().timestamp_millis();
    let protocol: Protocol =
        serde_json::from_value(serde_json::json!({ "minReaderVersion": 1, "minWriterVersion": 2 }))
            .map_err(|error| TableError::corrupt(name, error))?;
    let actions = vec![Action::Protocol(protocol), Action::Metadata(first_metadata(name, genesis, now)?)];
    let draft = Draft { operation: "CREATE TABLE", parameters: HashMap::new(), actions };
    let id = Uuid::new_v4().to_string();
    let entry = serialise(name, &info(&draft, None, now, &id), &draft.actions)?;
    settle(name, store, 0, &id, &entry).await.map(drop)
}

/// Makes sure that `version` has a commit: ours if no other writer was faster.
///
/// The default log store's primitive is a create-only put of the commit's object; `seams::store::create` is that put, believed only after a
/// read back. A reply that says neither is followed by the same put again: the object's content tells which writer made it, so a reply lost
/// on the way, or an "already exists" for our own first try, is no conflict.
pub(super) async fn settle(
    name: &str,
    store: &Store,
    version: u64,
    id: &str,
    entry: &Bytes,
) -> Result<Settled, TableError> {
    let path = commit_uri_from_version(Some(version));
    let mut tries = 0;
    loop {
        let error = match store::create(store.as_ref(), &path, entry.clone()).await {
            Ok(Created::New) => return Ok(Settled::Ours),
            Ok(Created::Existing(found)) => return Ok(whose(&found, id)),
            Err(error) => error,
        };
        if let Ok(Some(found)) = store::read_if_there(store.as_ref(), &path).await {
            return Ok(whose(&found, id));
        }
        tries += 1;
        if tries == WRITE_AT_MOST || is_final(&error) {
            return Err(TableError::store(name, error));
        }
        pause(tries).await;
    }
}

fn whose(found: &[u8], id: &str) -> Settled {
    let first = found.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let theirs = || serde_json::from_slice::<Value>(first).ok()?.pointer(&format!("/commitInfo/{COMMIT_ID}")).cloned();
    if theirs().as_ref().and_then(Value::as_str) == Some(id) { Settled::Ours } else { Settled::Theirs }
}

/// Whether a store will say the same again.
fn is_final(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::PermissionDenied { .. }
            | StoreError::Unauthenticated { .. }
            | StoreError::NotSupported { .. }
            | StoreError::NotImplemented { .. }
            | StoreError::InvalidPath { .. }
    )
}

/// A wait of up to 2^`step` × 4 ms, random so that writers fall out of step.
pub(super) async fn pause(step: u32) {
    let most = 4_u64 << step.min(8);
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..=most))).await;
}

/// The id of the table that a commit was made for, if it says so: versions of a table that was deleted and made again look like later
/// versions of the old table.
pub(super) fn table_of(entry: &[u8]) -> Option<String> {
    let first = entry.split(|byte| *byte == b'\n').next()?;
    let info = serde_json::from_slice::<Value>(first).ok()?;
    info.pointer(&format!("/commitInfo/{TABLE_ID}"))?.as_str().map(str::to_owned)
}

pub(super) fn info(draft: &Draft, base: Option<&TableState>, now: i64, id: &str) -> CommitInfo {
    let table = base.map(|base| (TABLE_ID.to_owned(), Value::from(base.metadata.id())));
    let made_at = spans::place().map(|place| (TRACE.to_owned(), Value::from(place.to_string())));
    CommitInfo {
        timestamp: Some(now),
        operation: Some(draft.operation.to_owned()),
        operation_parameters: Some(draft.parameters.clone()),
        read_version: base.map(|base| base.version),
        is_blind_append: Some(false),
        engine_info: Some(concat!("sluicebox/", env!("CARGO_PKG_VERSION")).to_owned()),
        info: [Some((COMMIT_ID.to_owned(), Value::from(id))), table, made_at].into_iter().flatten().collect(),
        ..CommitInfo::default()
    }
}

/// One action a line, the commit's info first.
pub(super) fn serialise(name: &str, info: &CommitInfo, actions: &[Action]) -> Result<Bytes, TableError> {
    let mut lines = Vec::new();
    let mut line = |action: &Action| -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut lines, action)?;
        lines.push(b'\n');
        Ok(())
    };
    let mut all = || -> Result<(), serde_json::Error> {
        line(&Action::CommitInfo(info.clone()))?;
        actions.iter().try_for_each(&mut line)
    };
    all().map_err(|error| TableError::corrupt(name, error))?;
    Ok(Bytes::from(lines))
}
