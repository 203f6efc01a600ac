//! A table's state out of its log: from the last checkpoint and the commits after it, each found by its name.
//!
//! Lists nothing, and reads from a checkpoint what is current, not what is gone: a long log is read as fast as a short one. Does not read
//! every log that Delta allows: where a log is not as this engine writes it (a checkpoint in parts, a hint that leads nowhere) or lacks an
//! entry, `deltalake-core` lists, reads and judges it.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{is_not_null, or};
use arrow::error::ArrowError;
use bytes::Bytes;
use deltalake_core::kernel::Action;
use deltalake_core::logstore::{LogStoreRef, commit_uri_from_version, get_actions};
use deltalake_core::{DeltaTable, DeltaTableError};
use futures::TryStreamExt;
use futures::future::{join, join_all};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, RowFilter};
use parquet::schema::types::SchemaDescriptor;
use seams::store::{self, Store, StoreError};

use super::entry::pause;
use super::error::TableError;
use super::keys::MADE_FROM;
use super::log::{self, LOG};
use super::ranges::parquet;
use super::state::{DataFile, TableState, supported};

/// How many commits are read at once, and so how far after the last one a gap is looked for.
const AHEAD: u64 = 8;
/// After how many commits without a checkpoint the log is listed.
const WALK_AT_MOST: u64 = 512;
/// How often an unreadable log is read again.
const LOAD_AGAIN_AT_MOST: u32 = 5;

/// What of a checkpoint's actions is read. No column of `remove`: of files that are gone a checkpoint may name thousands.
const COLUMNS: [&str; 10] = [
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.modificationTime",
    "add.dataChange",
    "add.stats",
    "add.deletionVector",
    "metaData",
    "protocol",
    "txn",
];
/// A column of each action that is read, which that action always has.
const TELLING: [&str; 4] = ["add.path", "metaData.id", "protocol.minReaderVersion", "txn.appId"];

/// What reading a log by name finds, without listing it.
pub(super) enum Found {
    /// The newest state.
    Newest(Arc<TableState>),
    /// That it lacks this version and has a later one: it was damaged, or is being cleaned up.
    Gap(u64),
    /// Nothing that is certain: there is no table, or a log that must be listed.
    Unclear,
}

/// Reads the log by its entries' names. `hint` is the version of its last checkpoint.
///
/// # Errors
/// Only those of the store: the listing finds and reports anything else that is wrong with the log.
pub(super) async fn by_name(name: &str, store: &Store, hint: Option<u64>) -> Result<Found, TableError> {
    let found = match hint {
        // Both at once: the checkpoint is the only thing here whose size depends on the table's.
        Some(version) => match join(summed_up(name, store, version), ahead(name, store, version + 1)).await {
            (Ok(Some(state)), Ok(next)) => walk(name, store, state, next).await,
            (Ok(None), Ok(_)) => Ok(Found::Unclear),
            (Err(error), _) | (_, Err(error)) => Err(error),
        },
        None => match first(name, store).await {
            Ok(Some(state)) => walk(name, store, state, ahead(name, store, 1).await?).await,
            Ok(None) => Ok(Found::Unclear),
            Err(error) => Err(error),
        },
    };
    match found {
        Err(error @ TableError::Store { .. }) => Err(error),
        Err(error) => {
            tracing::debug!(table = name, %error, "the log is not read by name");
            Ok(Found::Unclear)
        }
        found => found,
    }
}

/// The newest state, by name or else by listing the log.
///
/// # Errors
/// [`TableError::Corrupt`] if the log lacks an entry and stays so.
pub(super) async fn newest(
    name: &str,
    store: &Store,
    log: &LogStoreRef,
    derived: bool,
) -> Result<Arc<TableState>, TableError> {
    let mut tries = 0;
    loop {
        match by_name(name, store, log::hint(name, store).await?).await? {
            Found::Newest(state) => return Ok(state),
            Found::Unclear => return listed(name, log, None, derived).await.map(Arc::new),
            // A clean-up takes the oldest first; then there is a later checkpoint.
            Found::Gap(_) if tries < LOAD_AGAIN_AT_MOST => tries += 1,
            Found::Gap(version) => {
                let what = format!("its log lacks version {version}, and has a later one");
                return Err(TableError::corrupt(name, what));
            }
        }
        pause(tries).await;
    }
}

/// The state that version 0 makes.
async fn first(name: &str, store: &Store) -> Result<Option<TableState>, TableError> {
    let Some(entry) = read_entry(name, store, 0).await? else { return Ok(None) };
    TableState::of(name, 0, actions(name, 0, &entry)?)
}

/// The state that the checkpoint of `version` sums up.
async fn summed_up(name: &str, store: &Store, version: u64) -> Result<Option<TableState>, TableError> {
    let path = Path::from_iter([LOG, &format!("{version:020}.checkpoint.parquet")]);
    let size = match store.head(&path).await {
        Ok(object) => object.size,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(TableError::store(name, error)),
    };
    let fail = |error| TableError::parquet(name, version, path.as_ref(), error);
    let builder = parquet(store, &path, size).await.map_err(fail)?;
    let schema = builder.parquet_schema();
    let has_parts = schema.columns().iter().any(|column| column.path().string() == "checkpointMetadata.version");
    if has_parts {
        return Ok(None);
    }
    let wanted = ProjectionMask::columns(schema, COLUMNS);
    let filter = RowFilter::new(vec![Box::new(told(schema))]);
    let reader = builder.with_projection(wanted).with_row_filter(filter).build().map_err(fail)?;
    let rows: Vec<RecordBatch> = reader.try_collect().await.map_err(fail)?;
    // As lines of JSON the actions are what a commit has, which is what is read everywhere else.
    let lines = lines(&rows).map_err(|error| TableError::corrupt(name, error))?;
    TableState::of(name, version, actions(name, version, &lines)?)
}

