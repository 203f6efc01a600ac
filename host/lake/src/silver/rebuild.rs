//! Rebuilding the table: it is emptied, gets other columns or buckets, and is incomplete until its writer says that it is whole.
//!
//! Does not fill it: a replay does. Old versions stay readable within the retention.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::kernel::Action;
use seams::clock::Clock;
use seams::store::Store;

use super::{BUCKETS_SETTING, REDO_AT_MOST, RETRACTED, Silver, TableError, with_metadata_columns};
use crate::delta::{Draft, Outcome, REBUILDING, TableState, metadata_with_schema, metadata_with_setting};

impl Silver {
    /// Opens the table, whatever its columns and buckets are, empties it, and gives it these.
    pub async fn rebuild(
        store: Store,
        clock: Arc<dyn Clock>,
        schema: SchemaRef,
        buckets: NonZeroU32,
    ) -> Result<Silver, TableError> {
        let silver = Silver::unopened(store, clock, &schema, buckets)?;
        silver
            .change("REBUILD", |state| {
                let now = silver.table.now();
                let schema = Schema::new(with_metadata_columns(silver.columns.fields()));
                let name = silver.table.name();
                let metadata = metadata_with_schema(name, &state.metadata, &schema)?;
                let metadata = metadata_with_setting(name, metadata, BUCKETS_SETTING, buckets.to_string())?;
                let metadata = metadata_with_setting(name, metadata, REBUILDING, "true".to_owned())?;
                let mut actions = vec![Action::Metadata(metadata)];
                actions.extend(state.files.values().map(|file| Action::Remove(file.remove(now))));
                Ok(actions)
            })
            .await?;
        Ok(silver)
    }

    /// Says that the table is whole again.
    pub async fn rebuilt(&self) -> Result<(), TableError> {
        self.change("REBUILT", |state| {
            if !state.rebuilding {
                return Ok(Vec::new());
            }
            let value = "false".to_owned();
            let metadata = metadata_with_setting(self.table.name(), state.metadata.clone(), REBUILDING, value)?;
            Ok(vec![Action::Metadata(metadata)])
        })
        .await
    }

    /// Commits what `actions` makes of the newest state, and makes them again whenever another writer was faster.
    async fn change(
        &self,
        operation: &'static str,
        actions: impl Fn(&TableState) -> Result<Vec<Action>, TableError>,
    ) -> Result<(), TableError> {
        let mut base = self.table.refresh().await?;
        for _ in 0..REDO_AT_MOST {
            let actions = actions(&base)?;
            if actions.is_empty() {
                return Ok(());
            }
            // All rows go: history must not take it for a loss.
            let parameters = HashMap::from([(RETRACTED.to_owned(), 1.into())]);
            let draft = Draft { operation, parameters, actions };
            match self.table.commit(&base, &draft, |_| false).await? {
                Outcome::Committed(_) => return Ok(()),
                Outcome::Overtaken(state) => base = state,
            }
        }
        Err(TableError::Conflict { table: self.table.name().to_owned(), attempts: REDO_AT_MOST })
    }
}
