//! Receipts: what a stage made of each Bronze object, so that a sweep knows what it has seen and every record can be counted.
//!
//! A receipt is written when everything it speaks of is durable. Its absence is harmless: the object is worked on again, to the same end.
//! Hosts that worked on different lines of one object at once have both their lines in it. Does not know how a line is worked on.

use std::collections::{BTreeMap, BTreeSet};

use futures::{Stream, StreamExt, TryStreamExt};
use records::keys::Tick;
use seams::store::{Created, Path, Store, create, read_if_there, update};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Lake, LakeError};

/// A line that made no row, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// Line of the Bronze object, from 1.
    pub line: usize,
    /// In the plugin's words.
    pub reason: String,
}

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Line of the Bronze object, from 1.
    pub line: usize,
    /// Id of the refused record in quarantine.
    pub id: String,
}

/// What became of the lines of one Bronze object in the clean stage. `cleaned`, `skipped`, `quarantined` and `superseded` add up to
/// `lines`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The Bronze object.
    pub object: String,
    /// The clean plugin's generation that saw it.
    pub generation: u32,
    /// Lines that a later generation has cleaned alone, and which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redone: BTreeMap<usize, u32>,
    /// The Silver version that holds the rows, or a later one.
    pub silver_version: i64,
    /// Lines of the object.
    pub lines: usize,
    /// Lines that made rows. A row may be superseded by a newer version of its record.
    pub cleaned: usize,
    /// Lines that rightly made none, at enrich or clean.
    pub skipped: Vec<Skip>,
    /// Quarantined lines, at enrich or clean.
    pub quarantined: Vec<Held>,
    /// Lines that another line of the same record version has replaced: the record was enriched again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub superseded: BTreeSet<usize>,
    /// SHA-256 of the object when it was first cleaned, or when the program itself last rewrote it. None if an earlier version of the
    /// program cleaned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Receipt {
    /// The generation that saw a line last.
    #[must_use]
    pub fn generation_of(&self, line: usize) -> u32 {
        self.redone.get(&line).copied().unwrap_or(self.generation)
    }

    /// Whether every line was seen by that generation or a later one.
    #[must_use]
    pub fn is_up_to(&self, generation: u32) -> bool {
        self.stale_lines(generation).next().is_none()
    }

    /// The lines that only an earlier generation has seen.
    pub fn stale_lines(&self, generation: u32) -> impl Iterator<Item = usize> {
        (1..=self.lines).filter(move |line| self.generation_of(*line) < generation)
    }

    /// This receipt with what `fresh` says of `lines`, except lines that a later generation has seen.
    #[must_use]
    pub fn with(&self, fresh: &Receipt, lines: &BTreeSet<usize>) -> Receipt {
        let lines: BTreeSet<usize> =
            lines.iter().copied().filter(|line| self.generation_of(*line) <= fresh.generation).collect();
        let mut merged = self.clone();
        merged.sha256 = merged.sha256.or_else(|| fresh.sha256.clone());
        merged.silver_version = merged.silver_version.max(fresh.silver_version);
        if lines.len() == merged.lines {
            merged.generation = fresh.generation;
            merged.redone.clear();
        } else {
            merged.redone.extend(lines.iter().map(|line| (*line, fresh.generation)));
        }
        merged.skipped.retain(|skip| !lines.contains(&skip.line));
        merged.quarantined.retain(|held| !lines.contains(&held.line));
        merged.superseded.retain(|line| !lines.contains(line));
        merged.skipped.extend(fresh.skipped.iter().filter(|skip| lines.contains(&skip.line)).cloned());
        merged.quarantined.extend(fresh.quarantined.iter().filter(|held| lines.contains(&held.line)).cloned());
        merged.superseded.extend(fresh.superseded.intersection(&lines));
        merged.count();
        merged
    }

    /// Sorts the lists, and counts the lines that are in none.
    pub fn count(&mut self) {
        self.skipped.sort_by_key(|skip| skip.line);
        self.quarantined.sort_by_key(|held| held.line);
        let rest = self.skipped.len() + self.quarantined.len() + self.superseded.len();
        self.cleaned = self.lines.saturating_sub(rest);
    }

    /// Whether the line made rows.
    #[must_use]
    pub fn made_rows(&self, line: usize) -> bool {
        (1..=self.lines).contains(&line)
            && !self.superseded.contains(&line)
            && !self.skipped.iter().any(|skip| skip.line == line)
            && !self.quarantined.iter().any(|held| held.line == line)
    }
}

/// What became of the lines of one Bronze object when a later enrich plugin saw them again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enriched {
    /// The Bronze object.
    pub object: String,
    /// For each line that was looked at, the enrich plugin's generation.
    pub seen: BTreeMap<usize, u32>,
    /// Lines for which an answer of a service is not kept, so that they stay as they are.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unanswered: BTreeSet<usize>,
}

impl Enriched {
    fn of(object: &Path) -> Self {
        Enriched { object: object.to_string(), seen: BTreeMap::new(), unanswered: BTreeSet::new() }
    }
}

/// The reason of a line whose record was erased.
pub const FORGOTTEN: &str = "forgotten";

const FOLDER: &str = "_receipts";

fn path(object: &str) -> Path {
    Path::from(format!("{FOLDER}/{object}.json"))
}

