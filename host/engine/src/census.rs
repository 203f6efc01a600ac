//! The census: every line of Bronze, and the one place where its record version is.
//!
//! Counted from a listing of Bronze, the clean stage's receipts and Silver's rows, never from events. Does not re-compute anything:
//! `verify` does.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::AsArray;
use futures::StreamExt;
use lake::bronze::{self, Inventory, Meta, Outcome};
use lake::failure::Failure;
use lake::quarantine::RefusedAt;
use lake::receipts::{self, Receipt};
use lake::silver::{KEY, ORD, SOURCE, Silver, Snapshot};
use lake::{Lake, LakeError};
use records::keys::{Key, Tick, order, rank, sha256};
use seams::store::{Path, read};
use serde::Serialize;

use crate::progress::Steps;

/// Where a record version is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Fate {
    /// Its row stands in Silver.
    Silver,
    /// It rightly makes no row.
    Skipped {
        /// The stage that said so.
        stage: RefusedAt,
        /// In the plugin's words.
        reason: String,
    },
    /// It was refused, and waits.
    Quarantined {
        /// Id of the refusal.
        id: String,
    },
    /// Another version of the record stands, or the same one enriched again.
    Superseded {
        /// Where that one comes from.
        by: String,
    },
    /// The clean stage has not seen it yet.
    Underway,
    /// It is in no place: the host is at fault, or something else has changed the lake.
    Lost,
}

impl Fate {
    /// The state's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Fate::Silver => "silver",
            Fate::Skipped { .. } => "skipped",
            Fate::Quarantined { .. } => "quarantined",
            Fate::Superseded { .. } => "superseded",
            Fate::Underway => "underway",
            Fate::Lost => "lost",
        }
    }

    /// Whether nothing more will happen by itself.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Fate::Underway | Fate::Lost)
    }
}

/// A line of Bronze: one version of one record.
#[derive(Clone, Debug, Serialize)]
pub struct RecordVersion {
    /// The record.
    pub key: Key,
    /// The tick that brought this version.
    pub seq: Tick,
    /// `run=…/batch=….jsonl:LINE`.
    pub source: String,
    /// Where it is.
    #[serde(flatten)]
    pub fate: Fate,
}

/// A line of Bronze less its document.
#[derive(Clone, Debug)]
pub struct Place {
    /// The object.
    pub object: Path,
    /// The line, from 1.
    pub line: usize,
    /// Where its document comes from.
    pub meta: Meta,
}

impl Place {
    /// `run=…/batch=….jsonl:LINE`.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{}:{}", self.object, self.line)
    }
}

/// A row that stands in Silver: its record and its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The record.
    pub key: Key,
    /// Its order.
    pub ord: String,
}

/// Everything that the census is taken from.
#[derive(Debug)]
pub struct Evidence {
    /// What is in Bronze, by name.
    pub inventory: Inventory,
    /// Every line.
    pub places: Vec<Place>,
    /// Receipts of the clean stage by object.
    pub receipts: HashMap<String, Receipt>,
    /// Silver as it was when read.
    pub snapshot: Snapshot,
    /// What stands in Silver, by source.
    pub standing: HashMap<String, Standing>,
    /// Digest of each object of Bronze that could be read.
    pub digests: BTreeMap<String, String>,
    /// What could not be read as what it should be: where, and why.
    pub damaged: Vec<(String, String)>,
}

impl Evidence {
    /// Reads all evidence, and goes on past damaged files. Reads Silver last, so that a record that arrives meanwhile counts as under way.
    pub async fn read(lake: &Lake, silver: &Silver, steps: &Steps) -> Result<Self, Failure> {
        let inventory = bronze::inventory(lake, None).await?;
        let mut damaged = Vec::new();
        steps.begin("reading bronze", inventory.objects.len());
        let reads: Vec<_> = inventory.objects.iter().map(|object| looked_at(lake, object, steps)).collect();
        let read: Vec<_> = futures::stream::iter(reads).buffered(16).collect().await;
        let (mut all, mut digests) = (Vec::new(), BTreeMap::new());
        for (object, looked) in inventory.objects.iter().zip(read) {
            if let Some((digest, places)) = tolerate(looked, &mut damaged)? {
                digests.insert(object.to_string(), digest);
                all.extend(places);
            }
        }
        let receipts = read_receipts(lake, &mut damaged).await?;
        let snapshot = silver.snapshot().await?;
        let standing = standing(silver, &snapshot, steps, &mut damaged).await?;
        Ok(Evidence { inventory, places: all, receipts, snapshot, standing, digests, damaged })
    }

    /// Where every line's record version is, in the order of the lines.
    #[must_use]
    pub fn fates(&self) -> Vec<Fate> {
        let current = newest(&self.places);
        let mut by_key: HashMap<&Key, (&str, &str)> = HashMap::new();
        for (source, standing) in &self.standing {
            by_key.insert(&standing.key, (&standing.ord, source));
        }
        let fate = |place: &Place| {
            let version = (&place.meta.key, place.meta.seq);
            match current.get(&version) {
                Some(newest) if newest.1 != place.source() => Fate::Superseded { by: newest.1.clone() },
                _ => self.fate(place, &by_key),
            }
        };
        self.places.iter().map(fate).collect()
    }

