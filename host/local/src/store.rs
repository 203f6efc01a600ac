//! Objects as files below one folder, with the engine's promises about them: whole or absent, durable when a `put` returns,
//! created by exactly one writer, and never outside the folder.
//!
//! Does not know layers or keys.
//!
//! Reads are `object_store`'s own [`LocalFileSystem`]. Its writes do not sync and its paths follow links, so those are done here.

mod blocking;
mod files;
mod listing;
mod upload;
mod view;

use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
};
#[cfg(doc)]
use seams::store::Gone;

use self::blocking::blocking;
pub use self::files::Durability;
use self::files::Folder;
use self::upload::FileUpload;
pub use self::view::{ClosedStore, ViewStore};

/// How many deletions of one stream are under way at once.
const DELETES_AT_ONCE: usize = 10;

/// An [`ObjectStore`] over a folder of this machine.
///
/// * `put`, `copy`, `rename` and a completed multipart upload have synced the file and its folder when they return, and so has a
///   refusal because the object exists: what a loser of a race reads back is as durable as if it had won.
/// * `PutMode::Update` locks the object's folder (`flock`) while it compares the tag and renames, against other updates: a `put` of
///   another mode does not wait for it. The lock ends with its process.
/// * A symbolic link below the folder is no object: it is never listed, and a path through one is `PermissionDenied`. (The folder
///   itself may be reached through links.) The check is made before each call; it does not defend against a user who plants
///   links while the call runs, since such a user can write the objects as well.
/// * A folder that was deleted or moved away after it was opened is not made again: each call fails with [`Gone`] among its causes
///   until it is back. (But see [`DirStore::open_beside`].)
/// * Unfinished files are named `NAME#DIGITS`; they are never listed, and no object can have such a name. A listing that finds one
///   that was last written to a day ago removes it: a killed writer has left it.
#[derive(Debug)]
pub struct DirStore {
    reads: LocalFileSystem,
    folder: Arc<Folder>,
}

impl DirStore {
    /// Opens the store at `path`, and creates the folder if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be created or is not a folder.
    pub fn open(path: impl Into<PathBuf>) -> Result<Arc<dyn ObjectStore>> {
        DirStore::open_with(path, Durability::Synced)
    }

    /// As [`DirStore::open`], for a store whose objects can be made again from those in the folder `other`: if its own folder is deleted
    /// while `other` is there, it is made again.
    ///
    /// # Errors
    /// As [`DirStore::open`].
    pub fn open_beside(path: impl Into<PathBuf>, other: impl Into<PathBuf>) -> Result<Arc<dyn ObjectStore>> {
        DirStore::of(Folder::open(&path.into(), Durability::Synced, Some(other.into()))?)
    }

    /// Opens the store at `path` with another promise than to survive a loss of power.
    ///
    /// # Errors
    /// As [`DirStore::open`].
    pub fn open_with(path: impl Into<PathBuf>, durability: Durability) -> Result<Arc<dyn ObjectStore>> {
        DirStore::of(Folder::open(&path.into(), durability, None)?)
    }

    fn of(folder: Folder) -> Result<Arc<dyn ObjectStore>> {
        folder.remove_abandoned();
        let reads = LocalFileSystem::new_with_prefix(folder.path())?;
        Ok(Arc::new(DirStore { reads, folder: Arc::new(folder) }))
    }

