//! Committing: one object, created once, decides.
//!
//! `deltalake-core`'s own commit loop takes every file as read when built without a query engine, so any two writers conflict. Here a
//! draft says itself under which conditions it still holds, and is carried over commits that leave them alone.
//!
//! Does not redo work: a draft that no longer holds goes back to its maker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deltalake_core::logstore::commit_uri_from_version;
use object_store::ObjectStoreExt;
use uuid::Uuid;

use super::entry::{Draft, Settled, info, pause, serialise, settle};
use super::error::TableError;
use super::state::TableState;
use super::table::Table;

/// How long a written file may wait for an attempt to commit it. A file that no commit names for longer is deleted as left behind by a dead
/// writer: see `tidy`.
pub(super) const COMMIT_WITHIN: Duration = Duration::from_secs(30 * 60);
/// How often a draft is carried over other writers' commits before the writer gives up.
const REBASE_AT_MOST: u32 = 100;

/// What became of a draft.
pub(crate) enum Outcome {
    /// It is part of the table. This is the new state.
    Committed(Arc<TableState>),
    /// Others have changed what it rests on; nothing was committed. This is the newest state.
    Overtaken(Arc<TableState>),
}

impl Table {
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
            // If n writers try at the same moment, each commit costs n writes. The pause is short, since one writer wins each round.
            pause(round.min(2)).await;
        }
        Err(TableError::Conflict { table: self.name().to_owned(), attempts: REBASE_AT_MOST })
    }

    fn is_long_ago(&self, millis: i64) -> bool {
        u128::try_from(self.now() - millis).is_ok_and(|span| span > COMMIT_WITHIN.as_millis())
    }

    /// Takes back our commit after `base` if `base` is gone from the log: a process that slept for longer than the log is kept may find the
    /// next version's place free because that version was cleaned up, and not because it is the newest.
    async fn stands_on(&self, base: &TableState) -> Result<(), TableError> {
        if !self.is_long_ago(self.followed.load(Ordering::Relaxed)) || self.has_entry(base.version).await? {
            return Ok(());
        }
        let taken_back = self.store().delete(&commit_uri_from_version(Some(base.version + 1))).await;
        taken_back.map_err(|error| TableError::store(self.name(), error))?;
        Err(TableError::Late { table: self.name().to_owned() })
    }
}
