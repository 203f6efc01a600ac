//! Components: every plugin that has made something of this lake, by digest, so that it can be made again when another plugin serves.
//!
//! Does not load a component, and does not know which stage it served: `lake::generations` does.

use bytes::Bytes;
use seams::plugin::Digest;
use seams::store::{ObjectStoreExt, Path, StoreError, create, read_small, replace};

use super::{Lake, LakeError};

/// Most bytes of a component: no pipeline file can raise this limit.
const MOST: u64 = 64 << 20;
/// Most bytes of a signature.
const MOST_SIGNATURE: u64 = 64;

fn path(digest: &Digest) -> Path {
    let digits = digest.as_str().trim_start_matches("sha256:");
    Path::from(format!("_plugins/{digits}.wasm"))
}

/// Keeps a component, once.
pub async fn keep(lake: &Lake, component: &Bytes) -> Result<(), LakeError> {
    let path = path(&Digest::of(component));
    match lake.bronze.head(&path).await {
        Ok(_) => Ok(()),
        Err(StoreError::NotFound { .. }) => Ok(create(&*lake.bronze, &path, component.clone()).await.map(drop)?),
        Err(error) => Err(error.into()),
    }
}

/// The component of that digest, in its text form, if it is kept.
///
/// # Errors
/// [`LakeError::Corrupt`] if what is kept has another digest.
pub async fn get(lake: &Lake, digest: &str) -> Result<Option<Bytes>, LakeError> {
    let digits = digest.trim_start_matches("sha256:");
    let path = Path::from(format!("_plugins/{digits}.wasm"));
    let component = match read_small(&*lake.bronze, &path, MOST).await {
        Ok(Some(component)) => component,
        Ok(None) => return Ok(None),
        Err(error @ StoreError::NotSupported { .. }) => return Err(LakeError::corrupt(&path, error)),
        Err(error) => return Err(error.into()),
    };
    let found = Digest::of(&component);
    if found.as_str() == digest {
        Ok(Some(component))
    } else {
        Err(LakeError::corrupt(&path, format!("it has digest {found}, expected {digest}")))
    }
}

fn path_of_signature(digest: &str) -> Path {
    Path::from(format!("_plugins/{}.wasm.sig", digest.trim_start_matches("sha256:")))
}

/// Keeps the signature that the component of that digest was accepted by, so that the component is accepted again when it is loaded from
/// here. Replaces any other signature that is there.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn keep_signature(lake: &Lake, digest: &str, signature: &Bytes) -> Result<(), LakeError> {
    if self::signature(lake, digest).await?.as_ref() != Some(signature) {
        replace(&*lake.bronze, &path_of_signature(digest), signature.clone()).await?;
    }
    Ok(())
}

/// The signature kept for the component of that digest, if there is one. It is not verified here.
///
/// # Errors
/// The lake cannot be read.
pub async fn signature(lake: &Lake, digest: &str) -> Result<Option<Bytes>, LakeError> {
    match read_small(&*lake.bronze, &path_of_signature(digest), MOST_SIGNATURE).await {
        // What is no signature may be replaced by one.
        Err(StoreError::NotSupported { .. }) => Ok(None),
        other => Ok(other?),
    }
}
