//! The objects that hold kept answers: reading them, and taking answers out.
//!
//! Does not remember what it has read: `shelf` does. Does not write packs: `group` does.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use seams::store::{Path, delete_if_there, read_if_there, update};

use super::kept::{FOLDER, Kept, Said};
use super::place::{AnswerAt, own};
use super::{index, pack};
use crate::{Lake, LakeError};

/// The answer that is kept there and the request that it answers, if there is one.
///
/// # Errors
/// The store fails, or the answer cannot be read.
pub async fn kept_with_request(lake: &Lake, at: &AnswerAt) -> Result<Option<Said>, LakeError> {
    let path = at.path();
    let Some(bytes) = read_if_there(&*lake.bronze, &path).await? else { return Ok(None) };
    if at.pack.is_none() {
        return Kept::parse(&path, &bytes).map(Some);
    }
    let found = pack::read(&path, &bytes)?.into_iter().find(|(id, _)| *id == at.id);
    found.map(|(_, said)| said).transpose()
}

/// The objects that hold answers, sorted.
///
/// # Errors
/// The store fails.
pub async fn objects(lake: &Lake) -> Result<Vec<Path>, LakeError> {
    let listed = lake.bronze.list(Some(&Path::from(FOLDER))).map_ok(|object| object.location);
    let mut objects: Vec<Path> =
        listed.try_filter(|path| std::future::ready(holds_answers(path))).try_collect().await?;
    objects.sort();
    Ok(objects)
}

/// Whether an object holds answers; an index does not.
fn holds_answers(path: &Path) -> bool {
    pack::name_of(path).is_some() || own(path).is_some()
}

/// What an object holds, each answer with its place. An answer that cannot be read is an error of its own. Empty if the object is gone.
///
/// # Errors
/// The store fails, or the object is no pack.
pub async fn in_object(lake: &Lake, path: &Path) -> Result<Vec<(AnswerAt, Result<Said, LakeError>)>, LakeError> {
    let Some(bytes) = read_if_there(&*lake.bronze, path).await? else { return Ok(Vec::new()) };
    if let Some(at) = own(path) {
        return Ok(vec![(at, Kept::parse(path, &bytes))]);
    }
    let Some(name) = pack::name_of(path) else { return Ok(Vec::new()) };
    let at = |id| AnswerAt { pack: Some(Arc::clone(&name)), id };
    Ok(pack::read(path, &bytes)?.into_iter().map(|(id, said)| (at(id), said)).collect())
}

/// A few kept answers with their requests, the first that are listed. An answer that cannot be read is left out: the code that needs its
/// content reports it.
///
/// # Errors
/// The store fails.
pub async fn some(lake: &Lake, most: usize) -> Result<Vec<Said>, LakeError> {
    let mut some = Vec::new();
    let mut listing = lake.bronze.list(Some(&Path::from(FOLDER)));
    while some.len() < most
        && let Some(object) = listing.try_next().await?
    {
        match in_object(lake, &object.location).await {
            Ok(found) => some.extend(found.into_iter().filter_map(|(_, said)| said.ok())),
            Err(LakeError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(some)
}

/// Removes from an object the answers that `stays` refuses, and returns how many. Deletes the object if no answer is left.
///
/// # Errors
/// The store fails, or the object is no pack.
pub async fn retain(
    lake: &Lake,
    path: &Path,
    stays: impl Fn(&AnswerAt) -> bool + Send + Sync,
) -> Result<usize, LakeError> {
    if let Some(at) = own(path) {
        if stays(&at) {
            return Ok(0);
        }
        delete_if_there(&*lake.bronze, path).await?;
        return Ok(1);
    }
    let Some(name) = pack::name_of(path) else { return Ok(0) };
    let (mut gone, mut left) = (0, 0);
    let change = |there: Option<Bytes>| -> Result<Option<Bytes>, LakeError> {
        (gone, left) = (0, 0);
        let Some(bytes) = there else { return Ok(None) };
        let (kept, went) =
            pack::without(path, &bytes, |id| stays(&AnswerAt { pack: Some(Arc::clone(&name)), id: id.clone() }))?;
        (gone, left) = (went, kept.as_ref().map_or(0, |_| 1));
        Ok(kept.filter(|_| went > 0))
    };
    update(&*lake.bronze, path, change).await?;
    if gone > 0 && left == 0 {
        delete_if_there(&*lake.bronze, path).await?;
    }
    Ok(gone)
}

/// Deletes the indexes: they are made again when they are needed.
///
/// # Errors
/// The store fails.
pub async fn drop_indexes(lake: &Lake) -> Result<(), LakeError> {
    let listed: Vec<_> = lake.bronze.list(Some(&Path::from(FOLDER))).try_collect().await?;
    for path in listed.into_iter().map(|object| object.location).filter(index::is_index) {
        delete_if_there(&*lake.bronze, &path).await?;
    }
    Ok(())
}