    fn fate(&self, place: &Place, by_key: &HashMap<&Key, (&str, &str)>) -> Fate {
        match &place.meta.outcome {
            Outcome::Skipped { reason } => {
                return Fate::Skipped { stage: RefusedAt::Enrich, reason: reason.clone() };
            }
            Outcome::Forgotten => {
                return Fate::Skipped { stage: RefusedAt::Enrich, reason: receipts::FORGOTTEN.to_owned() };
            }
            Outcome::Quarantined { id, .. } => return Fate::Quarantined { id: id.clone() },
            Outcome::Document => {}
        }
        let Some(receipt) = self.receipts.get(place.object.as_ref()) else { return Fate::Underway };
        if let Some(skip) = receipt.skipped.iter().find(|skip| skip.line == place.line) {
            return Fate::Skipped { stage: RefusedAt::Clean, reason: skip.reason.clone() };
        }
        if let Some(held) = receipt.quarantined.iter().find(|held| held.line == place.line) {
            return Fate::Quarantined { id: held.id.clone() };
        }
        let source = place.source();
        if self.standing.contains_key(&source) {
            return Fate::Silver;
        }
        let meta = &place.meta;
        let mine = order(meta.seq, meta.generation, receipt.generation_of(place.line));
        match by_key.get(&meta.key) {
            Some((ord, by)) if rank(ord, by) > rank(&mine, &source) => Fate::Superseded { by: (*by).to_owned() },
            _ => Fate::Lost,
        }
    }
}

/// The line that counts of each record version that was enriched again: the one that was enriched last. Holds only those versions: they are
/// few.
pub(crate) fn newest(places: &[Place]) -> HashMap<(&Key, Tick), (u32, String)> {
    let redone = places.iter().filter(|place| bronze::is_redo(&place.object));
    let redone: BTreeSet<(&Key, Tick)> = redone.map(|place| (&place.meta.key, place.meta.seq)).collect();
    let mut newest: HashMap<(&Key, Tick), (u32, String)> = HashMap::new();
    for place in places {
        let version = (&place.meta.key, place.meta.seq);
        if redone.contains(&version) {
            let here = (place.meta.generation, place.source());
            let standing = newest.entry(version).or_default();
            if *standing < here {
                *standing = here;
            }
        }
    }
    newest
}

/// The lines that another line of the same record version replaces.
pub fn beaten(places: &[Place]) -> HashSet<String> {
    let newest = newest(places);
    let lost = |place: &&Place| {
        let standing = newest.get(&(&place.meta.key, place.meta.seq));
        standing.is_some_and(|(_, source)| *source != place.source())
    };
    places.iter().filter(lost).map(Place::source).collect()
}

/// Every record version of the lake and where it is, ordered by tick, then place.
pub async fn census(lake: &Lake, silver: &Silver, steps: &Steps) -> Result<Vec<RecordVersion>, Failure> {
    let evidence = Evidence::read(lake, silver, steps).await?;
    if let Some((at, reason)) = evidence.damaged.first() {
        return Err(LakeError::corrupt(at, reason).into());
    }
    let fates = evidence.fates();
    let version = |(place, fate): (&Place, Fate)| RecordVersion {
        key: place.meta.key.clone(),
        seq: place.meta.seq,
        source: place.source(),
        fate,
    };
    Ok(evidence.places.iter().zip(fates).map(version).collect())
}

/// How many record versions are in each state.
#[must_use]
pub fn count<'a>(fates: impl IntoIterator<Item = &'a Fate>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for fate in fates {
        *counts.entry(fate.name()).or_default() += 1;
    }
    counts
}

pub(crate) async fn places(lake: &Lake, object: &Path, steps: &Steps) -> Result<Vec<Place>, LakeError> {
    looked_at(lake, object, steps).await.map(|(_, places)| places)
}

/// An object's digest and its lines.
async fn looked_at(lake: &Lake, object: &Path, steps: &Steps) -> Result<(String, Vec<Place>), LakeError> {
    let bytes = read(&*lake.bronze, object).await?;
    let lines = bronze::lines(object, &bytes)?;
    steps.step(1);
    let places = lines.into_iter().zip(1..);
    let places = places.map(|(line, number)| Place { object: object.clone(), line: number, meta: line.meta });
    Ok((sha256(&bytes), places.collect()))
}

/// What was read, or a note of the damage.
fn tolerate<T>(result: Result<T, LakeError>, damaged: &mut Vec<(String, String)>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(LakeError::Corrupt { path, reason }) => {
            damaged.push((path, reason));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn read_receipts(lake: &Lake, damaged: &mut Vec<(String, String)>) -> Result<HashMap<String, Receipt>, Failure> {
    let objects: Vec<Path> = receipts::objects(lake).await?.into_iter().map(Path::from).collect();
    let reads: Vec<_> = objects.iter().map(|object| receipts::get(lake, object)).collect();
    let read: Vec<_> = futures::stream::iter(reads).buffered(16).collect().await;
    let mut all = HashMap::new();
    for receipt in read {
        let receipt = tolerate(receipt, damaged)?.flatten();
        all.extend(receipt.map(|receipt| (receipt.object.clone(), receipt)));
    }
    Ok(all)
}

async fn standing(
    silver: &Silver,
    snapshot: &Snapshot,
    steps: &Steps,
    damaged: &mut Vec<(String, String)>,
) -> Result<HashMap<String, Standing>, Failure> {
    steps.begin("reading silver", snapshot.buckets.len());
    let mut standing = HashMap::new();
    for bucket in snapshot.buckets.keys() {
        steps.step(1);
        let batches = match silver.read(snapshot, *bucket, Some(&[KEY, ORD, SOURCE])).await {
            Ok(batches) => batches,
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                damaged.push((format!("silver bucket {bucket}"), error.to_string()));
                continue;
            }
        };
        for batch in batches {
            let text = |index: usize| batch.column(index).as_string::<i32>();
            let (keys, ords, sources) = (text(0), text(1), text(2));
            for row in 0..batch.num_rows() {
                let (key, ord) = (Key::from_text(keys.value(row)), ords.value(row).to_owned());
                standing.insert(sources.value(row).to_owned(), Standing { key, ord });
            }
        }
    }
    Ok(standing)
}
