//! A look at one tick: what of it is in the lake, read from names, and in the end what became of its records, read from receipts.
//!
//! Holds names, and never what records hold. Changes nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use lake::bronze::{self, stream};
use lake::closed::Sums;
use lake::receipts::{self, Receipt};
use lake::{Lake, LakeError};
use records::keys::Tick;
use seams::store::Path;

/// Receipts that are read at once.
const AT_ONCE: usize = 64;

/// What is in the lake of one tick.
#[derive(Debug)]
pub struct Look {
    /// The tick.
    pub tick: Tick,
    /// What it took, in the order of the names.
    pub snapshots: Vec<Snapshot>,
    /// Records in its messages that have a line in Bronze.
    pub enriched: usize,
    /// Records in its messages whose object has a receipt.
    pub cleaned: usize,
    objects: BTreeMap<Path, Object>,
}

/// What a tick took with one configuration.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its path.
    pub path: Path,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// Its messages.
    pub messages: usize,
    /// Record versions in them.
    pub records: usize,
    /// Messages that have no object.
    pub missing: usize,
    /// Record versions in those.
    pub missing_records: usize,
}

impl Snapshot {
    /// Its name in the tick's folder.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.filename().unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Object {
    bytes: u64,
    at: DateTime<Utc>,
    seen: bool,
}

/// Looks at a tick.
///
/// # Errors
/// The store fails, or a snapshot is damaged.
pub async fn look(lake: &Lake, tick: Tick) -> Result<Look, LakeError> {
    let mut look = Look { tick, snapshots: Vec::new(), enriched: 0, cleaned: 0, objects: BTreeMap::new() };
    let mut listing = lake.bronze.list(Some(&Path::from(format!("run={tick}"))));
    while let Some(found) = listing.try_next().await? {
        let (path, at) = (found.location, found.last_modified);
        if bronze::is_object(&path) {
            look.objects.insert(path, Object { bytes: found.size, at, seen: false });
        } else if path.filename().is_some_and(|name| name.starts_with("_snapshot-")) {
            let (messages, records) = (0, 0);
            look.snapshots.push(Snapshot { path, at, messages, records, missing: 0, missing_records: 0 });
        }
    }
    let mut receipts = std::pin::pin!(receipts::objects_of(lake, tick));
    while let Some(object) = receipts.try_next().await? {
        if let Some(object) = look.objects.get_mut(&Path::from(object)) {
            object.seen = true;
        }
    }
    look.snapshots.sort_by(|one, other| one.path.cmp(&other.path));
    for snapshot in &mut look.snapshots {
        let mut outlines = stream::outlines(lake, &snapshot.path).await?;
        while let Some(message) = outlines.try_next().await? {
            let records = message.records();
            snapshot.messages += 1;
            snapshot.records += records;
            match look.objects.get(&message.object()) {
                None => {
                    snapshot.missing += 1;
                    snapshot.missing_records += records;
                }
                Some(object) => {
                    look.enriched += records;
                    look.cleaned += if object.seen { records } else { 0 };
                }
            }
        }
    }
    Ok(look)
}

impl Look {
    /// Record versions in the tick's messages.
    #[must_use]
    pub fn records(&self) -> usize {
        self.snapshots.iter().map(|snapshot| snapshot.records).sum()
    }

    /// Messages that have no object.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.snapshots.iter().map(|snapshot| snapshot.missing).sum()
    }

    /// Whether a message's object is there.
    #[must_use]
    pub fn has(&self, object: &Path) -> bool {
        self.objects.contains_key(object)
    }

    /// The objects that have no receipt, and when each was written.
    pub fn unseen(&self) -> impl Iterator<Item = (&Path, DateTime<Utc>)> {
        self.objects.iter().filter(|(_, object)| !object.seen).map(|(path, object)| (path, object.at))
    }

    /// Whether each message has its object, and each object its receipt.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing() == 0 && self.unseen().next().is_none()
    }

    /// The receipts of the objects that have one, in the order of their names.
    pub fn receipts(&self, lake: &Lake) -> impl futures::Stream<Item = Result<(Path, Receipt), LakeError>> {
        let seen: Vec<Path> = self.objects.iter().filter(|(_, one)| one.seen).map(|(path, _)| path.clone()).collect();
        let lake = lake.clone();
        let reads = futures::stream::iter(seen).map(move |path| {
            let lake = lake.clone();
            async move { Ok(receipts::get(&lake, &path).await?.map(|receipt| (path, receipt))) }
        });
        reads.buffered(AT_ONCE).try_filter_map(|found| std::future::ready(Ok(found)))
    }

    /// What the tick is, without what became of its records.
    #[must_use]
    pub fn outline(&self) -> Sums {
        Sums {
            ticks: usize::from(!self.snapshots.is_empty()),
            messages: self.snapshots.iter().map(|snapshot| snapshot.messages).sum(),
            records: self.records(),
            objects: self.objects.len(),
            bytes: self.objects.values().map(|object| object.bytes).sum(),
            last: (!self.snapshots.is_empty()).then_some(self.tick),
            ..Sums::default()
        }
    }

    /// What became of the tick's records, as far as receipts say so; `None` if `goes_on` returned false before all were read.
    ///
    /// # Errors
    /// The store fails, or a receipt is damaged.
    pub async fn sums(&self, lake: &Lake, goes_on: impl Fn() -> bool) -> Result<Option<Sums>, LakeError> {
        let mut sums = self.outline();
        let mut receipts = std::pin::pin!(self.receipts(lake));
        while let Some((_, receipt)) = receipts.try_next().await? {
            if !goes_on() {
                return Ok(None);
            }
            sums += Sums::of(&receipt);
        }
        Ok(Some(sums))
    }
}
