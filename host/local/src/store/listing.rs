//! What is below a folder, as objects: regular files only, links neither shown nor followed, unfinished files left out.
//!
//! Does not promise a snapshot: a file that comes or goes during the walk may or may not be listed.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};
use walkdir::{DirEntry, WalkDir};

use super::blocking::blocking;
use super::files::{Folder, e_tag, failed, is_unfinished, remove_if_abandoned};

/// Objects read from the file system at once, off the reactor.
const CHUNK: usize = 1024;

/// All objects below `prefix`, in the order of their paths.
pub(super) fn all(folder: Arc<Folder>, prefix: Option<Path>) -> BoxStream<'static, Result<ObjectMeta>> {
    let start = async move {
        blocking(move || {
            let walk = walk(&folder, prefix.as_ref(), usize::MAX)?;
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

/// The objects and the folders right below `prefix`. A folder without an object is not listed, as in any other store.
pub(super) fn one_level(folder: &Folder, prefix: Option<&Path>) -> Result<ListResult> {
    let mut found = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
    for entry in walk(folder, prefix, 1)? {
        let entry = entry?;
        if !entry.file_type().is_dir() {
            found.objects.extend(object(folder, &entry)?);
        } else if let Some(location) = location(folder, entry.path()).filter(|_| holds_one(folder, entry.path())) {
            found.common_prefixes.push(location);
        }
    }
    Ok(found)
}

/// Whether an object is anywhere below `place`. The first one in any order is enough: a lake of years has a folder a
/// tick, and this is called for each.
fn holds_one(folder: &Folder, place: &FilePath) -> bool {
    let mut folders = Vec::new();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => folders.push(entry.path()),
            Ok(kind)
                if kind.is_file()
                    && location(folder, &entry.path()).is_some_and(|location| !is_unfinished(&location)) =>
            {
                return true;
            }
            _ => {}
        }
    }
    folders.iter().any(|place| holds_one(folder, place))
}

/// The objects below `prefix` whose paths come after `after`, in the order of their paths.
///
/// For all others only the names are read, and they are not sorted: the end of a long log is listed as fast as that of a short one.
pub(super) fn after(folder: &Folder, prefix: Option<&Path>, after: &Path) -> Result<Vec<ObjectMeta>> {
    let start = start_of(folder, prefix)?;
    let mut files = Vec::new();
    let below = prefix.map(|prefix| format!("{prefix}/")).filter(|below| below != "/").unwrap_or_default();
    names_after(&start, &below, after.as_ref(), &mut files)?;
    files.sort_unstable();
    let objects = files.iter().map(|name| {
        let path = folder.path().join(name);
        object_at(folder, &path, || fs::symlink_metadata(&path))
    });
    objects.filter_map(Result::transpose).collect()
}

/// Collects the files in `place` and below, whose path is `below`, if they come after `after`.
fn names_after(place: &FilePath, below: &str, after: &str, files: &mut Vec<String>) -> Result<()> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if is_absence(&error) => return Ok(()),
        Err(error) => return Err(failed("list", place, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed("list", place, error))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = format!("{below}{name}");
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) if is_absence(&error) => continue,
            Err(error) => return Err(failed("look at", &entry.path(), error)),
        };
        if kind.is_dir() {
            let path = path + "/";
            if path.as_str() > after || after.starts_with(&path) {
                names_after(&entry.path(), &path, after, files)?;
            }
        } else if kind.is_file() && path.as_str() > after {
            files.push(path);
        }
    }
    Ok(())
}

fn start_of(folder: &Folder, prefix: Option<&Path>) -> Result<PathBuf> {
    let start = prefix.map_or_else(|| folder.path().to_path_buf(), |prefix| folder.path().join(prefix.as_ref()));
    folder.refuse_links(&start)?;
    Ok(start)
}

/// The objects below `prefix`, without those that vanished during the walk.
fn walk(
    folder: &Folder,
    prefix: Option<&Path>,
    depth: usize,
) -> Result<impl Iterator<Item = Result<DirEntry>> + Send + use<>> {
    let start = start_of(folder, prefix)?;
    let entries = WalkDir::new(&start).min_depth(1).max_depth(depth).follow_links(false).sort_by(in_order).into_iter();
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
    error.io_error().is_some_and(is_absence)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// With the slash that follows a folder's name in every path below it, the walk is in the order of whole paths.
fn in_order(a: &DirEntry, b: &DirEntry) -> Ordering {
    fn key(entry: &DirEntry) -> impl Iterator<Item = u8> + '_ {
        let slash = entry.file_type().is_dir().then_some(b'/');
        entry.file_name().as_encoded_bytes().iter().copied().chain(slash)
    }
    key(a).cmp(key(b))
}

/// The path of a file or folder, unless no object can have it: it is not UTF-8, say, or holds a control character.
fn location(folder: &Folder, path: &FilePath) -> Option<Path> {
    let relative = path.strip_prefix(folder.path()).ok()?.to_str()?;
    Path::parse(relative).ok()
}

/// The entry as an object, if it is one.
fn object(folder: &Folder, entry: &DirEntry) -> Result<Option<ObjectMeta>> {
    if !entry.file_type().is_file() {
        return Ok(None);
    }
    object_at(folder, entry.path(), || entry.metadata().map_err(io::Error::from))
}

/// The file as an object, if it is finished and still there.
fn object_at(
    folder: &Folder,
    path: &FilePath,
    metadata: impl FnOnce() -> io::Result<fs::Metadata>,
) -> Result<Option<ObjectMeta>> {
    let Some(location) = location(folder, path) else { return Ok(None) };
    if is_unfinished(&location) {
        remove_if_abandoned(path);
        return Ok(None);
    }
    let metadata = match metadata() {
        Ok(metadata) => metadata,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(failed("look at", path, error)),
    };
    let last_modified: DateTime<Utc> = metadata.modified().map_err(|error| failed("look at", path, error))?.into();
    let e_tag = Some(e_tag(&metadata));
    Ok(Some(ObjectMeta { location, last_modified, size: metadata.len(), e_tag, version: None }))
}
