//! Silver: one keyed Delta table in which the greatest version of each key stands.
//!
//! Does not clean anything and does not know a plugin: rows and their metadata come in together. Does not vacuum or compact.
//!
//! The table is partitioned by `_bucket`, [`bucket_of`] a row's key, with one Parquet file a bucket, sorted by `_key`. A commit replaces
//! the files of the buckets that it touches, so writers on different buckets never disturb each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::compute::kernels::cmp::eq;
use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::DateTime;
use deltalake_core::kernel::{Action, Transaction};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use seams::clock::Clock;
use seams::spans::Place;
use seams::store::Store;

use super::LakeError;
use super::chain::{self, Chain, Head, Why};
use super::delta::{
    self, CHAIN, DataFile, Draft, GENERATION, Genesis, LastCommit, Outcome, Table, TableError, TableState, evolve,
    metadata_with_schema,
};

mod bucket;
mod columns;
mod erase;
mod history;
mod merge;
mod parts;
mod rebuild;
mod rows;
mod take_back;
mod version;

use bucket::Replacement;
pub use columns::{BUCKET, KEY, ORD, PLUGIN, SEQ, SOURCE, bucket_of};
use columns::{bucket_in, plugin_fields, row_schema, with_metadata_columns};
use merge::Incoming;
pub use rows::{RowMeta, Versions};
pub use version::SilverVersion;

/// Where the table's configuration keeps its number of buckets.
const BUCKETS_SETTING: &str = "sluicebox.buckets";
/// Where a commit says how many versions it took back: only then may an older version of a key stand again.
pub const RETRACTED: &str = "retracted";
/// Where a commit says how many rows it erased.
pub const FORGOTTEN: &str = "forgotten";
/// Where a commit names the chain's entry that was the last one, with its digest.
pub const CHAIN_HEAD: &str = "chain";
/// How many buckets one call reads and writes at once.
const AT_ONCE: usize = 4;
/// How often the writer redoes work that others have overtaken, before it gives up.
const REDO_AT_MOST: u32 = 50;

/// What an upsert did. `written`, `superseded` and `unchanged` add up to the number of different versions given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upserted {
    /// The table's version in which all of it holds.
    pub version: i64,
    /// Whether that version is this call's own; if not, nothing had to change.
    pub committed: bool,
    /// Versions that stand in the table now and did not before.
    pub written: usize,
    /// Versions that a greater version of their key has beaten.
    pub superseded: usize,
    /// Versions that stood in the table already.
    pub unchanged: usize,
    /// Versions in the table that a greater one has replaced.
    pub replaced: usize,
    /// Versions in the table whose record version no longer makes a row.
    pub retracted: usize,
}

/// A file of a bucket. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketFile {
    file: Arc<DataFile>,
    rows: u64,
}

impl BucketFile {
    /// Relative to the table.
    #[must_use]
    pub fn path(&self) -> &str {
        self.file.path.as_ref()
    }

    /// Equal for files of equal content.
    #[must_use]
    pub fn content(&self) -> &str {
        self.file.content_id()
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

/// The table at one version.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The version.
    pub version: i64,
    /// The table's own id. It changes when the table is removed and made again.
    pub table: String,
    /// Buckets that have rows, and their files: one a bucket unless another engine has rewritten it.
    pub buckets: BTreeMap<u32, Vec<BucketFile>>,
    /// How many rows.
    pub rows: u64,
    /// The latest generation of the clean plugin that has written.
    pub generation: Option<u32>,
    /// Whether the table was emptied and is being rebuilt: its content is not complete.
    pub rebuilding: bool,
    /// Where in which trace the version was made, if that is known.
    pub made_at: Option<Place>,
    state: Arc<TableState>,
}

impl Snapshot {
    fn of(table: &str, state: Arc<TableState>) -> Result<Self, TableError> {
        let mut buckets: BTreeMap<u32, Vec<BucketFile>> = BTreeMap::new();
        let mut rows = 0;
        for file in state.files.values() {
            let missing = |what: &str| TableError::corrupt(table, format!("file `{}` has no {what}", file.path));
            let bucket = bucket_in(file).ok_or_else(|| missing("`_bucket`"))?;
            let file_rows = file.rows.ok_or_else(|| missing("number of rows in its statistics"))?;
            rows += file_rows;
            buckets.entry(bucket).or_default().push(BucketFile { file: Arc::clone(file), rows: file_rows });
        }
        let generation = state.generation.and_then(|number| u32::try_from(number).ok());
        let (version, rebuilding, made_at) = (state.version_i64(), state.rebuilding, state.made_at);
        let table = state.metadata.id().to_owned();
        Ok(Snapshot { version, table, buckets, rows, generation, rebuilding, made_at, state })
    }

