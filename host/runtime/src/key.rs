//! The key that seals what this user has compiled, and the folders that only this user can write to.
//!
//! Does not know what is sealed. The key says "written by this user"; a process that can read it acts as this user.

use std::path::Path;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Bytes of the key, and of a seal.
const SIZE: usize = 32;

/// A key that seals.
#[derive(Clone)]
pub(crate) struct SealingKey([u8; SIZE]);

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey")
    }
}

impl SealingKey {
    /// The key in `file`, which is made if it is not there.
    pub(crate) fn at(file: &Path) -> Result<Self, String> {
        if let Some(folder) = file.parent() {
            own_folder(folder)?;
        }
        if std::fs::symlink_metadata(file).is_err() {
            make(file).map_err(|error| format!("cannot write the key `{}`: {error}", file.display()))?;
        }
        let about = std::fs::symlink_metadata(file).map_err(|error| format!("no key `{}`: {error}", file.display()))?;
        if !about.is_file() || about.len() != SIZE as u64 {
            return Err(format!("`{}` is no key: expected a file of {SIZE} bytes; delete it", file.display()));
        }
        is_ours(&about, 0o077).map_err(|why| format!("the key `{}` {why}", file.display()))?;
        let bytes =
            std::fs::read(file).map_err(|error| format!("cannot read the key `{}`: {error}", file.display()))?;
        let key = bytes.try_into().map_err(|_| format!("`{}` is no key any more", file.display()))?;
        Ok(SealingKey(key))
    }

    fn seal(&self, name: &str, bytes: &[u8]) -> Option<Hmac<Sha256>> {
        let mut seal = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        // The name as well, with its length: else one file could be put in the place of another.
        seal.update(&(name.len() as u64).to_le_bytes());
        seal.update(name.as_bytes());
        seal.update(bytes);
        Some(seal)
    }

    /// `bytes` after their seal.
    pub(crate) fn sealed(&self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let seal = self.seal(name, bytes).map(|seal| seal.finalize().into_bytes());
        let mut sealed = Vec::with_capacity(SIZE + bytes.len());
        sealed.extend(seal.into_iter().flatten());
        sealed.extend_from_slice(bytes);
        sealed
    }

    /// The bytes that were sealed under that name, if the seal is valid.
    pub(crate) fn open<'s>(&self, name: &str, sealed: &'s [u8]) -> Option<&'s [u8]> {
        let (seal, bytes) = sealed.split_at_checked(SIZE)?;
        self.seal(name, bytes)?.verify_slice(seal).ok()?;
        Some(bytes)
    }
}

/// Writes a new key; one that another process has written meanwhile stays.
fn make(file: &Path) -> std::io::Result<()> {
    let mut key = [0; SIZE];
    getrandom::fill(&mut key).map_err(std::io::Error::other)?;
    let unfinished = file.with_extension(format!("new-{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&unfinished).and_then(|mut new| std::io::Write::write_all(&mut new, &key));
    let linked = written.and_then(|()| match std::fs::hard_link(&unfinished, file) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let _ = std::fs::remove_file(&unfinished);
    linked
}

/// Creates a folder that only this user can enter, or accepts one that this user owns and no other user can write to.
pub(crate) fn own_folder(dir: &Path) -> Result<(), String> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| format!("cannot make the folder `{}`: {error}", dir.display()))?;
    let about = std::fs::metadata(dir).map_err(|error| format!("cannot look at `{}`: {error}", dir.display()))?;
    is_ours(&about, 0o022).map_err(|why| format!("the folder `{}` {why}", dir.display()))
}

/// Whether this user owns the file, and none of these permission bits is set.
#[cfg(unix)]
fn is_ours(about: &std::fs::Metadata, forbidden: u32) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let (owner, user) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(format!("belongs to user {owner}, expected {user}, who runs this program"));
    }
    if about.mode() & forbidden != 0 {
        let mode = about.mode() & 0o777;
        return Err(format!("has the mode {mode:03o}, expected {:03o}: `chmod` it", mode & !forbidden));
    }
    Ok(())
}

/// Permissions differ here: files in a user's own folders belong to that user.
#[cfg(not(unix))]
fn is_ours(_: &std::fs::Metadata, _: u32) -> Result<(), String> {
    Ok(())
}