/// The rows that hold one of the actions that are read.
fn told(
    schema: &SchemaDescriptor,
) -> ArrowPredicateFn<impl FnMut(RecordBatch) -> Result<BooleanArray, ArrowError> + use<>> {
    ArrowPredicateFn::new(ProjectionMask::columns(schema, TELLING), |batch: RecordBatch| {
        let none: BooleanArray = BooleanArray::new(BooleanBuffer::new_unset(batch.num_rows()), None);
        batch.columns().iter().try_fold(none, |told, action| or(&told, &is_not_null(action)?))
    })
}

fn lines(rows: &[RecordBatch]) -> Result<Bytes, ArrowError> {
    let mut lines = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut lines);
    writer.write_batches(&rows.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    Ok(lines.into())
}

/// The next commits, as far as they are there.
async fn ahead(name: &str, store: &Store, next: u64) -> Result<Vec<Option<Bytes>>, TableError> {
    let read = join_all((next..next + AHEAD).map(|version| read_entry(name, store, version))).await;
    read.into_iter().collect()
}

/// `state` with every commit after it applied; `read` holds the next ones.
async fn walk(
    name: &str,
    store: &Store,
    mut state: TableState,
    mut read: Vec<Option<Bytes>>,
) -> Result<Found, TableError> {
    let start = state.version;
    while state.version < start + WALK_AT_MOST {
        let found = read.iter().flatten().count();
        let entries: Vec<Bytes> = read.into_iter().map_while(|entry| entry).collect();
        for entry in &entries {
            state.advance(name, entry)?;
        }
        let lacks = state.version + 1;
        if found > entries.len() {
            // A later commit is there. If writers were at work meanwhile, the missing commit would be there by now.
            match read_entry(name, store, lacks).await? {
                Some(entry) => state.advance(name, &entry)?,
                None => return Ok(Found::Gap(lacks)),
            }
        } else if entries.is_empty() {
            // No next commit means that this state is the newest only while its own commit is there: a process that slept since the hint
            // was read may have missed a clean-up of both.
            let certain = state.version > start || has_entry(name, store, start).await?;
            return Ok(if certain { Found::Newest(Arc::new(state)) } else { Found::Unclear });
        }
        read = ahead(name, store, state.version + 1).await?;
    }
    Ok(Found::Unclear)
}

/// Whether the commit of a version is in the log.
pub(super) async fn has_entry(name: &str, store: &Store, version: u64) -> Result<bool, TableError> {
    match store.head(&commit_uri_from_version(Some(version))).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(TableError::store(name, error)),
    }
}

fn actions(name: &str, version: u64, lines: &Bytes) -> Result<Vec<Action>, TableError> {
    get_actions(version, lines).map_err(|error| TableError::log(name, error))
}

/// The commit of a version, if it is in the log.
pub(super) async fn read_entry(name: &str, store: &Store, version: u64) -> Result<Option<Bytes>, TableError> {
    let path = commit_uri_from_version(Some(version));
    store::read_if_there(store.as_ref(), &path).await.map_err(|error| TableError::store(name, error))
}

/// The table's state at `version`, or else its newest, from the last checkpoint before it and the commits after that.
///
/// A listing of a directory that others write to at the same time may show a commit and not the one before, and a log clean-up may take
/// a checkpoint between its mention and its use. Both pass, so a log is only called unreadable when it stays so.
pub(super) async fn listed(
    name: &str,
    log: &LogStoreRef,
    version: Option<u64>,
    derived: bool,
) -> Result<TableState, TableError> {
    let mut tries = 0;
    loop {
        match listed_once(name, log, version, derived).await {
            Err(TableError::Log { .. }) if tries < LOAD_AGAIN_AT_MOST => tries += 1,
            outcome => return outcome,
        }
        pause(tries).await;
    }
}

async fn listed_once(
    name: &str,
    log: &LogStoreRef,
    version: Option<u64>,
    derived: bool,
) -> Result<TableState, TableError> {
    let fail = |error: DeltaTableError| TableError::log(name, error);
    let mut table = DeltaTable::new(Arc::clone(log));
    match version {
        Some(version) => table.load_version(version).await.map_err(fail)?,
        None => table.load().await.map_err(fail)?,
    }
    let snapshot = table.snapshot().map_err(fail)?;
    let made_from = match derived {
        true => snapshot.transaction_version(log.as_ref(), MADE_FROM).await.map_err(fail)?,
        false => None,
    };
    supported(name, snapshot.protocol())?;
    let mut state = TableState::new(name, snapshot.version(), snapshot.metadata().clone())?;
    state.made_from = made_from;
    for view in snapshot.log_data().iter() {
        if view.deletion_vector_descriptor().is_some() {
            return Err(TableError::unsupported(name, "a deletion vector"));
        }
        let file = DataFile::new(
            view.object_store_path(),
            view.partition_values_map(),
            u64::try_from(view.size()).unwrap_or_default(),
            view.num_records().and_then(|rows| u64::try_from(rows).ok()),
        );
        state.insert(file);
    }
    Ok(state)
}