/// Replaces a receipt with what `change` returns; does nothing if that is `None`.
async fn change_in<T: Serialize + DeserializeOwned>(
    store: &Store,
    object: &str,
    mut change: impl FnMut(Option<T>) -> Option<T> + Send,
) -> Result<(), LakeError> {
    let path = path(object);
    let corrupt = |error| LakeError::corrupt(&path, error);
    let bytes = |there: Option<bytes::Bytes>| -> Result<_, LakeError> {
        let there = there.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(corrupt)?;
        Ok(change(there).map(|receipt| serde_json::to_vec(&receipt)).transpose().map_err(corrupt)?.map(Into::into))
    };
    update(&**store, &path, bytes).await
}

async fn get_from<T: DeserializeOwned>(store: &Store, object: &str) -> Result<Option<T>, LakeError> {
    let path = path(object);
    let bytes = read_if_there(&**store, &path).await?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(&path, error))).transpose()
}

/// The objects that have a receipt, of a tick or of all.
fn objects_in(store: &Store, tick: Option<Tick>) -> impl Stream<Item = Result<String, LakeError>> + use<> {
    let folder = tick.map_or_else(|| FOLDER.to_owned(), |tick| format!("{FOLDER}/run={tick}"));
    store.list(Some(&Path::from(folder))).map_err(LakeError::from).try_filter_map(|object| {
        let name = object.location.as_ref().strip_prefix("_receipts/").and_then(|name| name.strip_suffix(".json"));
        std::future::ready(Ok(name.map(str::to_owned)))
    })
}

async fn all_in<T: DeserializeOwned>(store: &Store) -> Result<Vec<T>, LakeError> {
    let read = |object: String| async move { get_from(store, &object).await };
    let objects: BTreeSet<String> = objects_in(store, None).try_collect().await?;
    let found: Vec<Option<T>> = futures::stream::iter(objects).map(read).buffered(16).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// A receipt that replaced another.
#[derive(Clone, Debug)]
pub struct Put {
    /// What was there.
    pub before: Option<Receipt>,
    /// What is there now.
    pub now: Receipt,
}

/// Writes what `fresh` says of `lines` into the clean stage's receipt of its object, or into `known` if there is no receipt.
pub async fn put(
    lake: &Lake,
    fresh: &Receipt,
    lines: &BTreeSet<usize>,
    known: Option<&Receipt>,
) -> Result<Put, LakeError> {
    if known.is_none() {
        // Nearly always there is still none: then nothing is read.
        let path = path(&fresh.object);
        let body = serde_json::to_vec(fresh).map_err(|error| LakeError::corrupt(&path, error))?;
        if let Created::New = create(&*lake.silver, &path, body.into()).await? {
            return Ok(Put { before: None, now: fresh.clone() });
        }
    }
    let mut put = Put { before: None, now: fresh.clone() };
    let merge = |there: Option<Receipt>| {
        put.before = there;
        put.now = put.before.as_ref().or(known).map_or_else(|| fresh.clone(), |there| there.with(fresh, lines));
        Some(put.now.clone())
    };
    change_in(&lake.silver, &fresh.object, merge).await?;
    Ok(put)
}

/// Changes the clean stage's receipt of a Bronze object, if it has one.
pub async fn change(lake: &Lake, object: &Path, mut change: impl FnMut(&mut Receipt) + Send) -> Result<(), LakeError> {
    let changed = |there: Option<Receipt>| {
        let mut receipt = there?;
        change(&mut receipt);
        receipt.count();
        Some(receipt)
    };
    change_in(&lake.silver, object.as_ref(), changed).await
}

/// The clean stage's receipt of a Bronze object, if it has one.
pub async fn get(lake: &Lake, object: &Path) -> Result<Option<Receipt>, LakeError> {
    get_from(&lake.silver, object.as_ref()).await
}

/// The Bronze objects that have a receipt of the clean stage, by name only.
pub async fn objects(lake: &Lake) -> Result<BTreeSet<String>, LakeError> {
    objects_in(&lake.silver, None).try_collect().await
}

/// The Bronze objects of a tick that have a receipt of the clean stage, one after the other.
pub fn objects_of(lake: &Lake, tick: Tick) -> impl Stream<Item = Result<String, LakeError>> + use<> {
    objects_in(&lake.silver, Some(tick))
}

/// All receipts of the clean stage, by object.
pub async fn all(lake: &Lake) -> Result<Vec<Receipt>, LakeError> {
    all_in(&lake.silver).await
}

/// Notes that this generation of the enrich plugin has seen these lines of a Bronze object, and whether the answers for each line are kept.
pub async fn note_enriched(
    lake: &Lake,
    object: &Path,
    generation: u32,
    lines: &BTreeMap<usize, bool>,
) -> Result<(), LakeError> {
    let noted = |there: Option<Enriched>| {
        let mut receipt = there.unwrap_or_else(|| Enriched::of(object));
        for (line, answered) in lines {
            if receipt.seen.get(line).is_some_and(|seen| *seen > generation) {
                continue;
            }
            receipt.seen.insert(*line, generation);
            if *answered {
                receipt.unanswered.remove(line);
            } else {
                receipt.unanswered.insert(*line);
            }
        }
        Some(receipt)
    };
    change_in(&lake.bronze, object.as_ref(), noted).await
}

/// The receipt of a second enrichment of a Bronze object, if there was one.
pub async fn enriched(lake: &Lake, object: &Path) -> Result<Option<Enriched>, LakeError> {
    get_from(&lake.bronze, object.as_ref()).await
}

/// The objects of a tick that have a receipt of a second enrichment, by name only.
///
/// # Errors
/// The store fails.
pub async fn enriched_in(lake: &Lake, tick: Tick) -> Result<BTreeSet<String>, LakeError> {
    objects_in(&lake.bronze, Some(tick)).try_collect().await
}
