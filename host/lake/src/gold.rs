//! Gold: per aggregate one Delta table that is replaced whole, its exports, and the partial results that it is made from.
//!
//! Does not compute anything: tables and partial results come in ready. Does not know an aggregate beyond its name.
//!
//! Below the layer's root: `NAME/` the table, `NAME.parquet` and `NAME.csv` its current content for tools that want one file,
//! `_partials/NAME/` the partial results.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use deltalake_core::kernel::{Action, Add, Transaction};
use object_store::path::Path;
use records::keys::sha256;
use seams::clock::Clock;
use seams::store::{self, Store};

use super::delta::{
    self, Commit, Draft, FileReader, GENERATION, Genesis, LastCommit, MADE_FROM, MADE_FROM_TABLE, Outcome, Table,
    TableError, TableState, Tidied, conform,
};
use super::silver::SilverVersion;
use super::{csv, instants};

mod packs;
mod partials;

pub use partials::{PartialId, Partials};

/// How often the writer looks again at a table that others have changed, before it gives up.
const REDO_AT_MOST: u32 = 50;

/// What publishing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The table has new content.
    Committed {
        /// The Gold table's version.
        version: i64,
    },
    /// The table has this content already; it is recorded that it holds for the given Silver version.
    Unchanged,
    /// The table was made from a newer version of the same Silver table, and stays.
    Stale,
}

/// The key under which a commit names the Silver table that its content was made from.
pub const SILVER_TABLE: &str = "silverTable";

/// One aggregate's table. Cheap to clone; clones share what they know of the log.
#[derive(Clone, Debug)]
pub struct Gold {
    table: Arc<Table>,
    /// Rooted at the layer.
    layer: Store,
    name: String,
    /// The aggregate's columns, normalised.
    columns: SchemaRef,
    kept: partials::Shared,
}

impl Gold {
    /// Opens the table below `NAME/` of `store`, creating it when missing. A table with other columns keeps them until the next
    /// [`Gold::publish`]: Gold is derived, so that its columns may change in any way.
    pub async fn open(store: Store, clock: Arc<dyn Clock>, name: &str, schema: SchemaRef) -> Result<Gold, TableError> {
        let gold = Gold::unopened(store, clock, name, &schema)?;
        gold.table.refresh().await?;
        Ok(gold)
    }

    /// As [`Gold::open`], but at the first use: until then nothing is read or created.
    ///
    /// # Errors
    /// [`TableError::Schema`] if no table can have such columns.
    pub fn unopened(store: Store, clock: Arc<dyn Clock>, name: &str, schema: &SchemaRef) -> Result<Gold, TableError> {
        let columns = Arc::new(delta::normalise(name, schema)?);
        let (partitioned_by, configuration) = (Vec::new(), HashMap::new());
        let genesis = Genesis { schema: Arc::clone(&columns), partitioned_by, configuration, derived: true };
        let table = Arc::new(Table::unopened(name, Arc::clone(&store), &Path::from(name), clock, genesis)?);
        Ok(Gold { table, layer: store, name: name.to_owned(), columns, kept: partials::Shared::default() })
    }

    /// The Silver version that the current content holds for, if anything was published.
    pub async fn silver_version(&self) -> Result<Option<i64>, TableError> {
        Ok(self.table.refresh().await?.made_from)
    }

    /// The same, with the Silver table of that version.
    pub async fn made_from(&self) -> Result<Option<SilverVersion>, TableError> {
        let state = self.table.refresh().await?;
        Ok(state.made_from.map(|number| SilverVersion { table: state.made_from_table.clone(), number }))
    }

    /// The generation of the plugin that made the current content, if anything was published.
    pub async fn generation(&self) -> Result<Option<u32>, TableError> {
        Ok(self.table.refresh().await?.generation.and_then(|number| u32::try_from(number).ok()))
    }

    /// Makes `content`, computed from `silver` by the plugin's `generation`, the table's content.
    ///
    /// A result of an older version of a Silver table never replaces one of a newer; a result of another Silver table is always replaced.
    /// If the table records only a number, it counts as a version of `silver`'s table.
    ///
    /// # Errors
    /// [`TableError::Outdated`] if a later generation of the plugin has made the table. [`TableError::Input`] if not every engine can read
    /// a value; then nothing was changed.
    pub async fn publish(
        &self,
        content: &RecordBatch,
        silver: impl Into<SilverVersion>,
        generation: u32,
    ) -> Result<Published, TableError> {
        self.put_in_place(content, silver.into(), generation, false).await
    }

    /// As [`Gold::publish`], for a table that records only a number, if the Silver table of that number is known to be gone.
    pub async fn publish_over(
        &self,
        content: &RecordBatch,
        silver: SilverVersion,
        generation: u32,
    ) -> Result<Published, TableError> {
        self.put_in_place(content, silver, generation, true).await
    }

