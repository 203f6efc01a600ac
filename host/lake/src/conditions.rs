//! Whether a store heeds the conditions of writes. A lake depends on them: of several hosts that write one object at once, one must win and
//! the others must learn of it. Where a store ignores them rows are lost in silence, so a store is asked before anything is written there,
//! and what it has proved is noted in it.
//!
//! Does not ask a folder of this machine: its adapter keeps the conditions itself.

use chrono::{DateTime, Utc};
use object_store::{Error as StoreError, PutMode, PutOptions, PutPayload, UpdateVersion};
use records::keys::fingerprint;
use seams::store::{ObjectStoreExt as _, Path, Store, delete_if_there, read_small};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::LakeError;

/// The folder of the notes, in each layer. A copy of a lake in another store has the note of the first one, which does not count there.
const FOLDER: &str = "_store";
/// Most bytes of a note.
const MOST: u64 = 1 << 16;
/// A tag that no object has.
const NO_TAG: &str = "\"00000000000000000000000000000000\"";

/// Why a store cannot hold a layer.
#[derive(Debug, Error)]
pub enum Unfit {
    /// It writes although the condition forbids it.
    #[error(
        "[S001] the store of layer `{layer}` at `{place}` ignores conditional writes: it {did}\nhint: hosts that write at once would overwrite each other's rows there; use S3, or a store that heeds `If-None-Match` and `If-Match`, or a folder of one machine"
    )]
    Ignores {
        /// The layer.
        layer: &'static str,
        /// Where it is.
        place: String,
        /// What it did.
        did: &'static str,
    },
    /// It does not answer.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// What is noted of a store.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The store.
    place: String,
    /// When it was asked.
    asked: DateTime<Utc>,
    /// Whether it has proved that it heeds conditions.
    heeds: bool,
}

/// Makes sure that the store of `layer` heeds conditions. `place` must identify store and layer. Costs one small read if the store is
/// noted, else four small writes.
///
/// # Errors
/// [`Unfit`]. What was written as a test is deleted then, if the store can delete.
pub async fn require(store: &Store, layer: &'static str, place: &str, now: DateTime<Utc>) -> Result<(), Unfit> {
    let path = Path::from_iter([FOLDER, &format!("{}.json", fingerprint(&[place.as_bytes()]))]);
    let noted = read_small(&**store, &path, MOST).await.map_err(LakeError::from)?;
    // One that cannot be read is written again.
    let noted = noted.and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
    if noted.is_some_and(|note| note.heeds && note.place == place) {
        return Ok(());
    }
    let note = |heeds| serde_json::to_vec(&Note { place: place.to_owned(), asked: now, heeds }).unwrap_or_default();
    let put = async |body: Vec<u8>, mode| {
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = store.put_opts(&path, PutPayload::from(body), options).await;
        match put {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotFound { .. }) => {
                Ok(false)
            }
            Err(error) => Err(LakeError::from(error)),
        }
    };
    // Another process may be testing as well: it makes no difference which process made the object.
    put(note(false), PutMode::Create).await?;
    let mut did = None;
    if put(note(false), PutMode::Create).await? {
        did = Some("overwrote an object that was only to be written if it was missing (`If-None-Match`)");
    } else if put(note(false), tagged(NO_TAG.to_owned())).await? {
        did = Some("wrote over an object that was only to be replaced if it was another one (`If-Match`)");
    }
    if let Some(did) = did {
        // Best effort: a note that stays has no effect.
        let _ = delete_if_there(&**store, &path).await;
        return Err(Unfit::Ignores { layer, place: place.to_owned(), did });
    }
    let there = store.head(&path).await.map_err(LakeError::from)?;
    put(note(true), tagged(there.e_tag.unwrap_or_default())).await?;
    Ok(())
}

/// Replaces the object of that tag only.
fn tagged(tag: String) -> PutMode {
    PutMode::Update(UpdateVersion { e_tag: Some(tag), version: None })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_store_is_asked_once_and_a_copy_of_it_again() {
        let store: Store = Arc::new(InMemory::new());
        let names = async || {
            use futures::TryStreamExt as _;
            let all: Vec<_> = store.list(None).try_collect().await.unwrap();
            all.len()
        };
        for (place, notes) in [("s3://a at one", 1), ("s3://a at one", 1), ("s3://a at two", 2)] {
            require(&store, "bronze", place, DateTime::UNIX_EPOCH).await.unwrap();
            assert_eq!(names().await, notes, "{place}");
        }
    }

    #[tokio::test]
    async fn a_question_that_was_left_half_asked_is_asked_again() {
        let store: Store = Arc::new(InMemory::new());
        let path = Path::from(format!("_store/{}.json", fingerprint(&[b"p".as_slice()])));
        for left in [r#"{"place": "p", "asked": "2026-01-01T00:00:00Z", "heeds": false}"#, "half of a no"] {
            store.put(&path, left.into()).await.unwrap();
            require(&store, "gold", "p", DateTime::UNIX_EPOCH).await.unwrap();
            let note: Note = serde_json::from_slice(&seams::store::read(&*store, &path).await.unwrap()).unwrap();
            assert!(note.heeds, "{left}");
        }
    }
}
