//! What a tick has read: how much its source held, and a digest that shows whether it holds the same today.
//!
//! Beside the tick's snapshot, and only for people: nothing is made from it. Does not read a source.

use chrono::{DateTime, Utc};
use records::keys::Tick;
use seams::store::{Path, create, read_if_there};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};

const PREFIX: &str = "_source-";

/// A source as a tick has read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Records in it.
    pub records: Option<usize>,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub digest: String,
    /// When the source was last changed, if its place reports that.
    pub modified: Option<DateTime<Utc>>,
}

/// Notes what a tick of that configuration has read. The first note counts.
pub async fn note(lake: &Lake, tick: Tick, config: &str, taken: &Taken) -> Result<(), LakeError> {
    let path = path(tick, config);
    let body = serde_json::to_vec_pretty(taken).map_err(|error| LakeError::corrupt(&path, error))?;
    create(&*lake.bronze, &path, body.into()).await?;
    Ok(())
}

/// What a tick of that configuration has read; none if that was not noted, or cannot be read.
pub async fn get(lake: &Lake, tick: Tick, config: &str) -> Result<Option<Taken>, LakeError> {
    let bytes = read_if_there(&*lake.bronze, &path(tick, config)).await?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// When the tick last read its source with another configuration.
pub async fn otherwise(lake: &Lake, tick: Tick, config: &str) -> Result<Option<DateTime<Utc>>, LakeError> {
    let found = lake.bronze.list_with_delimiter(Some(&Path::from(format!("run={tick}")))).await?;
    let own = path(tick, config);
    let others = found.objects.into_iter().filter(|object| {
        object.location != own && object.location.filename().is_some_and(|name| name.starts_with(PREFIX))
    });
    Ok(others.map(|object| object.last_modified).max())
}

fn path(tick: Tick, config: &str) -> Path {
    Path::from(format!("run={tick}/{PREFIX}{config}.json"))
}
