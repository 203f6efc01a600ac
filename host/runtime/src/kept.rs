//! The cache of components that this user has loaded before: their compiled code, made under caps, and the description of each plugin that was
//! accepted. Code from here is executed and notes are believed, so each file carries a seal.
//!
//! A file of this user's own folder is sealed with a key that lies elsewhere (`key`). A file that came with a program is in a list of
//! digests whose own digest came another way. A file without a valid seal counts as missing: the component is compiled, or described, again.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use seams::plugin::{Descriptor, Digest, Grants};
use wasmtime::Engine;

use crate::key::{self, SealingKey};
use crate::options::{Cache, Shipped, Trust};
use crate::world::World;

/// The version of the rules of acceptance. Raise it if the rules become stricter within a version of this program.
const RULES: u32 = 2;
/// Most bytes of a file that is read.
const MAX_FILE: u64 = 1 << 30;
/// Most bytes of the folder; beyond that the oldest files are removed.
const MAX_FOLDER: u64 = 2 << 30;
/// The compression level of code: the one that reads fastest for its size.
const LEVEL: i32 = 3;
/// The list of digests in a folder that comes with a program.
const LIST: &str = "digests.json";

/// What is kept, and where.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    own: Option<Own>,
    shipped: Option<ByDigest>,
}

/// A folder of this user's.
#[derive(Debug)]
struct Own {
    dir: PathBuf,
    /// `None`: nothing in the folder is believed.
    key: Option<SealingKey>,
}

/// Files that came with the program.
#[derive(Debug)]
struct ByDigest {
    dir: PathBuf,
    digests: BTreeMap<String, String>,
}

impl Kept {
    /// Opens the folders. One that came with the program and is not valid is reported and not used.
    pub(crate) fn open(cache: Option<&Cache>, shipped: Option<&Shipped>) -> Result<Self, String> {
        let own = cache.map(Own::open).transpose()?;
        let shipped = shipped.and_then(|shipped| match ByDigest::open(shipped) {
            Ok(shipped) => Some(shipped),
            Err(why) => {
                tracing::warn!(folder = %shipped.dir.display(), "what is compiled there is not used: {why}");
                None
            }
        });
        Ok(Kept { own, shipped })
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_somewhere(&self) -> bool {
        self.own.is_some() || self.shipped.is_some()
    }

    /// The code that an engine of this kind compiled from the component.
    pub(crate) fn code(&self, engine: &Engine, digest: &Digest) -> Option<Vec<u8>> {
        zstd::decode_all(self.read(&of_code(engine, digest))?.as_slice()).ok()
    }

    pub(crate) fn keep_code(&self, engine: &Engine, digest: &Digest, code: &[u8]) {
        if let (Some(_), Ok(packed)) = (&self.own, zstd::encode_all(code, LEVEL)) {
            self.write(&of_code(engine, digest), &packed);
        }
    }

    /// The description of a plugin that was accepted for `world` with these grants.
    pub(crate) fn accepted(&self, digest: &Digest, world: World, grants: &Grants) -> Option<Descriptor> {
        serde_json::from_slice(&self.read(&of_accepted(digest, world, grants)?)?).ok()
    }

    pub(crate) fn accept(&self, digest: &Digest, world: World, grants: &Grants, descriptor: &Descriptor) {
        if let (Some(name), Ok(text)) = (of_accepted(digest, world, grants), serde_json::to_vec(descriptor)) {
            self.write(&name, &text);
        }
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.shipped.as_ref().and_then(|shipped| shipped.read(name)).or_else(|| self.own.as_ref()?.read(name))
    }

    /// A failed write only means that nothing is kept.
    fn write(&self, name: &str, bytes: &[u8]) {
        if let Some(own) = &self.own {
            let _ = own.write(name, bytes);
        }
    }
}

impl Own {
    fn open(cache: &Cache) -> Result<Self, String> {
        key::own_folder(&cache.dir)?;
        for part in ["code", "known"] {
            key::own_folder(&cache.dir.join(part))?;
        }
        let key = match &cache.trust {
            Trust::Key(file) => Some(SealingKey::at(file)?),
            Trust::Nothing => None,
        };
        Ok(Own { dir: cache.dir.clone(), key })
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let key = self.key.as_ref()?;
        let sealed = whole(&self.dir.join(name))?;
        let opened = key.open(name, &sealed).map(<[u8]>::to_vec);
        if opened.is_none() {
            tracing::warn!(
                file = %self.dir.join(name).display(),
                "a file among the compiled plugins was not written by this user, or was changed since: it is made again"
            );
        }
        opened
    }

