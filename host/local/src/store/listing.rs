//! What is below a folder, as objects: regular files only, links neither shown nor followed, unfinished files left out.
//!
//! Does not promise a snapshot: a file that comes or goes during the walk may or may not be listed.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};
use walkdir::{DirEntry, WalkDir};

use super::blocking;
use super::files::{Folder, e_tag, failed, is_unfinished, remove_if_abandoned};

/// Objects read from the file system at once, off the reactor.
const CHUNK: usize = 1024;

/// All objects below `prefix`, in the order of their paths; with `after` those whose paths come after it.
pub(super) fn all(
    folder: Arc<Folder>,
    prefix: Option<Path>,
    after: Option<Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let start = async move {
        blocking(move || {
            let walk = walk(&folder, prefix.as_ref(), usize::MAX, after)?;
            Ok(walk.filter_map(move |entry| entry.and_then(|entry| object(&folder, &entry)).transpose()))
        })
        .await
    };
    stream::once(start)
        .map_ok(|objects| {
            stream::try_unfold((objects, VecDeque::new()), |(mut objects, mut chunk)| async move {
                if chunk.is_empty() {
                    (objects, chunk) = blocking(move || {
                        chunk.extend(objects.by_ref().take(CHUNK));
                        Ok((objects, chunk))
                    })
                    .await?;
                }
                chunk.pop_front().transpose().map(|next| next.map(|meta| (meta, (objects, chunk))))
            })
        })
        .try_flatten()
        .boxed()
}

/// The objects and the folders right below `prefix`. A folder without an object in it is not there, as in any other store.
pub(super) fn one_level(folder: &Folder, prefix: Option<&Path>) -> Result<ListResult> {
    let mut found = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
    for entry in walk(folder, prefix, 1, None)? {
        let entry = entry?;
        if !entry.file_type().is_dir() {
            found.objects.extend(object(folder, &entry)?);
        } else if let Some(location) = location(folder, &entry) {
            let mut below = walk(folder, Some(&location), usize::MAX, None)?;
            let holds_one =
                below.any(|entry| entry.and_then(|entry| object(folder, &entry)).is_ok_and(|object| object.is_some()));
            if holds_one {
                found.common_prefixes.push(location);
            }
        }
    }
    Ok(found)
}

/// What is below `prefix` and comes after `after`, less what vanished during the walk.
fn walk(
    folder: &Folder,
    prefix: Option<&Path>,
    depth: usize,
    after: Option<Path>,
) -> Result<impl Iterator<Item = Result<DirEntry>> + Send + use<>> {
    let start = prefix.map_or_else(|| folder.path().to_path_buf(), |prefix| folder.path().join(prefix.as_ref()));
    folder.refuse_links(&start)?;
    let walk = WalkDir::new(&start).min_depth(1).max_depth(depth).follow_links(false).sort_by(in_order);
    let root = folder.path().to_path_buf();
    // Before anything of an entry is looked at: of a long log, readers want the end.
    let entries = walk.into_iter().filter_entry(move |entry| {
        let after = after.as_ref().map_or("", |after| after.as_ref());
        after.is_empty() || entry.depth() == 0 || comes_after(&root, entry, after)
    });
    Ok(entries.filter_map(move |entry| match entry {
        Ok(entry) => Some(Ok(entry)),
        Err(error) if is_gone(&error) => None,
        Err(error) => {
            let place = error.path().unwrap_or(&start).to_path_buf();
            Some(Err(failed("list", &place, error.into())))
        }
    }))
}

/// Whether nothing is there, or no more.
fn is_gone(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// With the slash that follows a folder's name in every path below it, the walk is in the order of whole paths.
fn in_order(a: &DirEntry, b: &DirEntry) -> Ordering {
    fn key(entry: &DirEntry) -> impl Iterator<Item = u8> + '_ {
        let slash = entry.file_type().is_dir().then_some(b'/');
        entry.file_name().as_encoded_bytes().iter().copied().chain(slash)
    }
    key(a).cmp(key(b))
}

/// Whether the entry's path, or one below it, can come after `after`.
fn comes_after(root: &std::path::Path, entry: &DirEntry, after: &str) -> bool {
    let Some(path) = entry.path().strip_prefix(root).ok().and_then(|path| path.to_str()) else { return true };
    path > after || (entry.file_type().is_dir() && after.starts_with(path))
}

/// The path of an entry, unless no object can have it: it is not UTF-8, say, or holds a control character.
fn location(folder: &Folder, entry: &DirEntry) -> Option<Path> {
    let relative = entry.path().strip_prefix(folder.path()).ok()?.to_str()?;
    Path::parse(relative).ok()
}

/// The entry as an object, if it is one.
fn object(folder: &Folder, entry: &DirEntry) -> Result<Option<ObjectMeta>> {
    if !entry.file_type().is_file() {
        return Ok(None);
    }
    let Some(location) = location(folder, entry) else { return Ok(None) };
    if is_unfinished(&location) {
        remove_if_abandoned(entry.path());
        return Ok(None);
    }
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(failed("look at", entry.path(), error.into())),
    };
    let last_modified: DateTime<Utc> =
        metadata.modified().map_err(|error| failed("look at", entry.path(), error))?.into();
    let e_tag = Some(e_tag(&metadata));
    Ok(Some(ObjectMeta { location, last_modified, size: metadata.len(), e_tag, version: None }))
}
