//! Keys that lost their row in Silver because a later plugin makes no row of that record version: an older version of the record may have
//! to stand again.
//!
//! Written before the row goes, so that a crash in between is found; removed when the older versions were offered again. Does not look for
//! them: `drivers::sweep` does.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use records::keys::{Key, fingerprint};
use seams::store::{Path, StoreError, delete_if_there, read, replace};

use super::{Lake, LakeError};

const FOLDER: &str = "_retracted";

/// Notes that these keys lose their row.
pub async fn note(lake: &Lake, keys: &BTreeSet<Key>) -> Result<(), LakeError> {
    if keys.is_empty() {
        return Ok(());
    }
    let body = serde_json::to_vec(keys).map_err(|error| LakeError::corrupt(FOLDER, error))?;
    let path = Path::from(format!("{FOLDER}/{}.json", fingerprint(&[&body])));
    Ok(replace(&*lake.silver, &path, body.into()).await?)
}

/// Where keys are noted.
pub async fn notes(lake: &Lake) -> Result<Vec<Path>, LakeError> {
    Ok(lake.silver.list(Some(&Path::from(FOLDER))).map_ok(|object| object.location).try_collect().await?)
}

/// All keys of these notes.
pub async fn keys(lake: &Lake, notes: &[Path]) -> Result<BTreeSet<Key>, LakeError> {
    let mut keys = BTreeSet::new();
    for path in notes {
        let bytes = match read(&*lake.silver, path).await {
            Ok(bytes) => bytes,
            // Another host has removed the note meanwhile.
            Err(StoreError::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let noted: BTreeSet<Key> = serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(path, error))?;
        keys.extend(noted);
    }
    Ok(keys)
}

/// Removes these notes.
pub async fn settle(lake: &Lake, notes: &[Path]) -> Result<(), LakeError> {
    for path in notes {
        delete_if_there(&*lake.silver, path).await?;
    }
    Ok(())
}
