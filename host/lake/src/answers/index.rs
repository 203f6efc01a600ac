//! Which answers of a day are kept, and in which packs, without reading the answers.
//!
//! A tick asks much that another tick of its day has asked. The first process that works for a tick writes down where those answers are, as
//! `_answers/DAY/TICK/earlier.txt`, so that other processes need not read the beginning of every pack. Holds no answers, and nothing is
//! lost when the index is gone: an answer that it does not know is asked for again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use records::keys::Tick;
use seams::store::{ObjectStoreExt, Path, StoreError, create, read, read_if_there};

use super::kept::AnswerId;
use super::pack;
use crate::{Lake, LakeError};

/// The name of the format in the first line of the object.
const FORM: &str = "sluicebox answers of earlier ticks 1";
const NAME: &str = "earlier.txt";
/// How much of a pack is read for its first line: nearly always enough.
const FIRST_LINE: u64 = 16 << 10;
/// How many packs are read at once.
const AT_ONCE: usize = 16;

/// The ids in some packs, by the packs' names.
type Packs = BTreeMap<Arc<str>, Vec<AnswerId>>;

/// Where answers are.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<u64, Arc<str>>);

impl Index {
    /// The pack with the answer of that id, if there is one.
    pub(super) fn pack_of(&self, id: &AnswerId) -> Option<Arc<str>> {
        self.0.get(&id.number()?).cloned()
    }

    /// Adds an answer that was kept. Of two answers the earlier one counts.
    pub(super) fn add(&mut self, id: &AnswerId, pack: &Arc<str>) {
        if let Some(number) = id.number() {
            self.0.entry(number).or_insert_with(|| Arc::clone(pack));
        }
    }

    /// Removes an answer that is gone.
    pub(super) fn remove(&mut self, id: &AnswerId) {
        if let Some(number) = id.number() {
            self.0.remove(&number);
        }
    }

    pub(super) fn extend(&mut self, packs: &Packs) {
        for (pack, ids) in packs {
            ids.iter().for_each(|id| self.add(id, pack));
        }
    }
}

/// Whether an object says where answers are.
pub(super) fn is_index(path: &Path) -> bool {
    path.filename() == Some(NAME)
}

/// What other ticks of its day had asked when a process first worked for the tick.
pub(super) async fn before(lake: &Lake, tick: Tick) -> Result<Packs, LakeError> {
    if let Some(known) = written(lake, tick).await? {
        return Ok(known);
    }
    // With one listing, however many ticks the day has.
    let listed = list(lake, &pack::day_of(tick)).await?;
    let indexes = listed.iter().filter(|path| is_index(path));
    let of = |path: &Path| Tick::parse(path.parts().nth_back(1)?.as_ref());
    let latest = indexes.filter_map(of).filter(|other| *other != tick).max();
    let mut known = match latest {
        Some(other) => written(lake, other).await?.unwrap_or_default(),
        None => Packs::new(),
    };
    let own = format!("{tick}/");
    add(lake, &listed, |name| !name.starts_with(&own), &mut known).await?;
    if !known.is_empty() {
        create(&*lake.bronze, &path(tick), text(&known)).await?;
    }
    Ok(known)
}

/// What was kept for a message before.
pub(super) async fn of_message(lake: &Lake, tick: Tick, batch: u32) -> Result<Packs, LakeError> {
    let mut found = Packs::new();
    let listed = list(lake, &pack::group_of(tick, batch)).await?;
    add(lake, &listed, |name| pack::is_of(name, batch), &mut found).await?;
    Ok(found)
}

/// All that is kept of the tick's day.
pub(super) async fn of_day(lake: &Lake, tick: Tick) -> Result<Packs, LakeError> {
    let mut found = Packs::new();
    let listed = list(lake, &pack::day_of(tick)).await?;
    add(lake, &listed, |_| true, &mut found).await?;
    Ok(found)
}

/// What is in a folder and below it.
async fn list(lake: &Lake, folder: &Path) -> Result<Vec<Path>, LakeError> {
    Ok(lake.bronze.list(Some(folder)).map_ok(|object| object.location).try_collect().await?)
}

/// Adds the wanted packs among these objects.
async fn add(lake: &Lake, listed: &[Path], wanted: impl Fn(&str) -> bool, known: &mut Packs) -> Result<(), LakeError> {
    let names = listed.iter().filter_map(pack::name_of);
    let fresh: Vec<Arc<str>> = names.filter(|name| wanted(name) && !known.contains_key(name)).collect();
    let reads = fresh.into_iter().map(|name| async move {
        let ids = ids_in(lake, &pack::path_of(&name)).await?;
        Ok::<_, LakeError>((name, ids))
    });
    let read: Vec<_> = futures::stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await?;
    known.extend(read);
    Ok(())
}

/// The ids in a pack. None if the pack is damaged: `verify` reports that.
async fn ids_in(lake: &Lake, path: &Path) -> Result<Vec<AnswerId>, LakeError> {
    let start = match lake.bronze.get_range(path, 0..FIRST_LINE).await {
        Ok(start) => start,
        Err(StoreError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let ids = match pack::ids(path, &start) {
        Ok(None) => pack::ids(path, &read(&*lake.bronze, path).await?),
        found => found,
    };
    Ok(ids.ok().flatten().unwrap_or_else(|| {
        tracing::warn!(pack = %path, "a pack of answers cannot be read, run `sluicebox verify`");
        Vec::new()
    }))
}

fn path(tick: Tick) -> Path {
    pack::folder_of(tick).join(NAME)
}

async fn written(lake: &Lake, tick: Tick) -> Result<Option<Packs>, LakeError> {
    let bytes = read_if_there(&*lake.bronze, &path(tick)).await?;
    Ok(bytes.and_then(|bytes| parse(&bytes)))
}

/// One line for each pack: its name, then the ids.
fn text(packs: &Packs) -> Bytes {
    let mut text = format!("{FORM}\n");
    for (name, ids) in packs {
        text.push_str(name);
        for id in ids {
            text.push(' ');
            text.push_str(id.as_str());
        }
        text.push('\n');
    }
    text.into()
}

/// Returns none if the bytes do not have this form: then the index is made again.
fn parse(bytes: &[u8]) -> Option<Packs> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    let packs = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default().into();
        (name, words.map(|id| AnswerId(id.to_owned())).collect())
    };
    (lines.next() == Some(FORM)).then(|| lines.map(packs).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_reads_back_and_nothing_else_does() {
        let ids = |ids: &[&str]| ids.iter().map(|id| AnswerId((*id).to_owned())).collect::<Vec<_>>();
        let packs = Packs::from([
            ("t/0/1-ab".into(), ids(&["0123456789abcdef", "00000000000000ff"])),
            ("t/0/2-cd".into(), ids(&[])),
        ]);
        assert_eq!(parse(&text(&packs)), Some(packs.clone()));
        assert_eq!((parse(b"other\nx"), parse(b"\xff")), (None, None));
        let mut index = Index::default();
        index.extend(&packs);
        assert_eq!(index.pack_of(&ids(&["00000000000000ff"])[0]).as_deref(), Some("t/0/1-ab"));
        index.remove(&ids(&["00000000000000ff"])[0]);
        assert_eq!(index.pack_of(&ids(&["00000000000000ff"])[0]), None);
    }
}
