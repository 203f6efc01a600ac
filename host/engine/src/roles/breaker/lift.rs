//! Suspensions as they lie beside a layer: listed, and lifted by hand.
//!
//! Does not suspend anything, and does not know which plugin serves.

use futures::TryStreamExt;
use lake::{Lake, LakeError};
use seams::store::{Path, Store, delete_if_there, read_if_there};

use super::suspension::{FOLDER, Suspension};

/// A suspension that was lifted.
pub type Lifted = Suspension;

/// Every suspension that is kept in the lake, the latest of each stage last. One of a plugin or configuration that no longer serves
/// suspends nothing.
///
/// # Errors
/// The lake cannot be read.
pub async fn suspensions(lake: &Lake) -> Result<Vec<Suspension>, LakeError> {
    let mut all: Vec<Suspension> = Vec::new();
    for layer in [&lake.bronze, &lake.silver, &lake.gold] {
        all.extend(kept(layer).await?.into_iter().map(|(_, suspension)| suspension));
    }
    all.sort_by(|a, b| (&a.stage, a.at).cmp(&(&b.stage, b.at)));
    Ok(all)
}

/// Lifts every suspension of `stage`, whatever its plugin. A host that serves the stage goes on within seconds.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn lift(lake: &Lake, stage: &str) -> Result<Vec<Lifted>, LakeError> {
    let mut lifted = Vec::new();
    for layer in [&lake.bronze, &lake.silver, &lake.gold] {
        for (path, suspension) in kept(layer).await?.into_iter().filter(|(_, one)| one.stage == stage) {
            delete_if_there(&**layer, &path).await?;
            lifted.push(suspension);
        }
    }
    Ok(lifted)
}

async fn kept(layer: &Store) -> Result<Vec<(Path, Suspension)>, LakeError> {
    let listed: Vec<_> = layer.list(Some(&Path::from(FOLDER))).try_collect().await?;
    let mut all = Vec::new();
    for path in listed.into_iter().map(|object| object.location) {
        let Some(body) = read_if_there(&**layer, &path).await? else { continue };
        all.push((path.clone(), serde_json::from_slice(&body).map_err(|error| LakeError::corrupt(&path, error))?));
    }
    Ok(all)
}
