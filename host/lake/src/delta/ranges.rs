//! Parquet objects of a store, read by the ranges of bytes that are asked for.
//!
//! Does not know a table or its columns.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use seams::store::{self, Store};

/// How many bytes at a file's end are fetched at first: nearly always the whole footer.
const FOOTER_GUESS: usize = 64 << 10;
/// Files of up to so many bytes are fetched whole: one request instead of one for the footer and some for columns.
const WHOLE: u64 = 1 << 20;

/// Begins to read a Parquet object of `size` bytes: what its footer says.
pub(super) async fn parquet(
    store: &Store,
    path: &Path,
    size: u64,
) -> ParquetResult<ParquetRecordBatchStreamBuilder<Ranges>> {
    let source = Ranges { store: Arc::clone(store), path: path.clone(), size, whole: None };
    ParquetRecordBatchStreamBuilder::new(source).await
}

/// Byte ranges of an object, as the Parquet reader asks for them.
pub(super) struct Ranges {
    store: Store,
    path: Path,
    size: u64,
    /// All of it, once it was asked for, if it is small.
    whole: Option<Bytes>,
}

impl Ranges {
    /// All of the object, if it is small: footer and columns with one request.
    async fn small(&mut self) -> ParquetResult<Option<Bytes>> {
        if self.whole.is_none() && self.size <= WHOLE {
            self.whole = Some(store::read(self.store.as_ref(), &self.path).await.map_err(external)?);
        }
        Ok(self.whole.clone())
    }
}

/// A part of an object that is there whole.
fn part(whole: &Bytes, range: &Range<u64>) -> ParquetResult<Bytes> {
    let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let bounds = bounds.filter(|(start, end)| start <= end && *end <= whole.len());
    let (start, end) = bounds.ok_or_else(|| ParquetError::EOF(format!("{range:?} of {} bytes", whole.len())))?;
    Ok(whole.slice(start..end))
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Ranges {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            match self.small().await? {
                Some(whole) => part(&whole, &range),
                None => self.store.get_range(&self.path, range).await.map_err(external),
            }
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            match self.small().await? {
                Some(whole) => ranges.iter().map(|range| part(&whole, range)).collect(),
                None => self.store.get_ranges(&self.path, &ranges).await.map_err(external),
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let reader =
                ParquetMetaDataReader::new().with_arrow_reader_options(options).with_prefetch_hint(Some(FOOTER_GUESS));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}
