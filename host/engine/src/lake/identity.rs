//! Whose lake it is: an identity that is made once in Bronze, and noted in the other layers, so that layers, queues and pipelines that do
//! not belong together are told apart.
//!
//! Does not delete anything, and does not know queues: whoever opens them names them after the identity.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Lake, LakeError, bronze};
use crate::seams::store::{Created, Path, Store, create, read_if_there};

/// The object that holds it, in each layer.
const NAME: &str = "_lake.json";

/// What a lake is told by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Another one for each lake that was ever begun.
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
        "the lake belongs to pipeline `{has}`, this is pipeline `{ours}`\nhint: write `name = \"{has}\"` in `[pipeline]`, or name other folders in `[lake]`; `sluicebox reset` empties a lake, with the name that it belongs to"
    )]
    OtherPipeline {
        /// Whose it is.
        has: String,
        /// Who asked.
        ours: String,
    },
    /// A layer was filled from another Bronze.
    #[error(
        "layer `{layer}` was made from another bronze than the one that is there{why}\nhint: put bronze back, or start from nothing with `sluicebox reset`, which says what it deletes"
    )]
    OtherLayer {
        /// The layer.
        layer: &'static str,
        /// What is known of it.
        why: &'static str,
    },
    /// The lake could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// The identity of a lake, if it has one.
pub async fn read(lake: &Lake) -> Result<Option<Identity>, LakeError> {
    read_in(&lake.bronze).await
}

/// Makes sure that the lake is that of `pipeline`, and begins it if nothing is there. A lake of an earlier version, which had no
/// identity, gets one.
///
/// # Errors
/// [`NotOurs`]; nothing was changed then.
pub async fn claim(lake: &Lake, pipeline: &str, now: DateTime<Utc>) -> Result<Claimed, NotOurs> {
    let (identity, fresh) = match read(lake).await? {
        Some(identity) => (identity, false),
        None => begin(lake, pipeline, now).await?,
    };
    if identity.pipeline != pipeline {
        return Err(NotOurs::OtherPipeline { has: identity.pipeline, ours: pipeline.to_owned() });
    }
    for (layer, store) in [("silver", &lake.silver), ("gold", &lake.gold)] {
        match read_in(store).await? {
            Some(other) if other.id != identity.id => return Err(NotOurs::OtherLayer { layer, why: "" }),
            Some(_) => {}
            None => drop(write_in(store, &identity).await?),
        }
    }
    Ok(Claimed { identity, fresh })
}

/// Whether the lake is that of `pipeline`, or can become it: what [`claim`] would refuse, without changing anything.
///
/// # Errors
/// [`NotOurs`].
pub async fn examine(lake: &Lake, pipeline: &str) -> Result<(), NotOurs> {
    let Some(identity) = read(lake).await? else {
        return found(lake).await.map(drop);
    };
    if identity.pipeline != pipeline {
        return Err(NotOurs::OtherPipeline { has: identity.pipeline, ours: pipeline.to_owned() });
    }
    for (layer, store) in [("silver", &lake.silver), ("gold", &lake.gold)] {
        if read_in(store).await?.is_some_and(|other| other.id != identity.id) {
            return Err(NotOurs::OtherLayer { layer, why: "" });
        }
    }
    Ok(())
}

/// The identity of a lake that has none, and whether nothing is in it.
async fn begin(lake: &Lake, pipeline: &str, now: DateTime<Utc>) -> Result<(Identity, bool), NotOurs> {
    let (fresh, filled_by) = found(lake).await?;
    let pipeline = filled_by.unwrap_or_else(|| pipeline.to_owned());
    let identity = Identity { id: uuid::Uuid::new_v4().simple().to_string(), pipeline, made: now };
    Ok(match write_in(&lake.bronze, &identity).await? {
        None => (identity, fresh),
        // Another process was first.
        Some(theirs) => (theirs, false),
    })
}

/// Whether nothing is in a lake without an identity, and else the pipeline that has filled it, if that can be told.
async fn found(lake: &Lake) -> Result<(bool, Option<String>), NotOurs> {
    let inventory = bronze::inventory(lake, None).await?;
    let filled_by = match inventory.snapshots.first() {
        Some(path) => bronze::read_snapshot(lake, path).await?.into_iter().next().map(|message| message.pipeline),
        None => None,
    };
    let fresh = inventory.snapshots.is_empty() && inventory.objects.is_empty();
    if fresh {
        let orphans = [("silver", &lake.silver, "_receipts"), ("gold", &lake.gold, "_generations")];
        for (layer, store, folder) in orphans {
            if read_in(store).await?.is_some() || holds(store, folder).await? {
                return Err(NotOurs::OtherLayer { layer, why: ": it holds something, and bronze is empty" });
            }
        }
    }
    Ok((fresh, filled_by))
}

async fn holds(store: &Store, folder: &str) -> Result<bool, LakeError> {
    Ok(store.list(Some(&Path::from(folder))).try_next().await?.is_some())
}

async fn read_in(store: &Store) -> Result<Option<Identity>, LakeError> {
    let path = Path::from(NAME);
    let bytes = read_if_there(&**store, &path).await?;
    bytes.map(|bytes| parse(&path, &bytes)).transpose()
}

/// Writes it, unless another one is there, which is returned.
async fn write_in(store: &Store, identity: &Identity) -> Result<Option<Identity>, LakeError> {
    let path = Path::from(NAME);
    let body = serde_json::to_vec_pretty(identity).map_err(|error| LakeError::corrupt(&path, error))?;
    match create(&**store, &path, body.into()).await? {
        Created::New => Ok(None),
        Created::Existing(bytes) => parse(&path, &bytes).map(Some),
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Identity, LakeError> {
    serde_json::from_slice(bytes).map_err(|error| LakeError::corrupt(path, error))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::seams::store::replace;

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
