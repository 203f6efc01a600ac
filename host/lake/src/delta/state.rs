//! The state of a table at one version, from its log.
//!
//! Does no I/O: commits come in as bytes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use deltalake_core::kernel::{Action, Add, Metadata, Protocol, Remove};
use deltalake_core::logstore::get_actions;
use object_store::path::Path;
use seams::spans::Place;

use super::error::TableError;
use super::keys::{CHAIN, GENERATION, MADE_FROM, MADE_FROM_TABLE, REBUILDING, TRACE};
use super::schema;

/// A Parquet file of the table. What each commit asks of every file is worked out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataFile {
    /// Relative to the table.
    pub(crate) path: Path,
    /// Partition columns and their values as text.
    pub(crate) partition: HashMap<String, Option<String>>,
    /// In bytes.
    pub(crate) size: u64,
    /// How many rows, if the writer recorded that.
    pub(crate) rows: Option<u64>,
    /// The value of its only partition column, if there is one and it is a number.
    number: Option<u32>,
    /// Where in the path the content's digest is.
    digest: Option<Range<usize>>,
}

impl DataFile {
    /// A file as a log describes it.
    pub(crate) fn new(path: Path, partition: HashMap<String, Option<String>>, size: u64, rows: Option<u64>) -> Self {
        let mut values = partition.values();
        let number = match (values.next(), values.next()) {
            (Some(Some(only)), None) => only.parse().ok(),
            _ => None,
        };
        let digest = digest_in(path.as_ref());
        DataFile { path, partition, size, rows, number, digest }
    }

    /// The value of its only partition column, if there is one and it is a number.
    pub(crate) fn partition_number(&self) -> Option<u32> {
        self.number
    }

    /// What identifies this file's content: the digest in its name if the engine wrote it, else its whole path.
    pub(crate) fn content_id(&self) -> &str {
        let path = self.path.as_ref();
        self.digest.clone().and_then(|digest| path.get(digest)).unwrap_or(path)
    }

    /// The action that takes this file out of the table.
    pub(crate) fn remove(&self, now: i64) -> Remove {
        Remove {
            path: self.path.to_string(),
            data_change: true,
            deletion_timestamp: Some(now),
            extended_file_metadata: Some(true),
            partition_values: Some(self.partition.clone()),
            size: i64::try_from(self.size).ok(),
            ..Remove::default()
        }
    }
}

/// A table at one version.
#[derive(Clone, Debug)]
pub(crate) struct TableState {
    /// The version, from 0.
    pub(crate) version: u64,
    /// Id, partitioning, configuration and schema.
    pub(crate) metadata: Metadata,
    /// The schema in Arrow's terms, partition columns included.
    pub(crate) schema: SchemaRef,
    /// The current files by path. Paths and files are shared, since each commit makes a state of its own and changes few of them.
    pub(crate) files: BTreeMap<Arc<Path>, Arc<DataFile>>,
    /// The Silver version that the content was made from.
    pub(crate) made_from: Option<i64>,
    /// The id of the Silver table that `made_from` is a version of; none if an earlier version of the program wrote it.
    pub(crate) made_from_table: Option<String>,
    /// The generation of the plugin that made the content, or the latest of those that did.
    pub(crate) generation: Option<i64>,
    /// Whether the table was emptied and is being rebuilt: its content is not complete.
    pub(crate) rebuilding: bool,
    /// The number of the chain's entry that was the last one when a commit named one.
    pub(crate) chain: Option<u64>,
    /// Where in which trace its last commit was made, if that says so. A checkpoint does not.
    pub(crate) made_at: Option<Place>,
}

impl TableState {
    /// A table without files.
    pub(crate) fn new(name: &str, version: u64, metadata: Metadata) -> Result<Self, TableError> {
        let schema = Arc::new(schema::to_arrow(name, &metadata)?);
        let Settings { made_from_table, generation, rebuilding } = Settings::of(&metadata);
        let (files, made_from, chain, made_at) = (BTreeMap::new(), None, None, None);
        Ok(TableState {
            chain,
            version,
            metadata,
            schema,
            files,
            made_from,
            made_from_table,
            generation,
            rebuilding,
            made_at,
        })
    }

