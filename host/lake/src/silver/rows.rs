//! Rows of record versions, as they come in.
//!
//! Does not say which of them stand: `merge` does.

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};

/// Where one row comes from and which version of its key it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowMeta {
    /// The record's key.
    pub key: String,
    /// Orders the versions of a key, as text: `SEQ.GENERATION`.
    pub ord: String,
    /// The tick.
    pub seq: DateTime<Utc>,
    /// Bronze object and line: `run=…/batch=….jsonl:LINE`. Decides between versions of equal `ord`.
    pub source: String,
    /// Digest of the plugin that made the row.
    pub plugin: String,
}

/// Rows of some record versions.
///
/// Neighbouring rows of equal key, `ord` and source are one version: a document may make several rows. A version given twice, apart from
/// each other, counts once.
#[derive(Clone, Debug)]
pub struct Versions {
    /// The plugin's columns.
    pub rows: RecordBatch,
    /// One a row.
    pub meta: Vec<RowMeta>,
    /// Versions that make no row: what an earlier generation made of the same record version goes.
    pub gone: Vec<RowMeta>,
    /// The latest generation of the plugin among them.
    pub generation: u32,
}