    async fn put_in_place(
        &self,
        content: &RecordBatch,
        silver: SilverVersion,
        generation: u32,
        over_number: bool,
    ) -> Result<Published, TableError> {
        let content = conform(&self.name, content, &self.columns)?;
        if let Some(wrong) = instants::first_out_of_range(&content) {
            return Err(TableError::input(&self.name, wrong));
        }
        let (bytes, rows) = (delta::encode(&self.name, &content)?, content.num_rows());
        // What cannot be exported must not be committed: the exports would be behind for good.
        drop(csv::encode(&self.name, &content)?);
        let next = Next { bytes, rows, silver, generation: i64::from(generation) };
        let mut written = None;
        let mut base = self.table.refresh().await?;
        for _ in 0..REDO_AT_MOST {
            if let Some(table_has) = base.generation.filter(|latest| *latest > next.generation) {
                return Err(TableError::Outdated { table: self.name.clone(), table_has, ours: next.generation });
            }
            let of_other = match &base.made_from_table {
                Some(table) => next.silver.table.as_ref().is_some_and(|ours| ours != table),
                None => over_number,
            };
            if !of_other && base.made_from.is_some_and(|made_from| made_from > next.silver.number) {
                return Ok(Published::Stale);
            }
            let same_content = self.holds_already(&base, &next);
            let same_silver = base.made_from == Some(next.silver.number)
                && (next.silver.table.is_none() || base.made_from_table == next.silver.table);
            if same_content && same_silver && base.generation == Some(next.generation) {
                return Ok(Published::Unchanged);
            }
            let draft = self.draft(&base, &next, same_content, &mut written).await?;
            // The whole table is replaced, so any change to it calls for another look.
            let holds = |state: &TableState| {
                state.files == base.files
                    && state.made_from == base.made_from
                    && state.generation == base.generation
                    && state.metadata == base.metadata
            };
            match self.table.commit(&base, &draft, holds).await? {
                Outcome::Committed(_) if same_content => return Ok(Published::Unchanged),
                Outcome::Committed(state) => return Ok(Published::Committed { version: state.version_i64() }),
                Outcome::Overtaken(state) => base = state,
            }
        }
        Err(TableError::Conflict { table: self.name.clone(), attempts: REDO_AT_MOST })
    }

