//! Committing: one object, created once, decides.
//!
//! `deltalake-core`'s own commit loop takes every file as read when built without a query engine, so any two writers conflict. Here a
//! draft says itself under which conditions it still holds, and is carried over commits that leave them alone.
//!
//! Does not redo work: a draft that no longer holds goes back to its maker.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use deltalake_core::kernel::{Action, CommitInfo, Protocol};
use deltalake_core::logstore::commit_uri_from_version;
use object_store::ObjectStoreExt;
use seams::clock::Clock;
use seams::spans;
use seams::store::{self, Created, Store, StoreError};
use serde_json::Value;
use uuid::Uuid;

use super::error::TableError;
use super::state::TableState;
use super::{Genesis, TRACE, Table, first_metadata};

/// How long a written file may wait for an attempt to commit it. What no commit names for longer is deleted as left behind by a dead writer:
/// see `tidy`.
pub(super) const COMMIT_WITHIN: Duration = Duration::from_secs(30 * 60);
/// How often a draft is carried over other writers' commits before the writer gives up.
const REBASE_AT_MOST: u32 = 100;
/// How often a write without a clear answer is tried.
const WRITE_AT_MOST: u32 = 6;
/// The key of `commitInfo` by which a writer knows its own commit again.
const COMMIT_ID: &str = "sluicebox.commit";
/// The key of `commitInfo` that says which table a commit was made for.
const TABLE_ID: &str = "sluicebox.table";

/// A change that wants to be committed.
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
    fn oldest_file(&self) -> Option<i64> {
        let written = |action: &Action| match action {
            Action::Add(add) => Some(add.modification_time),
            _ => None,
        };
        self.actions.iter().filter_map(written).min()
    }
}

/// What became of a draft.
pub(crate) enum Outcome {
    /// It is part of the table, whose state it made this.
    Committed(Arc<TableState>),
    /// Others have changed what it rests on; nothing was committed. This is the newest state.
    Overtaken(Arc<TableState>),
}

/// Who made the commit of a version.
enum Settled {
    Ours,
    Theirs,
}

impl Table {
    /// Milliseconds since 1970, as Delta's actions have it.
    pub(crate) fn now(&self) -> i64 {
        self.clock().now().timestamp_millis()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Commits `draft`, made on top of `base`, if it can: after each lost race `holds` says of the new state whether the draft still
    /// stands there.
    pub(crate) async fn commit(
        &self,
        base: &Arc<TableState>,
        draft: &Draft,
        holds: impl Fn(&TableState) -> bool + Send + Sync,
    ) -> Result<Outcome, TableError> {
        let mut base = Arc::clone(base);
        for round in 0..REBASE_AT_MOST {
            if draft.oldest_file().is_some_and(|written| self.is_long_ago(written)) {
                return Err(TableError::Late { table: self.name().to_owned() });
            }
            let id = Uuid::new_v4().to_string();
            let entry = serialise(self.name(), &info(draft, Some(&base), self.now(), &id), &draft.actions)?;
            match settle(self.name(), self.store(), base.version + 1, &id, &entry).await? {
                Settled::Ours => {
                    self.stands_on(&base).await?;
                    let mut state = Arc::unwrap_or_clone(base);
                    state.advance(self.name(), &entry)?;
                    let state = self.remember(Arc::new(state));
                    self.sum_up(state.version).await;
                    return Ok(Outcome::Committed(state));
                }
                Settled::Theirs => base = self.follow(base).await?,
            }
            if !holds(&base) {
                return Ok(Outcome::Overtaken(base));
            }
            // A crowd that tries at the same moment writes as often as it is large for each commit. Short, since each round somebody wins.
            pause(round.min(2)).await;
        }
        Err(TableError::Conflict { table: self.name().to_owned(), attempts: REBASE_AT_MOST })
    }

    fn is_long_ago(&self, millis: i64) -> bool {
        u128::try_from(self.now() - millis).is_ok_and(|span| span > COMMIT_WITHIN.as_millis())
    }

    /// Takes our commit after `base` back if it stands on nothing: a process that slept for longer than the log is kept may find the next
    /// version's place free because that version was cleaned up, and not because it is the newest.
    async fn stands_on(&self, base: &TableState) -> Result<(), TableError> {
        if !self.is_long_ago(self.followed.load(Ordering::Relaxed)) || self.has_entry(base.version).await? {
            return Ok(());
        }
        let taken_back = self.store().delete(&commit_uri_from_version(Some(base.version + 1))).await;
        taken_back.map_err(|error| TableError::store(self.name(), error))?;
        Err(TableError::Late { table: self.name().to_owned() })
    }
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

/// Sees to it that `version` has a commit, ours if nobody was faster.
///
/// The default log store's primitive is a create-only put of the commit's object; `seams::store::create` is that put, believed only
/// after a read back. A reply that says neither is followed by the same put again: the object's content tells whose it is, so a reply
/// lost on the way, or an "already exists" for our own first try, is no conflict.
async fn settle(name: &str, store: &Store, version: u64, id: &str, entry: &Bytes) -> Result<Settled, TableError> {
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

/// The id of the table that a commit was made for, if it says so: versions of a table that was deleted and made anew look like later ones
/// of the table that it was.
pub(super) fn table_of(entry: &[u8]) -> Option<String> {
    let first = entry.split(|byte| *byte == b'\n').next()?;
    let info = serde_json::from_slice::<Value>(first).ok()?;
    info.pointer(&format!("/commitInfo/{TABLE_ID}"))?.as_str().map(str::to_owned)
}

fn info(draft: &Draft, base: Option<&TableState>, now: i64, id: &str) -> CommitInfo {
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
fn serialise(name: &str, info: &CommitInfo, actions: &[Action]) -> Result<Bytes, TableError> {
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