    /// Under another name first: a process that reads it at the same time must not find half of it.
    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let (file, unfinished) = (self.dir.join(name), self.dir.join(format!("{name}.{}", std::process::id())));
        match &self.key {
            Some(key) => std::fs::write(&unfinished, key.sealed(name, bytes))?,
            None => std::fs::write(&unfinished, bytes)?,
        }
        std::fs::rename(&unfinished, file)?;
        self.tidy();
        Ok(())
    }

    /// Removes the oldest files while the folder is too large.
    fn tidy(&self) {
        let files =
            ["code", "known"].into_iter().filter_map(|part| std::fs::read_dir(self.dir.join(part)).ok()).flatten();
        let mut files: Vec<_> = files
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let about = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some((about.modified().ok()?, about.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut size: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, bytes, file) in files {
            if size <= MAX_FOLDER {
                break;
            }
            if std::fs::remove_file(file).is_ok() {
                size = size.saturating_sub(bytes);
            }
        }
    }
}

impl ByDigest {
    fn open(shipped: &Shipped) -> Result<Self, String> {
        let expected = shipped.digest.as_deref().ok_or("nobody says which digest its list must have")?;
        let list = whole(&shipped.dir.join(LIST)).ok_or_else(|| format!("it has no `{LIST}`"))?;
        let found = Digest::of(&list);
        if found.as_str() != expected {
            return Err(format!("its `{LIST}` has the digest {found}, expected {expected}"));
        }
        let digests = serde_json::from_slice(&list).map_err(|error| format!("its `{LIST}` cannot be read: {error}"))?;
        Ok(ByDigest { dir: shipped.dir.clone(), digests })
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let expected = self.digests.get(name)?;
        let bytes = whole(&self.dir.join(name));
        let right = bytes.filter(|bytes| Digest::of(bytes).as_str() == expected);
        if right.is_none() {
            tracing::warn!(
                file = %self.dir.join(name).display(),
                "a file that came with the program is not the one of its list: it is made again"
            );
        }
        right
    }
}

/// The list of what `Trust::Nothing` has kept in `dir`: its name and its bytes. Files that ship with a program are believed by its digest.
///
/// # Errors
/// The folder cannot be read.
pub fn list_of_shipped(dir: &Path) -> std::io::Result<(&'static str, Vec<u8>)> {
    let mut digests = BTreeMap::new();
    for part in ["code", "known"] {
        for entry in std::fs::read_dir(dir.join(part))? {
            let entry = entry?;
            let name = format!("{part}/{}", entry.file_name().to_string_lossy());
            digests.insert(name, Digest::of(&std::fs::read(entry.path())?));
        }
    }
    Ok((LIST, serde_json::to_vec(&digests)?))
}

/// The bytes of a plain file; `None` for a link, a pipe, a device or a file that is too large.
fn whole(path: &Path) -> Option<Vec<u8>> {
    std::fs::symlink_metadata(path).ok().filter(|about| about.is_file() && about.len() <= MAX_FILE)?;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn of_code(engine: &Engine, digest: &Digest) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("code/{}-{:016x}", plain(digest), hasher.finish())
}

/// Acceptance depends on the rules and on the grants.
fn of_accepted(digest: &Digest, world: World, grants: &Grants) -> Option<String> {
    let rules = (env!("CARGO_PKG_VERSION"), RULES);
    let under = serde_json::to_vec(&(rules, world, &grants.config, &grants.limits)).ok()?;
    Some(format!("known/{}-{}.json", plain(digest), plain(&Digest::of(&under))))
}

fn plain(digest: &Digest) -> &str {
    digest.as_str().trim_start_matches("sha256:")
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