    /// The time, by the clock of the table's commits.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.table.now()).unwrap_or_default()
    }

    /// The newest version's number and instant.
    pub async fn last_commit(&self) -> Result<LastCommit, TableError> {
        self.table.last_commit().await
    }

    /// The current content, or `None` if nothing was published yet.
    pub async fn current(&self) -> Result<Option<RecordBatch>, TableError> {
        let state = self.table.refresh().await?;
        if state.made_from.is_none() { Ok(None) } else { self.content(&state).await.map(Some) }
    }

    /// Writes the current content as `NAME.parquet` and `NAME.csv` beside the table, each replaced in one step.
    ///
    /// Call it after each publish that was not stale: it is what a crash between the two leaves undone.
    pub async fn export(&self) -> Result<(), TableError> {
        let mut state = self.table.refresh().await?;
        // Two exporters race: the one with the older content may write last. So an exporter looks at the table again after its write, and
        // writes again if the table moved on. The last writer of all looks after its write, hence sees the newest commit before that write.
        for _ in 0..REDO_AT_MOST {
            let content = self.content(&state).await?;
            let parquet = delta::encode(&self.name, &content)?;
            let csv = csv::encode(&self.name, &content)?;
            self.put(&Path::from(format!("{}.parquet", self.name)), parquet).await?;
            self.put(&Path::from(format!("{}.csv", self.name)), csv).await?;
            let newest = self.table.refresh().await?;
            if newest.files == state.files && newest.schema == state.schema {
                return Ok(());
            }
            state = newest;
        }
        Err(TableError::Conflict { table: self.name.clone(), attempts: REDO_AT_MOST })
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

    /// Deletes every file that only versions before the newest name, the log's entries before it, and all partial results.
    pub async fn drop_past(&self) -> Result<Tidied, TableError> {
        self.drop_partials().await?;
        self.table.drop_past().await
    }

    /// Deletes every file that no version names, and returns how many. No writer may be about to commit one.
    pub async fn drop_strays(&self) -> Result<usize, TableError> {
        let strays = self.table.unnamed().await?;
        self.table.delete_unnamed(&strays).await
    }

    /// Deletes the table, its exports and its partial results: they were made from a Silver that is gone.
    pub async fn wipe(&self) -> Result<(), TableError> {
        self.drop_partials().await?;
        for format in ["parquet", "csv"] {
            let path = Path::from(format!("{}.{format}", self.name));
            let deleted = store::delete_if_there(&*self.layer, &path).await;
            deleted.map_err(|error| TableError::store(&self.name, error))?;
        }
        self.table.wipe().await
    }

    /// How many files the table and its exports have, and which of them are not what they should be, with the reason.
    pub async fn damaged(&self) -> Result<(usize, Vec<(String, String)>), TableError> {
        let state = self.table.refresh().await?;
        let mut damaged = delta::damaged(&self.name, self.table.store(), state.files.values()).await?;
        if damaged.is_empty() && state.made_from.is_some() {
            let content = self.content(&state).await?;
            let exports =
                [("parquet", delta::encode(&self.name, &content)), ("csv", csv::encode(&self.name, &content))];
            for (format, wanted) in exports {
                let path = Path::from(format!("{}.{format}", self.name));
                let wanted = match wanted {
                    Ok(wanted) => wanted,
                    // An earlier version of the program has let such values in.
                    Err(error) => {
                        damaged.push((path.to_string(), error.to_string()));
                        continue;
                    }
                };
                let there = store::read_if_there(self.layer.as_ref(), &path).await;
                let wrong = match there.map_err(|error| TableError::store(&self.name, error))? {
                    Some(there) if there == wanted => continue,
                    Some(_) => "it is not what the table holds",
                    None => "the export is not there",
                };
                damaged.push((path.to_string(), wrong.to_owned()));
            }
        }
        Ok((state.files.len() + 2, damaged))
    }

    async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), TableError> {
        store::replace(self.layer.as_ref(), path, bytes).await.map_err(|error| TableError::store(&self.name, error))
    }

    async fn content(&self, state: &TableState) -> Result<RecordBatch, TableError> {
        let reader = FileReader { table: &self.name, store: self.table.store(), version: state.version };
        let mut batches = Vec::new();
        for file in state.files.values() {
            let read = reader.read(file, &state.schema).await;
            batches.extend(read.inspect_err(|error| {
                // It may be another table by now.
                if let TableError::Missing { .. } = error {
                    self.table.distrust();
                }
            })?);
        }
        concat_batches(&state.schema, &batches).map_err(|error| TableError::corrupt(&self.name, error))
    }

    /// Whether the table has the columns and the rows of `next`. Equal rows make equal files, and a file's name tells its content.
    fn holds_already(&self, state: &TableState, next: &Next) -> bool {
        let mut files = state.files.values();
        let same_rows = match (files.next(), files.next()) {
            (None, _) => next.rows == 0,
            (Some(only), None) => only.content_id() == sha256(&next.bytes),
            (Some(_), Some(_)) => false,
        };
        same_rows && same_columns(&state.schema, &self.columns)
    }

    async fn draft(
        &self,
        base: &TableState,
        next: &Next,
        same_content: bool,
        written: &mut Option<delta::Written>,
    ) -> Result<Draft, TableError> {
        let now = self.table.now();
        let mut actions = Vec::new();
        let mut metadata = base.metadata.clone();
        if !same_content {
            metadata = delta::metadata_with_schema(&self.name, &metadata, &self.columns)?;
        }
        if base.generation != Some(next.generation) {
            let value = next.generation.to_string();
            metadata = delta::metadata_with_setting(&self.name, metadata, GENERATION, value)?;
        }
        if let Some(table) = next.silver.table.as_ref().filter(|table| base.made_from_table.as_ref() != Some(*table)) {
            metadata = delta::metadata_with_setting(&self.name, metadata, MADE_FROM_TABLE, table.clone())?;
        }
        if metadata != base.metadata {
            actions.push(metadata.into());
        }
        if !same_content {
            actions.extend(base.files.values().map(|file| Action::Remove(file.remove(now))));
            if next.rows > 0 {
                actions.push(Action::Add(self.add(next, written).await?));
            }
        }
        let txn = Transaction::new_with_last_update(MADE_FROM, next.silver.number, Some(now));
        actions.push(Action::Txn(txn));
        let mut parameters = HashMap::from([
            ("mode".to_owned(), "Overwrite".into()),
            ("silverVersion".to_owned(), next.silver.number.into()),
            (GENERATION.to_owned(), next.generation.into()),
        ]);
        parameters.extend(next.silver.table.clone().map(|table| (SILVER_TABLE.to_owned(), table.into())));
        Ok(Draft { operation: "WRITE", parameters, actions })
    }

    /// The new content's file, written the first time that it is asked for.
    async fn add(&self, next: &Next, written: &mut Option<delta::Written>) -> Result<Add, TableError> {
        let file = match written {
            Some(file) => file.clone(),
            None => {
                let bytes = next.bytes.clone();
                self.table.write(&Path::default(), bytes, next.rows).await?
            }
        };
        *written = Some(file.clone());
        Ok(Add {
            path: file.path.to_string(),
            size: i64::try_from(file.size).unwrap_or(i64::MAX),
            modification_time: file.since,
            data_change: true,
            stats: Some(serde_json::json!({ "numRecords": file.rows }).to_string()),
            ..Add::default()
        })
    }
}

/// Content to publish.
struct Next {
    bytes: Bytes,
    rows: usize,
    silver: SilverVersion,
    generation: i64,
}

fn same_columns(table: &Schema, wanted: &Schema) -> bool {
    table.fields() == wanted.fields()
}
