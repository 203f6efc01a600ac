//! Erasure: one record goes from every layer, from what is kept of services, and from old versions.
//!
//! The one thing that changes what was written once. Does not stop the source from bringing the record again, and does not reach into
//! copies that others have made.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::TryStreamExt;
use serde::Serialize;

use crate::census::Place;
use crate::drivers::service::Service;
use crate::drivers::sweep::{is_empty, sweep};
use crate::explain::lines_of;
use crate::failure::Failure;
use crate::lake::answers::{self, AnswerId};
use crate::lake::bronze::{self, Inventory, Message, Meta, Outcome};
use crate::lake::keys::{Key, Record};
use crate::lake::receipts::{self, FORGOTTEN, Receipt, Skip};
use crate::lake::{Lake, quarantine};
use crate::progress::Steps;
use crate::roles::breaker;
use crate::seams::store::{ObjectStoreExt, Path, StoreError, read, replace};

/// What was removed, and what could not be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Forgotten {
    /// The record.
    pub key: Key,
    /// Lines of Bronze, each replaced by one that says nothing.
    pub lines: Vec<String>,
    /// Records in what ticks took from the source.
    pub snapshots: usize,
    /// Kept answers.
    pub answers: usize,
    /// Refusals.
    pub refusals: usize,
    /// Rows of Silver.
    pub rows: usize,
    /// Gold tables that are another without it.
    pub tables: usize,
    /// Data files of old versions.
    pub old_files: usize,
    /// Entries of tables' logs.
    pub old_log_entries: usize,
    /// Answers that other records were made from as well, with one of those: they stay.
    pub shared_answers: BTreeMap<String, Key>,
}

impl Forgotten {
    /// Whether the lake held nothing of it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.lines.is_empty() && self.snapshots + self.refusals + self.rows == 0
    }
}

/// Whether the lake holds anything of a record: a line of Bronze, a row, a refusal, or a place in what a tick took.
pub async fn is_there(service: &Service, key: &Key, steps: &Steps) -> Result<bool, Failure> {
    let lake = &service.enrich.lake;
    if service.clean.silver.find(key.as_str()).await?.num_rows() > 0 || !lines_of(lake, key, steps).await?.is_empty() {
        return Ok(true);
    }
    if quarantine::all(lake).await?.iter().any(|refused| refused.key.as_ref() == Some(key)) {
        return Ok(true);
    }
    let inventory = bronze::inventory(lake, None).await?;
    let messages = bronze::snapshots(lake, &inventory).await?;
    Ok(messages.iter().flat_map(|message| &message.entries).any(|entry| entry.key == *key))
}

/// Erases a record. Interrupted, it is to be called again: what tells that there was something to erase goes last.
///
/// # Errors
/// [`Failure::Fatal`] while records are under way: what a queue carries cannot be erased.
pub async fn forget(service: &Service, key: &Key, steps: &Steps) -> Result<Forgotten, Failure> {
    nothing_is_under_way(service).await?;
    let lake = &service.enrich.lake;
    let places = lines_of(lake, key, steps).await?;
    let mut done = Forgotten { key: key.clone(), ..Forgotten::default() };
    refusals(lake, key, &mut done).await?;
    kept_answers(lake, key, &places, steps, &mut done).await?;
    for layer in [&lake.bronze, &lake.silver] {
        breaker::forget(layer, key).await?;
    }
    done.rows = service.clean.silver.erase(key.as_str()).await?;
    let inventory = bronze::inventory(lake, None).await?;
    let taken = snapshots_with(lake, key, &inventory, &mut done).await?;
    if places.is_empty() && done.is_nothing() {
        return Ok(done);
    }
    done.tables = gold(service).await?;
    past(service, &mut done).await?;
    message_bodies(lake, key, &inventory).await?;
    lines(lake, &places, &mut done).await?;
    for (path, messages) in taken {
        replace(&*lake.bronze, &path, bronze::snapshot_body(&messages)).await?;
    }
    Ok(done)
}

async fn nothing_is_under_way(service: &Service) -> Result<(), Failure> {
    for (stage, queue) in service.queues.all() {
        if !is_empty(queue).await? {
            let hint = "hint: `sluicebox run --once` works it off";
            return Err(Failure::Fatal(format!(
                "the queue of {stage} is not empty: its messages may hold the record\n{hint}"
            )));
        }
    }
    let missing = sweep(service, false).await?;
    if missing.is_nothing() {
        return Ok(());
    }
    Err(Failure::Fatal(format!("work is left: {missing}\nhint: `sluicebox run --once` works it off")))
}

async fn refusals(lake: &Lake, key: &Key, done: &mut Forgotten) -> Result<(), Failure> {
    let refused = quarantine::all(lake).await?;
    let ids: Vec<String> = refused.into_iter().filter(|one| one.key.as_ref() == Some(key)).map(|one| one.id).collect();
    quarantine::resolve(lake, &ids).await?;
    done.refusals = ids.len();
    Ok(())
}

