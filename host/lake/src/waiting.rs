//! What a stage waits for, beside its layer: so that `status` shows it, and a person who knows better can end the wait.
//!
//! Does not wait: `drivers::consumer` does. Says nothing of short waits. A host that was killed may leave a note behind: a note that is
//! past its own end is no wait.

use chrono::{DateTime, TimeDelta, Utc};
use seams::store::{ObjectStoreExt, Path, Store, StoreError, delete_if_there, read_small, replace};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};

const FOLDER: &str = "_waiting";
/// Most bytes of a note.
const MOST: u64 = 64 << 10;
/// Characters of a reason that are kept.
const MOST_KEPT: usize = 1_000;
/// How long after its end a wait is still shown: the try that follows may take a while.
const LATE: TimeDelta = TimeDelta::minutes(2);

/// A wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// The stage: `enrich`, `clean` or `aggregate`.
    pub stage: String,
    /// What for.
    pub reason: String,
    /// Since when, by the clock of the host that waits.
    pub since: DateTime<Utc>,
    /// When it is tried again, if no user ends the wait before.
    pub until: DateTime<Utc>,
}

fn path(stage: &str) -> Path {
    Path::from_iter([FOLDER, &format!("{stage}.json")])
}

fn layer<'l>(lake: &'l Lake, stage: &str) -> &'l Store {
    match stage {
        "enrich" => &lake.bronze,
        "clean" => &lake.silver,
        _ => &lake.gold,
    }
}

/// Notes a wait. Replaces an earlier one of the stage.
///
/// # Errors
/// The lake cannot be written.
pub async fn note(lake: &Lake, wait: &Waiting) -> Result<(), LakeError> {
    let path = path(&wait.stage);
    let short = Waiting { reason: wait.reason.chars().take(MOST_KEPT).collect(), ..wait.clone() };
    let body = serde_json::to_vec_pretty(&short).map_err(|error| LakeError::corrupt(&path, error))?;
    Ok(replace(&**layer(lake, &wait.stage), &path, body.into()).await?)
}

/// Whether a wait of the stage is noted.
///
/// # Errors
/// The lake cannot be read.
pub async fn is_noted(lake: &Lake, stage: &str) -> Result<bool, LakeError> {
    match layer(lake, stage).head(&path(stage)).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes the note of a stage's wait, which ends the wait within seconds. Returns the wait, if there was one.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn end(lake: &Lake, stage: &str) -> Result<Option<Waiting>, LakeError> {
    let (store, path) = (layer(lake, stage), path(stage));
    let noted = read(store, &path).await?;
    delete_if_there(&**store, &path).await?;
    Ok(noted)
}

/// What stages wait for at `now`.
///
/// # Errors
/// The lake cannot be read.
pub async fn all(lake: &Lake, now: DateTime<Utc>) -> Result<Vec<Waiting>, LakeError> {
    let mut waits = Vec::new();
    for stage in ["enrich", "clean", "aggregate"] {
        waits.extend(read(layer(lake, stage), &path(stage)).await?.filter(|wait| now < wait.until + LATE));
    }
    Ok(waits)
}

/// Removes each note that names a record: its wait goes on by itself, and the next wait is noted again.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn forget(lake: &Lake, key: &str) -> Result<(), LakeError> {
    for stage in ["enrich", "clean", "aggregate"] {
        if read(layer(lake, stage), &path(stage)).await?.is_some_and(|wait| wait.reason.contains(key)) {
            end(lake, stage).await?;
        }
    }
    Ok(())
}

/// A note. One that cannot be read says nothing.
async fn read(store: &Store, path: &Path) -> Result<Option<Waiting>, LakeError> {
    match read_small(&**store, path, MOST).await {
        Ok(body) => Ok(body.and_then(|body| serde_json::from_slice(&body).ok())),
        Err(StoreError::NotSupported { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
