//! V1 and V2: each line of Bronze in one place, each message of a tick in Bronze once, no key twice in Silver.
//!
//! Does not run a plugin.

use std::collections::{BTreeMap, HashMap};

use engine::census::{Fate, Place};
use lake::bronze::{self, Entry, Message, Outcome};
use lake::failure::Failure;
use lake::silver::{KEY, SOURCE, bucket_of};
use records::keys::Key;
use seams::store::Path;

use super::{Checker, Invariant};

impl Checker<'_> {
    /// V1 and V2.
    pub(super) async fn records(&mut self) -> Result<(), Failure> {
        self.conserved();
        self.rows_come_from_bronze();
        self.messages().await?;
        self.keys().await
    }

    fn conserved(&mut self) {
        self.report.checked(Invariant::V1, self.evidence.places.len());
        for (place, fate) in self.evidence.places.iter().zip(&self.fates) {
            let source = place.source();
            let stands = self.evidence.standing.contains_key(&source);
            let at = format!("{} ({source})", place.meta.key);
            match fate {
                Fate::Lost => self.report.find(
                    Invariant::V1,
                    at,
                    "it was cleaned, and neither its row nor a later version's stands in silver",
                ),
                Fate::Quarantined { id } if !self.refused.contains_key(id) => {
                    self.report.find(Invariant::V1, at, format!("it was quarantined as `{id}`, which is not there"));
                }
                Fate::Skipped { .. } | Fate::Quarantined { .. } | Fate::Superseded { .. } if stands => {
                    self.report.find(Invariant::V1, at, format!("it is {}, and its row stands in silver", fate.name()));
                }
                _ => {}
            }
        }
    }

    fn rows_come_from_bronze(&mut self) {
        let sources: HashMap<String, &Place> =
            self.evidence.places.iter().map(|place| (place.source(), place)).collect();
        for (source, standing) in &self.evidence.standing {
            let message = match sources.get(source) {
                None => format!("its row in silver comes from `{source}`, which is not in bronze"),
                Some(place) if place.meta.key != standing.key => {
                    format!("its row in silver comes from `{source}`, which is record `{}`", place.meta.key)
                }
                Some(_) => continue,
            };
            self.report.find(Invariant::V1, &standing.key, message);
        }
    }

    /// Every message that a tick queued has one object, which holds its records and no others.
    async fn messages(&mut self) -> Result<(), Failure> {
        let mut objects: BTreeMap<&Path, Vec<&Place>> = BTreeMap::new();
        for place in &self.evidence.places {
            objects.entry(&place.object).or_default().push(place);
        }
        let mut taken: BTreeMap<Path, Message> = BTreeMap::new();
        for snapshot in &self.evidence.inventory.snapshots {
            match bronze::read_snapshot(&self.service.enrich.lake, snapshot).await {
                Ok(messages) => taken.extend(messages.into_iter().map(|message| (message.object(), message))),
                Err(lake::LakeError::Corrupt { path, reason }) => {
                    self.report.find(Invariant::V6, path, reason);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.report.checked(Invariant::V2, objects.len());
        for (object, places) in &objects {
            if bronze::is_redo(object) {
                continue;
            }
            match taken.get(object) {
                None => {
                    self.report.find(Invariant::V1, object, "no tick has taken these records: no snapshot names it")
                }
                Some(message) => {
                    let keys = places.iter().map(|place| &place.meta.key);
                    if !keys.eq(message.entries.iter().map(|entry| &entry.key)) {
                        let message = format!(
                            "it has {} lines, the message has {} records, or others",
                            places.len(),
                            message.entries.len()
                        );
                        self.report.find(Invariant::V1, object, message);
                    }
                }
            }
            if let Some(named) = misnamed(&self.service.pipeline, object, places) {
                let message = format!("its name does not belong to its records: they are message `{named}`");
                self.report.find(Invariant::V2, object, message);
            }
        }
        Ok(())
    }

    async fn keys(&mut self) -> Result<(), Failure> {
        let silver = &self.service.clean.silver;
        let mut seen: HashMap<Key, String> = HashMap::new();
        for bucket in self.evidence.snapshot.buckets.keys() {
            let Ok(batches) = silver.read(&self.evidence.snapshot, *bucket, Some(&[KEY, SOURCE])).await else {
                continue;
            };
            for batch in batches {
                use arrow::array::AsArray;
                let (keys, sources) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
                for row in 0..batch.num_rows() {
                    let (key, source) = (Key::from_text(keys.value(row)), sources.value(row));
                    if bucket_of(key.as_str(), silver.buckets()) != *bucket {
                        self.report.find(
                            Invariant::V2,
                            &key,
                            format!("it stands in bucket {bucket}, where it does not belong"),
                        );
                    }
                    // A document may yield several rows: they have one source.
                    match seen.get(&key) {
                        Some(first) if first != source => {
                            let message = format!("it stands in silver twice: from `{first}` and from `{source}`");
                            self.report.find(Invariant::V2, &key, message);
                        }
                        Some(_) => {}
                        None => {
                            seen.insert(key, source.to_owned());
                        }
                    }
                }
            }
        }
        self.report.checked(Invariant::V2, seen.len());
        Ok(())
    }
}

/// The id computed from an object's records, if it differs from the one in the object's name.
fn misnamed(pipeline: &str, object: &Path, places: &[&Place]) -> Option<String> {
    let tick = bronze::tick_of(object)?;
    let (batch, id) = object.filename()?.strip_prefix("batch=")?.strip_suffix(".jsonl")?.split_once('-')?;
    if places.iter().any(|place| place.meta.outcome == Outcome::Forgotten) {
        return None;
    }
    let entry = |place: &&Place| Entry { key: place.meta.key.clone(), record: place.meta.record.clone() };
    let message = Message::new(pipeline, tick, batch.parse().ok()?, places.iter().map(entry).collect());
    (message.id != id).then_some(message.id)
}
