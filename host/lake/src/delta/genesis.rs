//! How a table begins: its columns, its partitions and its configuration.
//!
//! Does not write it: `entry` does.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::Metadata;

use super::error::TableError;
use super::schema;

/// How a table begins; what exists already is kept as it is.
pub(crate) struct Genesis {
    /// All columns, partition columns included.
    pub(crate) schema: SchemaRef,
    /// Names of the partition columns.
    pub(crate) partitioned_by: Vec<String>,
    /// The table's configuration.
    pub(crate) configuration: HashMap<String, String>,
    /// Whether its commits name the Silver version that they were made from; to look for that costs another walk through the log.
    pub(crate) derived: bool,
}

/// The `metaData` action of a new table.
pub(super) fn first_metadata(name: &str, genesis: &Genesis, created: i64) -> Result<Metadata, TableError> {
    let schema = schema::to_delta(name, &genesis.schema)?;
    let text = serde_json::to_string(&schema).map_err(|error| TableError::corrupt(name, error))?;
    serde_json::from_value(serde_json::json!({
        "id": uuid::Uuid::new_v4().to_string(),
        "name": name,
        "description": null,
        "format": { "provider": "parquet", "options": {} },
        "schemaString": text,
        "partitionColumns": genesis.partitioned_by,
        "configuration": genesis.configuration,
        "createdTime": created,
    }))
    .map_err(|error| TableError::corrupt(name, error))
}
