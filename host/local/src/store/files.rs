//! Files that are whole and durable: staged beside their target, synced, then given their name, and the name synced as well.
//!
//! Does not know objects: paths are those of the file system. Everything here blocks.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use object_store::{Error, PutMode, PutPayload, PutResult, Result};
use seams::store::{Gone, NotDurable};

/// After this time without a write an unfinished file has no writer any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Tells the staged files of one process apart.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// The failed operation and its file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// An `io::Error` as the store's error, with the place.
pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    let kind = source.kind();
    let shown = path.display().to_string();
    let error = Box::new(FileError { action, path: path.to_path_buf(), source });
    match kind {
        ErrorKind::NotFound => Error::NotFound { path: shown, source: error },
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: shown, source: error },
        ErrorKind::PermissionDenied => Error::PermissionDenied { path: shown, source: error },
        _ => Error::Generic { store: "DirStore", source: error },
    }
}

/// A sync that failed: not an error like others, because the next sync may succeed although data is lost.
fn unsynced(action: &'static str, path: &Path, source: io::Error) -> Error {
    let error = FileError { action, path: path.to_path_buf(), source };
    Error::Generic { store: "DirStore", source: Box::new(NotDurable(Box::new(error))) }
}

/// Makes the names in `folder` durable.
fn sync_folder(folder: &Path) -> Result<()> {
    let file = File::open(folder).map_err(|error| failed("open folder", folder, error))?;
    file.sync_all().map_err(|error| unsynced("sync folder", folder, error))
}

/// What a finished write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A loss of power.
    #[default]
    Synced,
    /// The end of the process, but no loss of power. For measurements, and for lakes that can be made again.
    Unsynced,
}

impl Durability {
    /// Makes the name of `file` durable.
    fn sync_parent(self, file: &Path) -> Result<()> {
        match self {
            Durability::Synced => file.parent().map_or(Ok(()), sync_folder),
            Durability::Unsynced => Ok(()),
        }
    }
}

/// The same tag that `LocalFileSystem` reports for a file, so that a `put` and a later `head` agree.
pub(super) fn e_tag(metadata: &fs::Metadata) -> String {
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(metadata);
    #[cfg(not(unix))]
    let inode = 0_u64;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{inode:x}-{:x}-{:x}", modified.as_micros(), metadata.len())
}

/// Whether the name is one that staged files have, here and in `object_store`: it ends in `#` and digits.
pub(super) fn is_unfinished(location: &object_store::path::Path) -> bool {
    location.filename().is_some_and(is_name_of_unfinished)
}

fn is_name_of_unfinished(name: &str) -> bool {
    let suffix = name.rsplit_once('#').map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Removes an unfinished file without a write for a day: its writer is dead. (One that only slept finds its file gone, and its
/// write fails.) If that fails, the file stays and does no harm.
pub(super) fn remove_if_abandoned(file: &Path) {
    let written = fs::symlink_metadata(file).and_then(|metadata| metadata.modified()).ok();
    if written.and_then(|written| written.elapsed().ok()).is_some_and(|age| age > ABANDONED_AFTER) {
        let _ = fs::remove_file(file);
    }
}

/// Removes every unfinished file below `folder`, and follows no link; returns their number.
pub(super) fn remove_unfinished(folder: &Path) -> Result<usize> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed("open folder", folder, error)),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(|error| failed("read folder", folder, error))?;
        let kind = entry.file_type().map_err(|error| failed("look at", &entry.path(), error))?;
        if kind.is_dir() {
            removed += remove_unfinished(&entry.path())?;
        } else if kind.is_file() && entry.file_name().to_str().is_some_and(is_name_of_unfinished) {
            match fs::remove_file(entry.path()) {
                Ok(()) => removed += 1,
                // Its writer was not dead, and has finished it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed("delete", &entry.path(), error)),
            }
        }
    }
    if removed > 0 {
        sync_folder(folder)?;
    }
    Ok(removed)
}

