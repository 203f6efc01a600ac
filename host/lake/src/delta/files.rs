//! Data files: Parquet from record batches, and back.
//!
//! Does not decide which files a table has: that is a commit.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use records::keys::sha256;
use seams::store::{self, Store};

use super::error::TableError;
use super::ranges::parquet;
use super::schema::conform;
use super::state::DataFile;
use super::table::Table;

/// A data file that no commit names yet.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Relative to the table.
    pub(crate) path: Path,
    /// In bytes.
    pub(crate) size: usize,
    /// How many rows.
    pub(crate) rows: usize,
    /// Since when it may be in the store, in milliseconds since 1970.
    pub(crate) since: i64,
}

/// `rows` as a Parquet file. Equal rows make equal bytes.
pub(crate) fn encode(table: &str, rows: &RecordBatch) -> Result<Bytes, TableError> {
    encode_parts(table, std::slice::from_ref(rows))
}

/// Rows in parts of equal columns, at least one, as a Parquet file with a row group for each part: no reader has to put two together.
pub(crate) fn encode_parts(table: &str, parts: &[RecordBatch]) -> Result<Bytes, TableError> {
    let fail = |error: ParquetError| TableError::input(table, format!("rows cannot be written as Parquet: {error}"));
    let level = ZstdLevel::try_new(1).map_err(fail)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut bytes = Vec::new();
    let first = parts.first().ok_or_else(|| TableError::input(table, "a file of no rows and no columns"))?;
    let mut writer = ArrowWriter::try_new(&mut bytes, first.schema(), Some(properties)).map_err(fail)?;
    for part in parts {
        writer.write(part).map_err(fail)?;
        if parts.len() > 1 {
            writer.flush().map_err(fail)?;
        }
    }
    writer.close().map_err(fail)?;
    Ok(Bytes::from(bytes))
}

impl Table {
    /// Writes an encoded file below `folder`.
    ///
    /// Its name starts with its digest and ends in a nonce. The nonce is what makes it safe to write the same content again long after
    /// it was replaced: a vacuum that is about to delete the old file cannot hit the new one.
    pub(crate) async fn write(&self, folder: &Path, bytes: Bytes, rows: usize) -> Result<Written, TableError> {
        let nonce: u32 = rand::random();
        let path = folder.clone().join(format!("{}-{nonce:08x}.parquet", sha256(&bytes)));
        let (size, since) = (bytes.len(), self.now());
        let written = store::replace(self.store().as_ref(), &path, bytes).await;
        written.map_err(|error| TableError::store(self.name(), error))?;
        Ok(Written { path, size, rows, since })
    }
}

/// What is wrong with these data files: each is read whole and compared with its size and the digest in its name.
pub(crate) async fn damaged(
    table: &str,
    store: &Store,
    files: impl Iterator<Item = &Arc<DataFile>>,
) -> Result<Vec<(String, String)>, TableError> {
    let mut damaged = Vec::new();
    for file in files {
        let bytes = store::read_if_there(store.as_ref(), &file.path).await;
        let wrong = match bytes.map_err(|error| TableError::store(table, error))? {
            None => Some("the file is not there".to_owned()),
            Some(bytes) if bytes.len() as u64 != file.size => {
                Some(format!("it has {} bytes, the table says {}", bytes.len(), file.size))
            }
            Some(bytes) => {
                let found = sha256(&bytes);
                let named = file.content_id();
                // A file of another engine has no digest in its name, and its path is no digest.
                (named.len() == 64 && !named.contains('/') && found != named)
                    .then(|| format!("its content has digest {found}, its name says {named}"))
            }
        };
        damaged.extend(wrong.map(|wrong| (file.path.to_string(), wrong)));
    }
    Ok(damaged)
}

/// The rows of a Parquet file as text, to be searched; none if it is no Parquet file.
pub fn text_of(file: &Bytes) -> Option<Bytes> {
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file.clone()).ok()?;
    let mut text = Vec::new();
    for batch in reader.build().ok()? {
        let batch = batch.ok()?;
        let mut writer = arrow::json::LineDelimitedWriter::new(&mut text);
        writer.write(&batch).ok()?;
        writer.finish().ok()?;
    }
    Some(text.into())
}

/// Reads data files of one table version.
pub(crate) struct FileReader<'a> {
    /// Name of the table.
    pub(crate) table: &'a str,
    /// Rooted at the table.
    pub(crate) store: &'a Store,
    /// The version that names the files.
    pub(crate) version: u64,
}

impl FileReader<'_> {
    /// The rows of `file` with exactly the columns of `schema`; only those are fetched.
    pub(crate) async fn read(&self, file: &DataFile, schema: &SchemaRef) -> Result<Vec<RecordBatch>, TableError> {
        let fail = |error| TableError::parquet(self.table, self.version, file.path.as_ref(), error);
        let builder = parquet(self.store, &file.path, file.size).await.map_err(fail)?;
        let fields = builder.parquet_schema().root_schema().get_fields();
        let wanted = fields.iter().enumerate().filter(|(_, field)| schema.column_with_name(field.name()).is_some());
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(index, _)| index));
        let batches: Vec<RecordBatch> =
            builder.with_projection(mask).build().map_err(fail)?.try_collect().await.map_err(fail)?;
        batches.iter().map(|batch| conform(self.table, batch, schema)).collect()
    }
}
