//! Silver's columns: the plugin's, the engine's own, and the bucket that a key falls into.
//!
//! Does not read or write rows.

use std::num::NonZeroU32;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
pub use records::columns::{BUCKET, KEY, ORD, PLUGIN, SEQ, SOURCE};
use sha2::Digest;

use super::{DataFile, TableState};

/// The bucket of a key: the first four bytes of the SHA-256 of its UTF-8 text, as a big-endian number, modulo the number of buckets.
#[must_use]
pub fn bucket_of(key: &str, buckets: NonZeroU32) -> u32 {
    let digest: [u8; 32] = sha2::Sha256::digest(key).into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d]) % buckets
}

/// The bucket of a file, if its partition says so.
pub(super) fn bucket_in(file: &DataFile) -> Option<u32> {
    // It is the only column by which the table is partitioned.
    file.partition_number()
}

/// The table's columns except the partition column, which no file holds.
pub(super) fn row_schema(state: &TableState) -> SchemaRef {
    let fields = state.schema.fields().iter().filter(|field| field.name() != BUCKET);
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

/// The columns that are not the engine's own.
pub(super) fn plugin_fields(schema: &Schema) -> impl Iterator<Item = &Arc<Field>> {
    schema.fields().iter().filter(|field| ![BUCKET, KEY, ORD, SEQ, SOURCE, PLUGIN].contains(&field.name().as_str()))
}

/// A plugin's columns, then the engine's own, the partition column last.
pub(super) fn with_metadata_columns(columns: &[Arc<Field>]) -> Vec<Arc<Field>> {
    let own = |name: &str, ty| Arc::new(Field::new(name, ty, false));
    let tick = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = columns.to_vec();
    fields.extend([KEY, ORD].map(|name| own(name, DataType::Utf8)));
    fields.push(own(SEQ, tick));
    fields.extend([SOURCE, PLUGIN].map(|name| own(name, DataType::Utf8)));
    fields.push(own(BUCKET, DataType::Int32));
    fields
}
