//! Receipts: what the clean stage made of each Bronze object, so that a sweep knows what it has seen and every record can be counted.
//!
//! A receipt is written when everything it speaks of is durable. Its absence is harmless: the object is cleaned again, to the same end.

use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};
use crate::seams::store::{Path, read_if_there, replace};

/// A line that made no row, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// Line of the Bronze object, from 1.
    pub line: usize,
    /// In the plugin's words.
    pub reason: String,
}

/// What became of the lines of one Bronze object. The four counts and lists add up to `lines`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The Bronze object.
    pub object: String,
    /// The clean plugin's generation that saw it.
    pub generation: u32,
    /// The clean plugin's digest.
    pub plugin: String,
    /// The Silver version that holds the rows, or a later one.
    pub silver_version: i64,
    /// Lines of the object.
    pub lines: usize,
    /// Lines that made rows. A row may be superseded by a newer version of its record.
    pub cleaned: usize,
    /// Lines that rightly made none, at enrich or clean.
    pub skipped: Vec<Skip>,
    /// Ids of quarantined lines, at enrich or clean.
    pub quarantined: Vec<String>,
}

fn path(object: &str) -> Path {
    Path::from(format!("_receipts/{object}.json"))
}

/// Writes a receipt, in place of an older generation's.
pub async fn put(lake: &Lake, receipt: &Receipt) -> Result<(), LakeError> {
    let path = path(&receipt.object);
    let body = serde_json::to_vec(receipt).map_err(|error| LakeError::corrupt(&path, error))?;
    Ok(replace(&*lake.silver, &path, body.into()).await?)
}

/// The receipt of a Bronze object, if it has one.
pub async fn get(lake: &Lake, object: &Path) -> Result<Option<Receipt>, LakeError> {
    let path = path(object.as_ref());
    let bytes = read_if_there(&*lake.silver, &path).await?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(&path, error))).transpose()
}

/// The Bronze objects that have a receipt, by name only.
pub async fn objects(lake: &Lake) -> Result<std::collections::BTreeSet<String>, LakeError> {
    let mut objects = std::collections::BTreeSet::new();
    let mut listing = lake.silver.list(Some(&Path::from("_receipts")));
    while let Some(object) = listing.try_next().await? {
        let name = object.location.as_ref();
        if let Some(object) = name.strip_prefix("_receipts/").and_then(|name| name.strip_suffix(".json")) {
            objects.insert(object.to_owned());
        }
    }
    Ok(objects)
}

/// All receipts, by object.
pub async fn all(lake: &Lake) -> Result<Vec<Receipt>, LakeError> {
    let read = |object: String| async move { get(lake, &Path::from(object)).await };
    let found: Vec<Option<Receipt>> =
        futures::stream::iter(objects(lake).await?).map(read).buffered(16).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}