    /// The version with the table that it is one of.
    #[must_use]
    pub fn named(&self) -> SilverVersion {
        SilverVersion { table: Some(self.table.clone()), number: self.version }
    }

    /// The columns that [`Silver::read`] returns: the plugin's, then `_key`, `_ord`, `_seq`, `_source` and `_plugin`.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        row_schema(&self.state)
    }
}

/// The Silver table. Cheap to clone; clones share what they know of the log.
#[derive(Clone, Debug)]
pub struct Silver {
    table: Arc<Table>,
    /// The chain: what was in each object of Bronze when it was cleaned.
    chain: Arc<Chain>,
    /// The plugin's columns, normalised.
    columns: SchemaRef,
    buckets: NonZeroU32,
}

impl Silver {
    /// Opens the table at the root of `store`, creating it when missing. `schema` is what the plugin produces; columns that it adds to the
    /// table's are added there if they are nullable.
    ///
    /// # Errors
    /// [`TableError::Schema`] if a column was removed, has another type or may no longer be null; [`TableError::Buckets`] if the table was made
    /// with another number of buckets.
    pub async fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        schema: SchemaRef,
        buckets: NonZeroU32,
    ) -> Result<Silver, TableError> {
        let silver = Silver::unopened(store, clock, &schema, buckets)?;
        silver.grow().await?;
        Ok(silver)
    }

    /// Opens the table as it is, to read it: its columns and buckets stay. Rows with other columns cannot be put in.
    pub async fn view(
        store: Store,
        clock: Arc<dyn Clock>,
        schema: SchemaRef,
        buckets: NonZeroU32,
    ) -> Result<Silver, TableError> {
        let mut silver = Silver::unopened(store, clock, &schema, buckets)?;
        silver.buckets = silver.buckets_of(&*silver.table.refresh().await?)?;
        Ok(silver)
    }

    /// Into how many buckets the table is divided.
    #[must_use]
    pub fn buckets(&self) -> NonZeroU32 {
        self.buckets
    }

    fn buckets_of(&self, state: &TableState) -> Result<NonZeroU32, TableError> {
        let setting = state.metadata.configuration().get(BUCKETS_SETTING).and_then(|text| text.parse().ok());
        let missing = || format!("its configuration has no `{BUCKETS_SETTING}`");
        setting.ok_or_else(|| TableError::corrupt(self.table.name(), missing()))
    }

    /// The table as it is at its first use, whatever its columns and buckets: until then nothing is read or created. For callers that may
    /// not need the table. Rows with other columns cannot be put in.
    ///
    /// # Errors
    /// [`TableError::Schema`] if no table can have such columns.
    pub fn unopened(
        store: Store,
        clock: Arc<dyn Clock>,
        schema: &SchemaRef,
        buckets: NonZeroU32,
    ) -> Result<Silver, TableError> {
        let name = "silver";
        let columns = Arc::new(delta::normalise(name, schema)?);
        let genesis = Genesis {
            schema: Arc::new(Schema::new(with_metadata_columns(columns.fields()))),
            partitioned_by: vec![BUCKET.to_owned()],
            configuration: HashMap::from([(BUCKETS_SETTING.to_owned(), buckets.to_string())]),
            derived: false,
        };
        let chain = Arc::new(Chain::of(Arc::clone(&store)));
        let table = Arc::new(Table::unopened(name, store, &Path::default(), clock, genesis)?);
        Ok(Silver { table, chain, columns, buckets })
    }

    /// Puts in each version that no greater version of its key has beaten, by [`rank`](records::keys::rank).
    ///
    /// Commutative, associative and idempotent: any calls with the same versions in any order, at once or twice, lead to equal rows.
    ///
    /// # Errors
    /// [`TableError::Outdated`] if a later generation of the plugin has written to the table: the versions of an earlier generation no
    /// longer belong in the table.
    pub async fn upsert(&self, versions: &Versions) -> Result<Upserted, TableError> {
        let incoming = Arc::new(Incoming::sort(self.table.name(), versions, &self.columns, self.buckets)?);
        let mut base = self.table.refresh().await?;
        let head = self.chain_head(&base).await?;
        let mut done: BTreeMap<u32, Replacement> = BTreeMap::new();
        for _ in 0..REDO_AT_MOST {
            self.up_to_date(base.generation, versions.generation)?;
            done.retain(|_, work| work.still_fits(&base));
            let open: Vec<u32> = incoming.buckets().filter(|bucket| !done.contains_key(bucket)).collect();
            let redone: Result<Vec<Replacement>, TableError> = stream::iter(open)
                .map(|bucket| bucket::replace(&self.table, &base, Arc::clone(&incoming), bucket))
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await;
            let redone = match redone {
                // A process that slept for longer than old versions are kept goes on from the newest.
                Err(TableError::Missing { version, .. }) if self.table.refresh().await?.version > version => {
                    base = self.table.refresh().await?;
                    continue;
                }
                Err(error) => {
                    self.distrust(&error);
                    return Err(error);
                }
                Ok(redone) => redone,
            };
            done.extend(redone.into_iter().map(|work| (work.bucket, work)));
            let mut draft = self.draft(done.values());
            if draft.actions.is_empty() {
                return Ok(upserted(base.version_i64(), false, done.values()));
            }
            let generation = i64::from(versions.generation);
            draft.parameters.insert(GENERATION.to_owned(), generation.into());
            if let Some(head) = &head {
                let number = i64::try_from(head.number).unwrap_or(i64::MAX);
                let now = Some(self.table.now());
                draft.actions.push(Action::Txn(Transaction::new_with_last_update(CHAIN, number, now)));
                draft.parameters.insert(CHAIN_HEAD.to_owned(), head.to_string().into());
            }
            let first = base.generation != Some(generation);
            if first {
                let (name, value) = (self.table.name(), generation.to_string());
                let metadata = delta::metadata_with_setting(name, base.metadata.clone(), GENERATION, value)?;
                draft.actions.push(Action::Metadata(metadata));
            }
            let before = &base.metadata;
            // Work that changes nothing rests on nothing: whatever comes after only has greater versions.
            let holds = |state: &TableState| {
                state.generation.is_none_or(|latest| latest <= generation)
                    && (!first || state.metadata == *before)
                    && done.values().filter(|work| work.changes()).all(|work| work.still_fits(state))
            };
            match self.table.commit(&base, &draft, holds).await? {
                Outcome::Committed(state) => return Ok(upserted(state.version_i64(), true, done.values())),
                Outcome::Overtaken(state) => base = state,
            }
        }
        Err(TableError::Conflict { table: self.table.name().to_owned(), attempts: REDO_AT_MOST })
    }

    /// The chain: what was in each object of Bronze when it was cleaned.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Lists objects of Bronze in the chain with what is in them.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list_objects(&self, why: Why, objects: &BTreeMap<String, Option<String>>) -> Result<(), LakeError> {
        if objects.is_empty() {
            return Ok(());
        }
        let state = self.table.refresh().await?;
        let at = DateTime::from_timestamp_millis(self.table.now()).unwrap_or_default();
        self.chain.append(chain_from(&state), at, why, objects).await
    }

    /// The number of the chain's entry that the newest version names.
    pub async fn chain_hint(&self) -> Result<Option<u64>, TableError> {
        Ok(self.table.refresh().await?.chain)
    }

    async fn chain_head(&self, state: &TableState) -> Result<Option<Head>, TableError> {
        self.chain.head(chain_from(state)).await.map_err(|error| match error {
            LakeError::Store(error) => TableError::store(self.table.name(), error),
            LakeError::Table(error) => error,
            LakeError::Corrupt { .. } | LakeError::TakenBack { .. } => TableError::corrupt(self.table.name(), error),
        })
    }

    /// The newest version's number and instant.
    pub async fn last_commit(&self) -> Result<LastCommit, TableError> {
        self.table.last_commit().await
    }

    /// The table's own id. It changes when the table is deleted and made again. Reads the log again, because the known state may be of the
    /// old table.
    pub async fn table_id(&self) -> Result<String, TableError> {
        Ok(self.table.reload().await?.metadata.id().to_owned())
    }

    /// Opens the table again the next time, if the error says that a file of the newest version is not there.
    pub fn distrust(&self, error: &TableError) {
        if let TableError::Missing { .. } = error {
            self.table.distrust();
        }
    }

    /// What decides whether a plugin's rows fit into the table: its id, columns and buckets, and whether it is being rebuilt. The text
    /// changes when another process changes one of them.
    pub async fn shape(&self) -> Result<String, TableError> {
        let state = self.table.refresh().await?;
        let buckets = self.buckets_of(&state)?;
        let columns: Vec<String> = plugin_fields(&state.schema).map(|field| format!("{field}")).collect();
        Ok(format!("{} {buckets} {} {}", state.metadata.id(), state.rebuilding, columns.join(", ")))
    }

    /// The newest version.
    pub async fn snapshot(&self) -> Result<Snapshot, TableError> {
        Snapshot::of(self.table.name(), self.table.refresh().await?)
    }

    /// The rows of one bucket, ordered by key unless another engine has rewritten the bucket; `columns` by name in the order given, all of
    /// [`Snapshot::schema`] if `None`.
    ///
    /// # Errors
    /// [`TableError::Schema`] if the table has no such column; [`TableError::Missing`] if the snapshot's files have been vacuumed since.
    pub async fn read(
        &self,
        snapshot: &Snapshot,
        bucket: u32,
        columns: Option<&[&str]>,
    ) -> Result<Vec<RecordBatch>, TableError> {
        let schema = match columns {
            Some(names) => Arc::new(self.project(&snapshot.schema(), names)?),
            None => snapshot.schema(),
        };
        bucket::read(&self.table, &snapshot.state, bucket, &schema).await
    }

    /// How many record versions stand: a document may make several rows.
    pub async fn standing(&self, snapshot: &Snapshot) -> Result<usize, TableError> {
        let mut count = 0;
        for bucket in snapshot.buckets.keys() {
            let mut last = None;
            for batch in self.read(snapshot, *bucket, Some(&[SOURCE])).await? {
                // Rows are ordered by key, so those of one document are neighbours.
                for source in batch.column(0).as_string::<i32>().iter().flatten() {
                    if last.as_deref() != Some(source) {
                        count += 1;
                        last = Some(source.to_owned());
                    }
                }
            }
        }
        Ok(count)
    }

    /// The rows of one key in the newest version, with all columns; no row if the key is not there.
    pub async fn find(&self, key: &str) -> Result<RecordBatch, TableError> {
        let state = self.table.refresh().await?;
        let schema = row_schema(&state);
        let corrupt = |error| TableError::corrupt(self.table.name(), error);
        let mut found = Vec::new();
        for batch in bucket::read(&self.table, &state, bucket_of(key, self.buckets), &schema).await? {
            let Some(keys) = batch.column_by_name(KEY) else { continue };
            let mask = eq(keys, &StringArray::new_scalar(key)).map_err(corrupt)?;
            found.push(arrow::compute::filter_record_batch(&batch, &mask).map_err(corrupt)?);
        }
        concat_batches(&schema, &found).map_err(corrupt)
    }

    /// The Bronze lines from which rows of these keys stand in the newest version.
    pub async fn sources_of(&self, keys: &BTreeSet<&str>) -> Result<HashSet<String>, TableError> {
        let snapshot = self.snapshot().await?;
        let buckets: BTreeSet<u32> = keys.iter().map(|key| bucket_of(key, self.buckets)).collect();
        let mut sources = HashSet::new();
        for bucket in buckets {
            for batch in self.read(&snapshot, bucket, Some(&[KEY, SOURCE])).await? {
                let (there, from) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
                let found = there.iter().zip(from).filter(|(key, _)| key.is_some_and(|key| keys.contains(key)));
                sources.extend(found.filter_map(|(_, source)| source).map(str::to_owned));
            }
        }
        Ok(sources)
    }

    /// How many files that version has, and which of them are not what the table says, with the reason.
    pub async fn damaged(&self, snapshot: &Snapshot) -> Result<(usize, Vec<(String, String)>), TableError> {
        let files = &snapshot.state.files;
        Ok((files.len(), delta::damaged(self.table.name(), self.table.store(), files.values()).await?))
    }

    /// Asserts that a plugin of generation `ours` may still write, where `latest` is the latest generation of the stage.
    ///
    /// # Errors
    /// As [`Silver::upsert`].
    pub fn admits(&self, ours: u32, latest: u32) -> Result<(), TableError> {
        self.up_to_date(Some(i64::from(latest)), ours)
    }

    fn up_to_date(&self, latest: Option<i64>, ours: u32) -> Result<(), TableError> {
        let ours = i64::from(ours);
        match latest {
            Some(table_has) if table_has > ours => {
                Err(TableError::Outdated { table: self.table.name().to_owned(), table_has, ours })
            }
            _ => Ok(()),
        }
    }

    /// Compares the table's columns with this plugin's, and adds the new ones.
    async fn grow(&self) -> Result<(), TableError> {
        let name = self.table.name();
        let mut base = self.table.refresh().await?;
        for attempts in 0.. {
            let (table_has, wanted) = (self.buckets_of(&base)?.get(), self.buckets.get());
            if table_has != wanted {
                return Err(TableError::Buckets { table: name.to_owned(), table_has, wanted });
            }
            let has: Vec<Arc<Field>> = plugin_fields(&base.schema).cloned().collect();
            let Some(fields) = evolve(name, &has, self.columns.fields())? else { return Ok(()) };
            let schema = Schema::new(with_metadata_columns(&fields));
            let metadata = metadata_with_schema(name, &base.metadata, &schema)?;
            let draft =
                Draft { operation: "CHANGE COLUMNS", parameters: HashMap::new(), actions: vec![metadata.into()] };
            let before = base.metadata.clone();
            match self.table.commit(&base, &draft, |state| state.metadata == before).await? {
                Outcome::Committed(_) => return Ok(()),
                Outcome::Overtaken(state) if attempts < REDO_AT_MOST => base = state,
                Outcome::Overtaken(_) => break,
            }
        }
        Err(TableError::Conflict { table: name.to_owned(), attempts: REDO_AT_MOST })
    }

    fn draft<'a>(&self, done: impl Iterator<Item = &'a Replacement>) -> Draft {
        let now = self.table.now();
        let mut actions = Vec::new();
        let mut touched = Vec::new();
        let mut retracted = 0;
        for work in done {
            if !work.changes() {
                continue;
            }
            touched.push(work.bucket);
            retracted += work.counts.retracted;
            actions.extend(work.replaces.iter().map(|old| Action::Remove(old.remove(now))));
            actions.extend(bucket::add(work).map(Action::Add));
        }
        let parameters =
            HashMap::from([("buckets".to_owned(), touched.into()), (RETRACTED.to_owned(), retracted.into())]);
        Draft { operation: "MERGE", parameters, actions }
    }

    /// Asserts that the table has these columns.
    ///
    /// # Errors
    /// [`TableError::Schema`] if it lacks one.
    pub fn has_columns(&self, snapshot: &Snapshot, names: &[&str]) -> Result<(), TableError> {
        self.project(&snapshot.schema(), names).map(drop)
    }

    fn project(&self, schema: &Schema, names: &[&str]) -> Result<Schema, TableError> {
        let field = |name: &&str| {
            schema.fields().iter().find(|field| field.name() == name).cloned().ok_or_else(|| TableError::Schema {
                table: self.table.name().to_owned(),
                columns: vec![delta::ColumnChange {
                    name: (*name).to_owned(),
                    table: None,
                    wanted: Some("it".to_owned()),
                }],
                hint: "`sluicebox check` compares what an aggregate reads with what clean produces",
            })
        };
        Ok(Schema::new(names.iter().map(field).collect::<Result<Vec<_>, _>>()?))
    }
}

fn chain_from(state: &TableState) -> chain::Start<'_> {
    chain::Start { table: state.metadata.id(), hint: state.chain }
}

fn upserted<'a>(version: i64, committed: bool, done: impl Iterator<Item = &'a Replacement>) -> Upserted {
    let start = Upserted { version, committed, written: 0, superseded: 0, unchanged: 0, replaced: 0, retracted: 0 };
    done.fold(start, |sum, work| Upserted {
        written: sum.written + work.counts.written,
        superseded: sum.superseded + work.counts.superseded,
        unchanged: sum.unchanged + work.counts.unchanged,
        replaced: sum.replaced + work.counts.replaced,
        retracted: sum.retracted + work.counts.retracted,
        ..sum
    })
}