    /// Opens the store at `path` read-only: creates, changes and removes nothing. A missing folder counts as empty.
    ///
    /// # Errors
    /// If `path` is not a folder, or cannot be read.
    pub fn view(path: impl Into<PathBuf>) -> Result<Arc<dyn ObjectStore>> {
        let path = path.into();
        let failed = |error| files::failed("open folder", &path, error);
        match std::fs::read_dir(&path) {
            Ok(_) => {
                let folder = Folder::open(&path, Durability::Synced, None)?;
                let reads = LocalFileSystem::new_with_prefix(folder.path())?;
                Ok(ViewStore::over(Arc::new(DirStore { reads, folder: Arc::new(folder) })))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(ViewStore::of_nothing()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes every unfinished file below `path`, however young, and returns their number. Only if no process writes there: a writer
    /// that only slept finds its file gone, and its write fails.
    ///
    /// # Errors
    /// If the folder cannot be read or a file cannot be removed. A missing folder has none.
    pub fn remove_unfinished(path: &std::path::Path) -> Result<usize> {
        files::remove_unfinished(path)
    }

    /// The file path of the object, whether it exists or not, after a check that no link leads there.
    async fn locate(&self, location: &Path) -> Result<PathBuf> {
        let file = file_of(&self.reads, location)?;
        let folder = Arc::clone(&self.folder);
        blocking(move || folder.refuse_links(&file).map(|_| file)).await
    }

    /// The file path of an object that exists.
    async fn find(&self, location: &Path) -> Result<PathBuf> {
        let file = file_of(&self.reads, location)?;
        let folder = Arc::clone(&self.folder);
        blocking(move || {
            let there = folder.refuse_links(&file)?;
            // Reported here, since below a file the system does not answer "not found".
            if there { Ok(file) } else { Err(files::failed("find", &file, ErrorKind::NotFound.into())) }
        })
        .await
    }
}

impl std::fmt::Display for DirStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DirStore({})", self.folder.path().display())
    }
}

/// Creates a folder, if it is missing, so that it survives a loss of power.
pub(crate) fn make_folder(path: &std::path::Path) -> Result<()> {
    Folder::open(path, Durability::Synced, None).map(drop)
}

/// The file of an object, unless unfinished files have such names.
fn file_of(reads: &LocalFileSystem, location: &Path) -> Result<PathBuf> {
    if files::is_unfinished(location) {
        let message = format!(
            "no object can be named `{location}`: names that end in `#` and digits are those of unfinished files"
        );
        return Err(Error::Generic { store: "DirStore", source: message.into() });
    }
    reads.path_to_filesystem(location)
}

fn refuse_attributes(empty: bool, operation: &str) -> Result<()> {
    if empty {
        return Ok(());
    }
    Err(Error::NotImplemented { operation: format!("`{operation}` with attributes"), implementer: "DirStore".into() })
}

#[async_trait]
impl ObjectStore for DirStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        refuse_attributes(options.attributes.is_empty(), "put_opts")?;
        let mode = options.mode;
        let file = file_of(&self.reads, location)?;
        let folder = Arc::clone(&self.folder);
        blocking(move || {
            // Most losers of a race come late enough to see it: they need not write and sync bytes that are never read.
            if folder.refuse_links(&file)? && mode == PutMode::Create {
                return folder.refuse_existing(&file);
            }
            let mut staged = folder.stage(&file)?;
            staged.append(&payload)?;
            folder.publish(staged, &mode)
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        refuse_attributes(options.attributes.is_empty(), "put_multipart_opts")?;
        let file = self.locate(location).await?;
        let folder = Arc::clone(&self.folder);
        let staged = blocking(move || folder.stage(&file)).await?;
        Ok(Box::new(FileUpload::new(Arc::clone(&self.folder), staged)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.find(location).await?;
        self.reads.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.find(location).await?;
        self.reads.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let folder = Arc::clone(&self.folder);
        let reads = self.reads.clone();
        locations
            .map(move |location| {
                let (folder, reads) = (Arc::clone(&folder), reads.clone());
                async move {
                    let location = location?;
                    let file = file_of(&reads, &location)?;
                    blocking(move || folder.remove(&file)).await?;
                    Ok(location)
                }
            })
            .buffered(DELETES_AT_ONCE)
            .boxed()
    }

    /// In the order of the paths.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::all(Arc::clone(&self.folder), prefix.cloned())
    }

    /// In the order of the paths. For objects before the offset only the name is read, not the file.
    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (folder, prefix, offset) = (Arc::clone(&self.folder), prefix.cloned(), offset.clone());
        let found = async move { blocking(move || listing::after(&folder, prefix.as_ref(), &offset)).await };
        futures::stream::once(found)
            .map_ok(|found| futures::stream::iter(found.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (folder, prefix) = (Arc::clone(&self.folder), prefix.cloned());
        blocking(move || listing::one_level(&folder, prefix.as_ref())).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.find(from).await?;
        let target = self.locate(to).await?;
        let (folder, file) = (Arc::clone(&self.folder), target.clone());
        blocking(move || folder.make_parent(&file)).await?;
        // The source is a finished object, so its bytes are synced already; only the new name is not.
        let copied = self.reads.copy_opts(from, to, options).await;
        if matches!(copied, Ok(()) | Err(Error::AlreadyExists { .. })) {
            let folder = Arc::clone(&self.folder);
            blocking(move || folder.sync_parent(&target)).await?;
        }
        copied
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        if options.target_mode == RenameTargetMode::Create {
            self.copy_opts(from, to, CopyOptions::new().with_mode(CopyMode::Create)).await?;
            let (folder, file) = (Arc::clone(&self.folder), self.locate(from).await?);
            return blocking(move || folder.remove(&file)).await;
        }
        let source = self.find(from).await?;
        let target = self.locate(to).await?;
        let (folder, file) = (Arc::clone(&self.folder), target.clone());
        blocking(move || folder.make_parent(&file)).await?;
        self.reads.rename_opts(from, to, options).await?;
        let folder = Arc::clone(&self.folder);
        blocking(move || {
            folder.sync_parent(&target)?;
            folder.sync_parent(&source)
        })
        .await
    }
}
