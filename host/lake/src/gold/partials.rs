//! Partial results, kept between two makings of a Gold table: one object, a pack, with those of all buckets.
//!
//! Does not know what is in them, and promises nothing but speed: a pack that is gone or damaged costs a fold, never a result. A partial
//! result's id names all that it was folded from, and a pack's name its digest, so neither can pass for another.
//!
//! A pack is `_partials/NAME/VERSION-DIGEST.pack`: a line of JSON with ids and lengths, then the partial results one behind the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use records::keys::sha256;
use seams::store::{self, delete_if_there};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Gold;
use crate::delta::TableError;

/// A pack is written when at least one in so many of its partial results is not in the one before: with thousands of buckets it is large,
/// and after a crash folding a few again is cheaper than writing all of them for each.
const WRITE_FROM: usize = 64;
/// What the first line of a pack calls its form.
const FORM: &str = "sluicebox partials 2";

/// Partial results by id.
pub type Partials = BTreeMap<PartialId, Bytes>;

/// Names all that a partial result was made from. Small, since each making of a table looks for as many as there are buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartialId(u128);

impl PartialId {
    /// The first half of the SHA-256 of `parts`, each preceded by its length so that no two lists of parts are alike.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        PartialId(hash.finalize().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }

    /// As bytes, to make another id of it.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl std::fmt::Display for PartialId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<PartialId> for String {
    fn from(id: PartialId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for PartialId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(PartialId)
    }
}

/// What this process knows of a table's partial results.
#[derive(Debug, Default)]
pub(super) struct Kept {
    partials: Arc<Partials>,
    /// The pack that was read or written last.
    pack: Option<Path>,
    /// How many of the partial results are in no pack.
    unwritten: usize,
    /// The version of Silver that they are of, if this process has made them.
    version: Option<i64>,
    /// The packs that are there, as far as this process knows; none if it has not looked.
    packs: Option<Vec<Path>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    form: String,
    partials: Vec<(PartialId, usize)>,
}

