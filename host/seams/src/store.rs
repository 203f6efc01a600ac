//! Objects: `object_store`'s own trait, plus the three ways in which the engine writes one.
//!
//! Does not know layers or keys: those are `lake`.

use std::sync::Arc;

use bytes::Bytes;
pub use object_store::GetOptions;
pub use object_store::path::Path;
pub use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use object_store::{PutMode, PutOptions, PutPayload, UpdateVersion};

/// A place for objects, rooted at one layer.
///
/// # Contract
/// The contract of `object_store::ObjectStore`, and: an object is visible whole or not at all; when `put` returns, the object survives a
/// loss of power; `PutMode::Create` lets exactly one of several racing writers succeed; so does `PutMode::Update` with the tag that a read
/// returned, as long as the object is still the one that was read, else it fails with `Precondition` or `NotFound`.
pub type Store = Arc<dyn ObjectStore>;

/// Bytes that were written may not be on disk. As a cause of an adapter's error it says that trying again proves nothing: after a failed
/// sync the next one may succeed without them.
#[derive(Debug, thiserror::Error)]
#[error("what was written may not be on disk: {0}")]
pub struct NotDurable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The whole store is gone: the folder that it was opened at was deleted or moved away. As a cause of an adapter's error it says that
/// nothing is known of any object, while `NotFound` would claim that an object is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "the folder `{0}` is gone: it was deleted or moved away\nhint: put it back, or start `sluicebox run` again: it makes an empty lake"
)]
pub struct Gone(pub String);

/// What `create` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object is new and holds the given bytes.
    New,
    /// The object was there, written by another writer or by this very call, its reply lost. These are its bytes, which count.
    Existing(Bytes),
}

/// Writes an object that must not be there yet.
///
/// An "already exists" is believed only after a read back: some backends say so for other conflicts, and a lost reply makes a
/// writer meet its own object.
pub async fn create(store: &dyn ObjectStore, path: &Path, bytes: Bytes) -> Result<Created, StoreError> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match store.put_opts(path, PutPayload::from_bytes(bytes), options).await {
        Ok(_) => Ok(Created::New),
        Err(StoreError::AlreadyExists { .. }) => Ok(Created::Existing(read(store, path).await?)),
        Err(error) => Err(error),
    }
}

/// Writes an object, in place of the one that may be there.
pub async fn replace(store: &dyn ObjectStore, path: &Path, bytes: Bytes) -> Result<(), StoreError> {
    store.put_opts(path, PutPayload::from_bytes(bytes), PutOptions::default()).await.map(drop)
}

/// Deletes an object. One that is not there is deleted already.
///
/// # Errors
/// What the store says.
pub async fn delete_if_there(store: &dyn ObjectStore, path: &Path) -> Result<(), StoreError> {
    match store.delete(path).await {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// How often [`update`] tries. Of the writers that race one succeeds each time, so no writer needs as many.
const MOST_UPDATES: usize = 100;

/// Writes an object that is made from what is there (`None` if nothing is), so that no change is lost if several writers do so at once: a
/// writer that comes too late makes its change from what the other wrote. If `change` returns `None`, the object stays as it is.
///
/// # Errors
/// What the store or `change` says.
pub async fn update<E: From<StoreError>>(
    store: &dyn ObjectStore,
    path: &Path,
    mut change: impl FnMut(Option<Bytes>) -> Result<Option<Bytes>, E> + Send,
) -> Result<(), E> {
    for _ in 0..MOST_UPDATES {
        let (mode, there) = match store.get_opts(path, GetOptions::default()).await {
            Ok(found) => {
                let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                (PutMode::Update(version), Some(found.bytes().await?))
            }
            Err(StoreError::NotFound { .. }) => (PutMode::Create, None),
            Err(error) => return Err(error.into()),
        };
        let Some(bytes) = change(there)? else { return Ok(()) };
        let options = PutOptions { mode, ..PutOptions::default() };
        match store.put_opts(path, PutPayload::from_bytes(bytes), options).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Precondition { .. } | StoreError::AlreadyExists { .. } | StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let source = format!("`{path}` was another one at each of {MOST_UPDATES} updates").into();
    Err(StoreError::Generic { store: "update", source }.into())
}

/// The whole object.
pub async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Bytes, StoreError> {
    store.get_opts(path, object_store::GetOptions::default()).await?.bytes().await
}

/// The whole object of at most `most` bytes, or `None` if there is none. A larger object is not read.
///
/// # Errors
/// What the store says, and `NotSupported` if the object is too large.
pub async fn read_small(store: &dyn ObjectStore, path: &Path, most: u64) -> Result<Option<Bytes>, StoreError> {
    let found = match store.get_opts(path, GetOptions::default()).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = found.meta.size;
    if size > most {
        let source = format!("`{path}` has {size} bytes, at most {most} are read").into();
        return Err(StoreError::NotSupported { source });
    }
    found.bytes().await.map(Some)
}

/// The whole object, or `None` if there is none.
pub async fn read_if_there(store: &dyn ObjectStore, path: &Path) -> Result<Option<Bytes>, StoreError> {
    match read(store, path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
