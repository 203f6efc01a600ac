//! Whose lake it is: an identity that is made once in Bronze, and noted in the other layers, so that layers, queues and pipelines that do
//! not belong together are told apart.
//!
//! Does not delete anything, and does not know queues: the code that opens queues names them after the identity.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use seams::store::{Created, Path, Store, create, read_if_there};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Lake, LakeError, bronze};

/// The object that holds it, in each layer.
const NAME: &str = "_lake.json";

/// What identifies a lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Differs for each lake that was ever begun.
    pub id: String,
    /// The pipeline that fills it.
    pub pipeline: String,
    /// When it was begun.
    pub made: DateTime<Utc>,
}

/// A lake that belongs to a pipeline.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The lake's identity.
    pub identity: Identity,
    /// Whether the lake was begun by this call: nothing was in it.
    pub fresh: bool,
}

/// Why a lake is not this pipeline's to work on.
#[derive(Debug, Error)]
pub enum NotOurs {
    /// Another pipeline fills it.
    #[error(
        "the lake belongs to pipeline `{has}`, this is pipeline `{ours}`\nhint: a lake keeps its pipeline's name, which the ids of its messages are made from: write `name = \"{has}\"` in `[pipeline]`, or name other folders in `[lake]`; `sluicebox reset` empties a lake, with the name that it belongs to"
    )]
    OtherPipeline {
        /// The pipeline that owns it.
        has: String,
        /// The pipeline that asked.
        ours: String,
    },
    /// A layer was filled from another Bronze.
    #[error(
        "layer `{layer}` was made from another bronze than the one that is there{why}\nhint: name another folder as `{layer}` in `[lake]` if it is another pipeline's; else put bronze back, or start from nothing with `sluicebox reset`, which says what it deletes"
    )]
    OtherLayer {
        /// The layer.
        layer: &'static str,
        /// What is known of it.
        why: String,
    },
    /// A layer is where another layer of a lake is, its own or another pipeline's.
    #[error(
        "what `{layer}` in `[lake]` names is the {is} of pipeline `{has}`\nhint: each layer needs a folder of its own: name another one as `{layer}`"
    )]
    Crossed {
        /// The layer.
        layer: &'static str,
        /// Which layer is there.
        is: String,
        /// The pipeline that owns it.
        has: String,
    },
    /// The lake could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// The identity as a layer holds it.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    identity: Identity,
    /// The layer that the note belongs in; earlier versions of the program did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
}

impl Note {
    /// The identity, if the note stands where it belongs.
    fn stands_in(self, layer: &'static str) -> Result<Identity, NotOurs> {
        match self.layer {
            Some(is) if is != layer => Err(NotOurs::Crossed { layer, is, has: self.identity.pipeline }),
            _ => Ok(self.identity),
        }
    }
}

/// The identity of a lake, if it has one.
pub async fn read(lake: &Lake) -> Result<Option<Identity>, LakeError> {
    Ok(read_in(&lake.bronze).await?.map(|note| note.identity))
}

/// Makes sure that the lake belongs to `pipeline`, and begins it if nothing is there. A lake of an earlier version, which had no identity,
/// gets one.
///
/// # Errors
/// [`NotOurs`]; nothing was changed then.
pub async fn claim(lake: &Lake, pipeline: &str, now: DateTime<Utc>) -> Result<Claimed, NotOurs> {
    let (identity, fresh) = match read_in(&lake.bronze).await? {
        Some(note) => (note.stands_in("bronze")?, false),
        None => begin(lake, pipeline, now).await?,
    };
    of_pipeline(&identity, pipeline)?;
    for (layer, store) in [("silver", &lake.silver), ("gold", &lake.gold)] {
        let there = match read_in(store).await? {
            Some(note) => Some(note),
            // Of two processes that begin at once one gets the other's note.
            None => write_in(store, &identity, layer).await?,
        };
        if let Some(note) = there {
            of_lake(note, layer, &identity)?;
        }
    }
    Ok(Claimed { identity, fresh })
}

/// As [`claim`], for a process that may only write to Bronze: the other layers are not checked.
///
/// # Errors
/// [`NotOurs`]; nothing was changed then.
pub async fn claim_bronze(lake: &Lake, pipeline: &str, now: DateTime<Utc>) -> Result<(), NotOurs> {
    let identity = match read_in(&lake.bronze).await? {
        Some(note) => note.stands_in("bronze")?,
        None => {
            let first = bronze::ticks(lake).await?.first().copied();
            let filled_by = match first {
                Some(tick) => filler(lake, &bronze::inventory(lake, Some(tick)).await?).await?,
                None => None,
            };
            write_new(lake, filled_by.unwrap_or_else(|| pipeline.to_owned()), now).await?.0
        }
    };
    of_pipeline(&identity, pipeline)
}

/// Checks that the lake does not belong to another pipeline, as far as Bronze says: for a process that may write nowhere.
///
/// # Errors
/// [`NotOurs`].
pub async fn look(lake: &Lake, pipeline: &str) -> Result<(), NotOurs> {
    let Some(note) = read_in(&lake.bronze).await? else { return Ok(()) };
    of_pipeline(&note.stands_in("bronze")?, pipeline)
}