    /// The state that these actions of a checkpoint or of the first commit make. None if they lack what every table has.
    pub(super) fn of(name: &str, version: u64, actions: Vec<Action>) -> Result<Option<Self>, TableError> {
        let metadata = actions.iter().find_map(|action| match action {
            Action::Metadata(metadata) => Some(metadata.clone()),
            _ => None,
        });
        let Some(metadata) = metadata.filter(|_| actions.iter().any(|action| matches!(action, Action::Protocol(_))))
        else {
            return Ok(None);
        };
        let mut state = TableState::new(name, version, metadata)?;
        for action in actions {
            state.apply(name, action)?;
        }
        Ok(Some(state))
    }

    /// Applies the next commit.
    pub(crate) fn advance(&mut self, name: &str, entry: &Bytes) -> Result<(), TableError> {
        self.version += 1;
        self.made_at = None;
        for action in get_actions(self.version, entry).map_err(|error| TableError::log(name, error))? {
            self.apply(name, action)?;
        }
        Ok(())
    }

    fn apply(&mut self, name: &str, action: Action) -> Result<(), TableError> {
        match action {
            Action::Add(add) => {
                self.insert(data_file(name, &add)?);
            }
            Action::Remove(remove) => {
                self.files.remove(&store_path(&remove.path));
            }
            Action::Metadata(metadata) => {
                self.schema = Arc::new(schema::to_arrow(name, &metadata)?);
                let Settings { made_from_table, generation, rebuilding } = Settings::of(&metadata);
                (self.made_from_table, self.generation, self.rebuilding) = (made_from_table, generation, rebuilding);
                self.metadata = metadata;
            }
            Action::Protocol(protocol) => supported(name, &protocol)?,
            Action::Txn(txn) if txn.app_id == MADE_FROM => self.made_from = Some(txn.version),
            Action::Txn(txn) if txn.app_id == CHAIN => self.chain = u64::try_from(txn.version).ok(),
            Action::CommitInfo(info) => {
                self.made_at = info.info.get(TRACE).and_then(|text| Place::parse(text.as_str()?));
            }
            Action::Txn(_) | Action::Cdc(_) | Action::DomainMetadata(_) => {}
        }
        Ok(())
    }

    /// Puts a file in.
    pub(super) fn insert(&mut self, file: DataFile) {
        self.files.insert(Arc::new(file.path.clone()), Arc::new(file));
    }

    /// The version as the API has it.
    pub(crate) fn version_i64(&self) -> i64 {
        i64::try_from(self.version).unwrap_or(i64::MAX)
    }
}

fn data_file(name: &str, add: &Add) -> Result<DataFile, TableError> {
    if add.deletion_vector.is_some() {
        return Err(TableError::unsupported(name, "a deletion vector"));
    }
    let stats = add.stats.as_deref().and_then(|stats| serde_json::from_str::<Stats>(stats).ok());
    let (size, rows) = (u64::try_from(add.size).unwrap_or_default(), stats.map(|stats| stats.num_records));
    Ok(DataFile::new(store_path(&add.path), add.partition_values.clone(), size, rows))
}

/// Where a path's last part has a digest and a dash in front.
fn digest_in(path: &str) -> Option<Range<usize>> {
    let start = path.rfind('/').map_or(0, |slash| slash + 1);
    let (digest, _) = path.get(start..)?.split_once('-')?;
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| start..start + digest.len())
}

/// What of a table's configuration the engine reads.
struct Settings {
    made_from_table: Option<String>,
    generation: Option<i64>,
    rebuilding: bool,
}

impl Settings {
    fn of(metadata: &Metadata) -> Self {
        let setting = |name| metadata.configuration().get(name);
        Settings {
            made_from_table: setting(MADE_FROM_TABLE).cloned(),
            generation: setting(GENERATION).and_then(|text| text.parse().ok()),
            rebuilding: setting(REBUILDING).is_some_and(|text| text == "true"),
        }
    }
}

/// The part of a file's statistics that the engine reads.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    num_records: u64,
}

/// A decoded path of the log as a path of the store.
pub(super) fn store_path(path: &str) -> Path {
    Path::parse(path).unwrap_or_else(|_| Path::from(path))
}

/// Refuses a table that another engine has moved to a protocol which this one does not write.
pub(super) fn supported(name: &str, protocol: &Protocol) -> Result<(), TableError> {
    let (reader, writer) = (protocol.min_reader_version(), protocol.min_writer_version());
    if reader == 1 && writer <= 2 {
        return Ok(());
    }
    Err(TableError::unsupported(name, format!("protocol reader {reader}, writer {writer} (expected 1 and 2)")))
}