impl Gold {
    /// Deletes every pack, and forgets what was in them.
    pub async fn drop_partials(&self) -> Result<(), TableError> {
        let fail = |error| TableError::store(&self.name, error);
        let folder = Path::from_iter(["_partials", &self.name]);
        let packs: Vec<Path> =
            self.layer.list(Some(&folder)).map_ok(|object| object.location).try_collect().await.map_err(fail)?;
        for pack in packs {
            delete_if_there(&*self.layer, &pack).await.map_err(fail)?;
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
        Ok(())
    }

    /// Those of the `wanted` partial results that are kept, in their order: from memory, or from the newest pack if many are not there.
    ///
    /// # Errors
    /// When the store fails. A damaged pack is told in the log and passed over.
    pub async fn partials(&self, wanted: &[PartialId]) -> Result<Vec<Option<Bytes>>, TableError> {
        let (known, pack, version) = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&kept.partials), kept.pack.clone(), kept.version)
        };
        let picked = |from: &Partials| -> Vec<_> { wanted.iter().map(|id| from.get(id).cloned()).collect() };
        let found = picked(&known);
        let missing = found.iter().filter(|partial| partial.is_none()).count();
        if missing * WRITE_FROM <= wanted.len() {
            return Ok(found);
        }
        // Whoever else has made the table since would have published it. A listing costs as much as a dozen reads.
        if version.is_some() && self.silver_version().await? == version {
            return Ok(found);
        }
        let Some((path, partials)) = self.newest_pack(pack.as_ref()).await? else { return Ok(found) };
        let found = picked(&partials);
        self.remember(|kept| {
            (kept.partials, kept.pack) = (Arc::new(partials), Some(path));
            (kept.unwritten, kept.version) = (0, None);
        });
        Ok(found)
    }

    /// Keeps the partial results of `silver_version`, `folded` of which are new, and forgets all others.
    ///
    /// A failure is told and passed over: what is not kept is folded again.
    pub async fn keep_partials(&self, silver_version: i64, partials: Partials, folded: usize) {
        let partials = Arc::new(partials);
        let unwritten = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.partials = Arc::clone(&partials);
            kept.version = Some(silver_version);
            kept.unwritten += folded;
            kept.unwritten
        };
        if unwritten == 0 || unwritten * WRITE_FROM < partials.len() {
            return;
        }
        match self.write_pack(silver_version, &partials).await {
            Ok(path) => self.remember(|kept| {
                kept.packs = Some(vec![path.clone()]);
                (kept.pack, kept.unwritten) = (Some(path), 0);
            }),
            Err(error) => tracing::warn!(table = self.name, %error, "the partial results could not be kept"),
        }
    }

    fn remember(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The newest pack that can be read, unless that is the one `known`.
    async fn newest_pack(&self, known: Option<&Path>) -> Result<Option<(Path, Partials)>, TableError> {
        let mut packs = self.packs().await?;
        self.remember(|kept| kept.packs = Some(packs.clone()));
        packs.retain(is_pack);
        packs.sort_by(|a, b| b.cmp(a));
        for path in packs {
            if Some(&path) == known {
                return Ok(None);
            }
            // A newer one may have taken its place since the listing.
            let Some(bytes) = self.read_pack(&path).await? else { continue };
            match unpack(&path, &bytes) {
                Ok(partials) => return Ok(Some((path, partials))),
                Err(damage) => {
                    tracing::warn!(table = self.name, pack = %path, damage, "a pack of partial results is damaged");
                }
            }
        }
        Ok(None)
    }

    /// Writes a pack, then deletes those that it replaces.
    async fn write_pack(&self, silver_version: i64, partials: &Partials) -> Result<Path, TableError> {
        let bytes = pack(partials).map_err(|error| TableError::input(&self.name, error))?;
        let name = format!("{silver_version:020}-{}.pack", sha256(&bytes));
        let path = self.packs_folder().join(name);
        let known = self.kept.lock().unwrap_or_else(PoisonError::into_inner).packs.take();
        let there = match known {
            Some(known) => known,
            None => self.packs().await?,
        };
        // Whatever else is there comes from a version of ours that kept each partial result by itself.
        let older = there.into_iter().filter(|other| *other < path || !is_pack(other));
        self.put(&path, bytes).await?;
        for old in older {
            if let Err(error) = delete_if_there(&*self.layer, &old).await {
                tracing::debug!(table = self.name, pack = %old, %error, "an old pack stays");
            }
        }
        Ok(path)
    }

    fn packs_folder(&self) -> Path {
        Path::from_iter(["_partials", &self.name])
    }

    async fn packs(&self) -> Result<Vec<Path>, TableError> {
        let listed = self.layer.list(Some(&self.packs_folder())).map_ok(|object| object.location).try_collect().await;
        listed.map_err(|error| TableError::store(&self.name, error))
    }

    async fn read_pack(&self, path: &Path) -> Result<Option<Bytes>, TableError> {
        store::read_if_there(self.layer.as_ref(), path).await.map_err(|error| TableError::store(&self.name, error))
    }
}

fn is_pack(path: &Path) -> bool {
    path.as_ref().ends_with(".pack")
}

fn pack(partials: &Partials) -> Result<Bytes, serde_json::Error> {
    let lengths = partials.iter().map(|(id, partial)| (*id, partial.len())).collect();
    let mut bytes = serde_json::to_vec(&Header { form: FORM.to_owned(), partials: lengths })?;
    bytes.push(b'\n');
    partials.values().for_each(|partial| bytes.extend_from_slice(partial));
    Ok(bytes.into())
}

/// The partial results in a pack, or what is wrong with it.
fn unpack(path: &Path, bytes: &Bytes) -> Result<Partials, String> {
    let name = path.filename().unwrap_or_default();
    let promised = name.strip_suffix(".pack").and_then(|name| name.split_once('-')).map(|(_, digest)| digest);
    let promised = promised.ok_or("its name is not `VERSION-DIGEST.pack`")?;
    let found = sha256(bytes);
    if found != promised {
        return Err(format!("its digest is {found}"));
    }
    let line = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
    let header = bytes.get(..line).unwrap_or_default();
    let header: Header = serde_json::from_slice(header).map_err(|error| format!("its first line: {error}"))?;
    if header.form != FORM {
        return Err(format!("expected `{FORM}`, got `{}`", header.form));
    }
    let mut rest = bytes.slice(line + 1..);
    let mut partials = Partials::new();
    for (id, length) in header.partials {
        if length > rest.len() {
            return Err(format!("partial result `{id}` is cut off"));
        }
        partials.insert(id, rest.split_to(length));
    }
    Ok(partials)
}

/// Shared by the clones of one [`Gold`].
pub(super) type Shared = Arc<Mutex<Kept>>;
