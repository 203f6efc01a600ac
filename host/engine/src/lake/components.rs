//! Components: every plugin that has made something of this lake, by digest, so that it can be made again when another one serves.
//!
//! Does not load a component, and does not know which stage it served: `lake::generations` does.

use bytes::Bytes;

use super::{Lake, LakeError};
use crate::seams::plugin::Digest;
use crate::seams::store::{ObjectStoreExt, Path, StoreError, create, read_if_there};

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
    let Some(component) = read_if_there(&*lake.bronze, &path).await? else { return Ok(None) };
    let found = Digest::of(&component);
    if found.as_str() == digest {
        Ok(Some(component))
    } else {
        Err(LakeError::corrupt(&path, format!("it has digest {found}, expected {digest}")))
    }
}