/// The folder below which all files are.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Whether files and names are synced.
    durability: Durability,
    /// If deleted, it is created again as long as this other folder exists.
    beside: Option<PathBuf>,
    /// Folders whose own names are known to be durable, all the way up.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Folder {
    /// Creates the folder durably, if it is missing, and resolves the links that lead to it.
    pub(super) fn open(path: &Path, durability: Durability, beside: Option<PathBuf>) -> Result<Self> {
        let missing: Vec<_> =
            path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
        fs::create_dir_all(path).map_err(|error| failed("create folder", path, error))?;
        let resolved = path.canonicalize().map_err(|error| failed("open folder", path, error))?;
        for made in missing {
            let made = made.canonicalize().map_err(|error| failed("open folder", made, error))?;
            durability.sync_parent(&made)?;
        }
        Ok(Folder { path: resolved, durability, beside, durable: Mutex::default() })
    }

    /// Removes unfinished files right in the folder: a listing of what is below would not find them.
    pub(super) fn remove_abandoned(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_name_of_unfinished) {
                remove_if_abandoned(&entry.path());
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the name of `file` durable.
    pub(super) fn sync_parent(&self, file: &Path) -> Result<()> {
        self.durability.sync_parent(file)
    }

    /// Refuses a path that leads through a link, or to something that is neither file nor folder (opening a pipe would block for ever).
    /// Returns whether something is there.
    pub(super) fn refuse_links(&self, file: &Path) -> Result<bool> {
        let relative = file.strip_prefix(&self.path).map_err(|_| refused(file, "is outside of the store"))?;
        if relative.as_os_str().is_empty() && !self.path.is_dir() {
            return self.refuse_gone().map(|()| false);
        }
        let mut place = self.path.clone();
        for part in relative.components() {
            place.push(part);
            match fs::symlink_metadata(&place) {
                Ok(found) if found.is_symlink() => return Err(refused(&place, "is a symbolic link")),
                Ok(found) if found.is_file() || found.is_dir() => {}
                Ok(_) => return Err(refused(&place, "is neither a file nor a folder")),
                // What is missing is no link: the call itself reports what that means.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return self.refuse_gone().map(|()| false);
                }
                Err(error) => return Err(failed("look at", &place, error)),
            }
        }
        Ok(true)
    }

    /// Refuses access to objects of a folder that was deleted or moved away: they may come back with it, and an empty one made in its place
    /// would be in its way.
    fn refuse_gone(&self) -> Result<()> {
        if self.path.is_dir() || self.beside.as_ref().is_some_and(|other| other.is_dir()) {
            return Ok(());
        }
        let source = Box::new(Gone(self.path.display().to_string()));
        Err(Error::Generic { store: "DirStore", source })
    }

    /// Creates the folder for `file`, durably.
    pub(super) fn make_parent(&self, file: &Path) -> Result<()> {
        let Some(parent) = file.parent() else { return Ok(()) };
        let there = parent.is_dir();
        if there && self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(parent) {
            return Ok(());
        }
        if !there {
            fs::create_dir_all(parent).map_err(|error| failed("create folder", parent, error))?;
        }
        // Also where the folder was there: another process may have made it a moment ago and not have synced it yet.
        for folder in parent.ancestors().take_while(|folder| *folder != self.path) {
            self.sync_parent(folder)?;
        }
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(parent.to_path_buf());
        Ok(())
    }

    /// A new empty file beside `target`, under a name that no listing shows.
    pub(super) fn stage(&self, target: &Path) -> Result<Staged> {
        self.make_parent(target)?;
        loop {
            let mut name = target.as_os_str().to_owned();
            name.push(format!("#{}{:06}", std::process::id(), STAGED.fetch_add(1, Ordering::Relaxed)));
            let path = PathBuf::from(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Staged { file, path, target: target.to_path_buf() }),
                // A process with this number died here once: take the next name.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create", &path, error)),
            }
        }
    }

    /// Gives a staged file its name, once its bytes are on disk; then the name is put on disk too.
    pub(super) fn publish(&self, staged: Staged, mode: &PutMode) -> Result<PutResult> {
        if self.durability == Durability::Synced {
            staged.file.sync_all().map_err(|error| unsynced("sync", &staged.path, error))?;
        }
        let metadata = staged.file.metadata().map_err(|error| failed("look at", &staged.path, error))?;
        let named = match mode {
            // A link, unlike a rename, fails when the name is taken, and the kernel lets one of several racers win.
            PutMode::Create => {
                fs::hard_link(&staged.path, &staged.target).map_err(|error| failed("create", &staged.target, error))
            }
            PutMode::Overwrite => staged.replace(),
            PutMode::Update(version) => staged.update(version.e_tag.as_deref()),
        };
        if matches!(named, Ok(()) | Err(Error::AlreadyExists { .. })) {
            self.sync_parent(&staged.target)?;
        }
        named.map(|()| PutResult { e_tag: Some(e_tag(&metadata)), version: None })
    }

    /// Returns that `file` exists, after making its name durable.
    pub(super) fn refuse_existing(&self, file: &Path) -> Result<PutResult> {
        self.sync_parent(file)?;
        Err(failed("create", file, ErrorKind::AlreadyExists.into()))
    }

    /// Removes the file, durably.
    pub(super) fn remove(&self, file: &Path) -> Result<()> {
        self.refuse_links(file)?;
        fs::remove_file(file).map_err(|error| failed("delete", file, error))?;
        self.sync_parent(file)
    }
}

fn refused(place: &Path, why: &'static str) -> Error {
    let path = place.display().to_string();
    let source = format!("`{path}` {why}").into();
    Error::PermissionDenied { path, source }
}

/// A file that does not have its name yet; dropping this removes it.
#[derive(Debug)]
pub(super) struct Staged {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Appends `payload`.
    pub(super) fn append(&mut self, payload: &PutPayload) -> Result<()> {
        payload
            .iter()
            .try_for_each(|bytes| self.file.write_all(bytes))
            .map_err(|error| failed("write", &self.path, error))
    }
}

impl Staged {
    fn replace(&self) -> Result<()> {
        fs::rename(&self.path, &self.target).map_err(|error| failed("replace", &self.target, error))
    }

    /// Replaces the file with that tag. Every process that does so holds the lock of the folder, which leaves no file behind.
    fn update(&self, tag: Option<&str>) -> Result<()> {
        let lock = self.target.parent().map(File::open).transpose();
        let lock = lock.map_err(|error| failed("lock the folder of", &self.target, error))?;
        if let Some(lock) = &lock {
            lock.lock().map_err(|error| failed("lock the folder of", &self.target, error))?;
        }
        let there = fs::symlink_metadata(&self.target).map_err(|error| failed("look at", &self.target, error))?;
        let there = e_tag(&there);
        if tag != Some(&there) {
            let path = self.target.display().to_string();
            let source = format!("the object's tag is `{there}`, expected `{}`", tag.unwrap_or_default()).into();
            return Err(Error::Precondition { path, source });
        }
        self.replace()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already where it was renamed. If the removal fails, a file stays that no listing shows.
        let _ = fs::remove_file(&self.path);
    }
}
