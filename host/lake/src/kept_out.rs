//! Keys that stay forgotten: records that no tick brings again.
//!
//! Holds no key: only a salted digest of each. Does not erase anything: `proof::forget` does.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use records::keys::Key;
use seams::store::{Created, ObjectStoreExt, Path, StoreError, create, read_if_there};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Lake, LakeError};

const FOLDER: &str = "_kept_out";

/// A key that stays forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Salted digest of the key.
    pub digest: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// The keys that stay forgotten, to check records against.
#[derive(Clone, Debug, Default)]
pub struct KeptOut {
    salt: String,
    digests: BTreeSet<String>,
}

impl KeptOut {
    /// Reads the list.
    pub async fn read(lake: &Lake) -> Result<Self, LakeError> {
        let digests: BTreeSet<String> = names(lake).await?.into_iter().collect();
        let salt = if digests.is_empty() { String::new() } else { salt(lake).await? };
        Ok(KeptOut { salt, digests })
    }

    /// Whether no key is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// How many keys are on it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether the key is on it.
    #[must_use]
    pub fn holds(&self, key: &Key) -> bool {
        !self.is_empty() && self.digests.contains(&digest(&self.salt, key))
    }
}

/// Puts a key on the list. Returns whether it is new there.
pub async fn add(lake: &Lake, key: &Key, since: DateTime<Utc>) -> Result<bool, LakeError> {
    let digest = digest(&salt(lake).await?, key);
    let path = path(&digest);
    let body = serde_json::to_vec(&Entry { digest, since }).map_err(|error| LakeError::corrupt(&path, error))?;
    Ok(matches!(create(&*lake.bronze, &path, body.into()).await?, Created::New))
}

/// Takes a key off the list. Returns whether it was there.
pub async fn remove(lake: &Lake, key: &Key) -> Result<bool, LakeError> {
    let path = path(&digest(&salt(lake).await?, key));
    if read_if_there(&*lake.bronze, &path).await?.is_none() {
        return Ok(false);
    }
    match lake.bronze.delete(&path).await {
        Ok(()) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What is on the list, oldest first.
pub async fn list(lake: &Lake) -> Result<Vec<Entry>, LakeError> {
    let mut entries: Vec<Entry> = Vec::new();
    for digest in names(lake).await? {
        let path = path(&digest);
        let Some(bytes) = read_if_there(&*lake.bronze, &path).await? else { continue };
        entries.push(serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(&path, error))?);
    }
    entries.sort_by_key(|entry| entry.since);
    Ok(entries)
}

async fn names(lake: &Lake) -> Result<Vec<String>, LakeError> {
    let listed: Vec<_> = lake.bronze.list(Some(&Path::from(FOLDER))).try_collect().await?;
    let digest = |path: &Path| path.filename()?.strip_suffix(".json").map(str::to_owned);
    Ok(listed.iter().filter_map(|object| digest(&object.location)).collect())
}

fn path(digest: &str) -> Path {
    Path::from(format!("{FOLDER}/{digest}.json"))
}

/// What keeps a digest from being looked up in a table of digests of names. Made once.
async fn salt(lake: &Lake) -> Result<String, LakeError> {
    let path = Path::from(format!("{FOLDER}/salt"));
    let fresh = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let bytes = match read_if_there(&*lake.bronze, &path).await? {
        Some(bytes) => bytes,
        None => match create(&*lake.bronze, &path, fresh.clone().into()).await? {
            Created::New => return Ok(fresh),
            Created::Existing(bytes) => bytes,
        },
    };
    String::from_utf8(bytes.into()).map_err(|error| LakeError::corrupt(&path, error))
}

fn digest(salt: &str, key: &Key) -> String {
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update(key.as_str().as_bytes());
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use seams::store::{Store, read};

    #[tokio::test]
    async fn a_key_is_on_the_list_until_it_is_taken_off_and_never_in_clear() {
        let store = || -> Store { Arc::new(InMemory::new()) };
        let lake = Lake { bronze: store(), silver: store(), gold: store(), buckets: NonZeroU32::MIN };
        let (jane, john) = (Key::from_text("jane"), Key::from_text("john"));
        assert!(KeptOut::read(&lake).await.unwrap().is_empty());
        assert!(add(&lake, &jane, DateTime::UNIX_EPOCH).await.unwrap());
        assert!(!add(&lake, &jane, DateTime::UNIX_EPOCH).await.unwrap());
        let kept_out = KeptOut::read(&lake).await.unwrap();
        assert!(kept_out.holds(&jane) && !kept_out.holds(&john) && kept_out.len() == 1);
        assert_eq!(list(&lake).await.unwrap().len(), 1);
        let objects: Vec<_> = lake.bronze.list(None).try_collect().await.unwrap();
        for object in objects {
            let bytes = read(&*lake.bronze, &object.location).await.unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("jane") && !object.location.as_ref().contains("jane"));
        }
        assert!(remove(&lake, &jane).await.unwrap() && !remove(&lake, &jane).await.unwrap());
        assert!(KeptOut::read(&lake).await.unwrap().is_empty());
    }
}