/// Answers that only this record was made from.
async fn kept_answers(
    lake: &Lake,
    key: &Key,
    places: &[Place],
    steps: &Steps,
    done: &mut Forgotten,
) -> Result<(), Failure> {
    let own: BTreeSet<&String> = places.iter().flat_map(|place| &place.meta.answers).collect();
    let objects = if own.is_empty() { Vec::new() } else { bronze::inventory(lake, None).await?.objects };
    steps.begin("searching other records' answers", objects.len());
    for object in objects {
        steps.step(1);
        let bytes = read(&*lake.bronze, &object).await?;
        for line in bronze::lines(&object, &bytes)? {
            if line.meta.key != *key {
                let shared = line.meta.answers.iter().filter(|id| own.contains(id));
                done.shared_answers.extend(shared.map(|id| (id.clone(), line.meta.key.clone())));
            }
        }
    }
    for id in own {
        if !done.shared_answers.contains_key(id) {
            answers::forget(lake, &AnswerId::from_text(id)).await?;
            done.answers += 1;
        }
    }
    Ok(())
}

/// Makes Gold without the record; how many tables are another.
async fn gold(service: &Service) -> Result<usize, Failure> {
    let before = rows(service).await?;
    service.aggregate.versions(&[]).await?;
    let after = rows(service).await?;
    Ok(before.iter().zip(&after).filter(|(before, after)| before != after).count())
}

async fn rows(service: &Service) -> Result<Vec<Option<arrow::array::RecordBatch>>, Failure> {
    let mut all = Vec::new();
    for table in &service.aggregate.tables {
        all.push(table.gold.current().await?);
    }
    Ok(all)
}

/// Puts an empty line in the place of each, and has the receipts say so.
async fn lines(lake: &Lake, places: &[Place], done: &mut Forgotten) -> Result<(), Failure> {
    let mut by_object: BTreeMap<&Path, BTreeSet<usize>> = BTreeMap::new();
    for place in places {
        by_object.entry(&place.object).or_default().insert(place.line);
        done.lines.push(place.source());
    }
    for (object, numbers) in by_object {
        let bytes = read(&*lake.bronze, object).await?;
        let mut body = Vec::new();
        for (number, line) in (1..).zip(bronze::lines(object, &bytes)?) {
            if numbers.contains(&number) {
                body.extend(bronze::line(None, &emptied(&line.meta)));
            } else {
                body.extend_from_slice(&line.text);
                body.push(b'\n');
            }
        }
        // The receipt first: it may tell a reason in the record's words, and it says nothing of a line that is still there but that it
        // made no row, which is true by now.
        let emptied = |receipt: &mut Receipt| {
            receipt.skipped.retain(|skip| !numbers.contains(&skip.line));
            receipt.quarantined.retain(|held| !numbers.contains(&held.line));
            receipt.superseded.retain(|line| !numbers.contains(line));
            receipt.skipped.extend(numbers.iter().map(|line| Skip { line: *line, reason: FORGOTTEN.to_owned() }));
        };
        receipts::change(lake, object, emptied).await?;
        replace(&*lake.bronze, object, Bytes::from(body)).await?;
    }
    Ok(())
}

/// What is left of a line.
fn emptied(meta: &Meta) -> Meta {
    Meta {
        key: Key::forgotten(),
        seq: meta.seq,
        outcome: Outcome::Forgotten,
        record: Record::new(),
        answers: Vec::new(),
        unkept: Vec::new(),
        plugin: meta.plugin.clone(),
        generation: meta.generation,
    }
}

/// What ticks took, as far as the record is in it, as it shall be without.
async fn snapshots_with(
    lake: &Lake,
    key: &Key,
    inventory: &Inventory,
    done: &mut Forgotten,
) -> Result<Vec<(Path, Vec<Message>)>, Failure> {
    let mut taken = Vec::new();
    for path in &inventory.snapshots {
        let mut messages = bronze::read_snapshot(lake, path).await?;
        let found = messages.iter_mut().map(|message| empty_entries(message, key)).sum::<usize>();
        if found > 0 {
            done.snapshots += found;
            taken.push((path.clone(), messages));
        }
    }
    Ok(taken)
}

/// Messages that went through the store. All of them are done, so their bodies are of no use any more.
async fn message_bodies(lake: &Lake, key: &Key, inventory: &Inventory) -> Result<(), Failure> {
    let needle = serde_json::to_vec(key).unwrap_or_default();
    let runs: BTreeSet<String> =
        inventory.snapshots.iter().filter_map(|path| path.parts().next()).map(|run| run.as_ref().to_owned()).collect();
    for run in runs {
        let objects: Vec<_> = lake.bronze.list(Some(&Path::from(run.as_str()))).try_collect().await?;
        for object in objects {
            if !object.location.filename().is_some_and(|name| name.starts_with("_message-")) {
                continue;
            }
            let body = read(&*lake.bronze, &object.location).await?;
            if memchr::memmem::find(&body, &needle).is_some() {
                match lake.bronze.delete(&object.location).await {
                    Ok(()) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(())
}

fn empty_entries(message: &mut Message, key: &Key) -> usize {
    let mut found = 0;
    for entry in message.entries.iter_mut().filter(|entry| entry.key == *key) {
        entry.key = Key::forgotten();
        entry.record = Record::new();
        found += 1;
    }
    found
}

/// Old versions of the tables.
async fn past(service: &Service, done: &mut Forgotten) -> Result<(), Failure> {
    let mut tidied = service.clean.silver.drop_past().await?;
    tidied += service.clean.silver.tidy(std::time::Duration::ZERO).await?;
    for table in &service.aggregate.tables {
        tidied += table.gold.drop_past().await?;
        tidied += table.gold.tidy(std::time::Duration::ZERO).await?;
    }
    done.old_files = tidied.files;
    done.old_log_entries = tidied.log_entries;
    Ok(())
}