fn of_pipeline(identity: &Identity, pipeline: &str) -> Result<(), NotOurs> {
    if identity.pipeline == pipeline {
        return Ok(());
    }
    Err(NotOurs::OtherPipeline { has: identity.pipeline.clone(), ours: pipeline.to_owned() })
}

fn of_lake(note: Note, layer: &'static str, lake: &Identity) -> Result<(), NotOurs> {
    let other = note.stands_in(layer)?;
    if other.id == lake.id {
        return Ok(());
    }
    let why = format!(": it is part of a lake of pipeline `{}`", other.pipeline);
    Err(NotOurs::OtherLayer { layer, why })
}

/// Checks that the lake belongs to `pipeline` or can be claimed for it. Fails where [`claim`] would, and changes nothing.
///
/// # Errors
/// [`NotOurs`].
pub async fn examine(lake: &Lake, pipeline: &str) -> Result<(), NotOurs> {
    let Some(note) = read_in(&lake.bronze).await? else {
        return found(lake).await.map(drop);
    };
    let identity = note.stands_in("bronze")?;
    of_pipeline(&identity, pipeline)?;
    for (layer, store) in [("silver", &lake.silver), ("gold", &lake.gold)] {
        if let Some(note) = read_in(store).await? {
            of_lake(note, layer, &identity)?;
        }
    }
    Ok(())
}

/// Makes the identity of a lake that has none. Returns it, and whether the lake was empty.
async fn begin(lake: &Lake, pipeline: &str, now: DateTime<Utc>) -> Result<(Identity, bool), NotOurs> {
    let (fresh, filled_by) = found(lake).await?;
    let (identity, ours) = write_new(lake, filled_by.unwrap_or_else(|| pipeline.to_owned()), now).await?;
    Ok((identity, fresh && ours))
}

/// A new identity in Bronze, or that of another process that was first; and whether it is ours.
async fn write_new(lake: &Lake, pipeline: String, now: DateTime<Utc>) -> Result<(Identity, bool), NotOurs> {
    let identity = Identity { id: uuid::Uuid::new_v4().simple().to_string(), pipeline, made: now };
    Ok(match write_in(&lake.bronze, &identity, "bronze").await? {
        None => (identity, true),
        Some(theirs) => (theirs.stands_in("bronze")?, false),
    })
}

/// The pipeline that has filled a Bronze, if that is known.
async fn filler(lake: &Lake, inventory: &bronze::Inventory) -> Result<Option<String>, LakeError> {
    let Some(path) = inventory.snapshots.first() else { return Ok(None) };
    Ok(bronze::stream::messages(lake, path).await?.try_next().await?.map(|message| message.pipeline))
}

/// Whether a lake without an identity is empty, and else the pipeline that has filled it, if that is known.
async fn found(lake: &Lake) -> Result<(bool, Option<String>), NotOurs> {
    let inventory = bronze::inventory(lake, None).await?;
    let filled_by = filler(lake, &inventory).await?;
    let fresh = inventory.snapshots.is_empty() && inventory.objects.is_empty();
    if fresh {
        let orphans = [("silver", &lake.silver, "_receipts"), ("gold", &lake.gold, "_generations")];
        for (layer, store, folder) in orphans {
            let why = match read_in(store).await? {
                Some(note) => {
                    format!(": it is part of a lake of pipeline `{}`, and bronze is empty", note.identity.pipeline)
                }
                None if holds(store, folder).await? => ": it holds something, and bronze is empty".to_owned(),
                None => continue,
            };
            // Another process may have begun the lake since Bronze was looked at.
            if read_in(&lake.bronze).await?.is_some() {
                return Ok((false, filled_by));
            }
            return Err(NotOurs::OtherLayer { layer, why });
        }
    }
    Ok((fresh, filled_by))
}

async fn holds(store: &Store, folder: &str) -> Result<bool, LakeError> {
    Ok(store.list(Some(&Path::from(folder))).try_next().await?.is_some())
}

async fn read_in(store: &Store) -> Result<Option<Note>, LakeError> {
    let path = Path::from(NAME);
    let bytes = read_if_there(&**store, &path).await?;
    bytes.map(|bytes| parse(&path, &bytes)).transpose()
}

