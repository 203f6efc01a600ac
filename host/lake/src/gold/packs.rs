//! Keeping partial results from one update of a Gold table to the next: in memory, and as one pack in the store.
//!
//! Does not fold them, and promises nothing but speed: a pack that is gone or damaged costs a fold, never a result.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use records::keys::sha256;
use seams::store::{self, delete_if_there};

use super::Gold;
use super::partials::{Kept, PartialId, Partials, is_pack, pack, unpack};
use crate::delta::TableError;

/// A pack is written when at least one in so many of its partial results is not in the one before: with thousands of buckets it is large,
/// and after a crash folding a few again is cheaper than writing all of them for each.
const WRITE_FROM: usize = 64;

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
    /// The store fails. A damaged pack is logged and skipped.
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
        // Another process that made the table since would have published it. A listing costs as much as a dozen reads.
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

    /// Keeps the partial results of `silver_version`, and forgets all others. `folded` is how many are new.
    ///
    /// A failure is logged and ignored: what is not kept is folded again.
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
        // Any other object there comes from an earlier version of the program, which kept each partial result by itself.
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