/// Writes the identity. If the layer has one already, returns that one instead.
async fn write_in(store: &Store, identity: &Identity, layer: &str) -> Result<Option<Note>, LakeError> {
    let path = Path::from(NAME);
    let note = Note { identity: identity.clone(), layer: Some(layer.to_owned()) };
    let body = serde_json::to_vec_pretty(&note).map_err(|error| LakeError::corrupt(&path, error))?;
    match create(&**store, &path, body.into()).await? {
        Created::New => Ok(None),
        Created::Existing(bytes) => parse(&path, &bytes).map(Some),
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Note, LakeError> {
    serde_json::from_slice(bytes).map_err(|error| LakeError::corrupt(path, error))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use seams::store::replace;

    fn lake() -> Lake {
        let store = || -> Store { Arc::new(InMemory::new()) };
        Lake { bronze: store(), silver: store(), gold: store(), buckets: NonZeroU32::MIN }
    }

    #[tokio::test]
    async fn a_lake_is_begun_once_and_keeps_its_identity() {
        let lake = lake();
        let first = claim(&lake, "a", DateTime::UNIX_EPOCH).await.unwrap();
        let second = claim(&lake, "a", DateTime::UNIX_EPOCH).await.unwrap();
        assert!(first.fresh && !second.fresh);
        assert_eq!(first.identity, second.identity);
    }

    #[tokio::test]
    async fn two_pipelines_do_not_share_a_lake() {
        let lake = lake();
        claim(&lake, "a", DateTime::UNIX_EPOCH).await.unwrap();
        let error = claim(&lake, "b", DateTime::UNIX_EPOCH).await.unwrap_err();
        assert!(matches!(error, NotOurs::OtherPipeline { .. }), "{error}");
    }

    #[tokio::test]
    async fn layers_of_a_bronze_that_is_gone_are_not_taken_for_those_of_a_new_one() {
        let (old, new) = (lake(), lake());
        claim(&old, "a", DateTime::UNIX_EPOCH).await.unwrap();
        let mixed = Lake { bronze: new.bronze.clone(), ..old.clone() };
        assert!(matches!(claim(&mixed, "a", DateTime::UNIX_EPOCH).await, Err(NotOurs::OtherLayer { .. })));
        assert_eq!(read(&mixed).await.unwrap(), None, "nothing was changed");
        claim(&new, "a", DateTime::UNIX_EPOCH).await.unwrap();
        let mixed = Lake { silver: old.silver.clone(), ..new.clone() };
        assert!(matches!(claim(&mixed, "a", DateTime::UNIX_EPOCH).await, Err(NotOurs::OtherLayer { .. })));
    }

    #[tokio::test]
    async fn layers_that_cross_are_refused_also_under_one_name() {
        let first = lake();
        claim(&first, "a", DateTime::UNIX_EPOCH).await.unwrap();
        // The Gold of one lake is the Bronze of another, whatever the other is called.
        for name in ["a", "b"] {
            let crossed = Lake { bronze: first.gold.clone(), ..lake() };
            let error = claim(&crossed, name, DateTime::UNIX_EPOCH).await.unwrap_err();
            assert!(matches!(&error, NotOurs::Crossed { layer: "bronze", is, .. } if is == "gold"), "{error}");
            assert!(
                look(&crossed, name).await.is_err()
                    && claim_bronze(&crossed, name, DateTime::UNIX_EPOCH).await.is_err()
            );
        }
        let swapped = Lake { silver: first.gold.clone(), gold: first.silver.clone(), ..first };
        assert!(matches!(claim(&swapped, "a", DateTime::UNIX_EPOCH).await, Err(NotOurs::Crossed { .. })));
    }

    #[tokio::test]
    async fn of_two_pipelines_that_begin_on_shared_layers_at_once_one_is_refused() {
        for shared in 0..3 {
            let (one, other) = (lake(), lake());
            let mut theirs = other;
            match shared {
                0 => theirs.bronze = one.bronze.clone(),
                1 => theirs.silver = one.silver.clone(),
                _ => theirs.gold = one.gold.clone(),
            }
            let (a, b) =
                tokio::join!(claim(&one, "a", DateTime::UNIX_EPOCH), claim(&theirs, "b", DateTime::UNIX_EPOCH));
            assert!(a.is_ok() != b.is_ok() || (a.is_err() && b.is_err()), "{shared}: {a:?} {b:?}");
        }
    }

    #[tokio::test]
    async fn who_may_only_write_to_bronze_claims_it_and_who_may_not_write_looks() {
        let lake = lake();
        look(&lake, "b").await.unwrap();
        claim_bronze(&lake, "a", DateTime::UNIX_EPOCH).await.unwrap();
        look(&lake, "a").await.unwrap();
        assert!(matches!(look(&lake, "b").await, Err(NotOurs::OtherPipeline { .. })));
        assert!(matches!(claim_bronze(&lake, "b", DateTime::UNIX_EPOCH).await, Err(NotOurs::OtherPipeline { .. })));
        assert!(!claim(&lake, "a", DateTime::UNIX_EPOCH).await.unwrap().fresh);
    }

    #[tokio::test]
    async fn a_layer_that_was_deleted_alone_belongs_to_the_lake_again() {
        let lake = lake();
        let first = claim(&lake, "a", DateTime::UNIX_EPOCH).await.unwrap();
        let without = Lake { silver: Arc::new(InMemory::new()), ..lake };
        let second = claim(&without, "a", DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!((first.identity, false), (second.identity, second.fresh));
    }

    #[tokio::test]
    async fn receipts_without_a_bronze_tell_a_lake_of_an_earlier_version() {
        let lake = lake();
        replace(&*lake.silver, &Path::from("_receipts/run=x/batch=1.jsonl.json"), "{}".into()).await.unwrap();
        assert!(matches!(claim(&lake, "a", DateTime::UNIX_EPOCH).await, Err(NotOurs::OtherLayer { .. })));
    }
}
