//! Erasure: one record goes from every layer, from kept answers, from old versions, and from the files of dead writers.
//!
//! Nothing else changes what was written once. Does not stop the source from bringing the record again, and does not reach into
//! copies that others have made. What cannot go now is reported, with the time when it can.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine::census::Place;
use engine::drivers::service::Service;
use engine::drivers::sweep::{everything, is_empty};
use engine::progress::Steps;
use engine::roles::aggregate::{Came, told};
use engine::roles::breaker;
use futures::TryStreamExt;
use lake::answers::{self, AnswerAt};
use lake::bronze::{self, Inventory, Message, Meta, Outcome};
use lake::chain::Why;
use lake::failure::Failure;
use lake::receipts::{self, FORGOTTEN, Receipt, Skip};
use lake::silver::Silver;
use lake::{Lake, open, quarantine, waiting};
use records::keys::{Key, Record, Tick, sha256};
use seams::store::{Path, delete_if_there, read, replace};
use serde::Serialize;

use crate::explain::lines_of;

mod mentions;
mod notes;
mod tables;

pub use tables::removed_tables;

/// What was removed, and what could not be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Forgotten {
    /// The record.
    pub key: Key,
    /// Lines of Bronze, each replaced by an empty one.
    pub lines: Vec<String>,
    /// Records in what ticks took from the source.
    pub snapshots: usize,
    /// Kept answers. Also those that no line names: nothing says which record they were for.
    pub answers: usize,
    /// Refusals.
    pub refusals: usize,
    /// Rows of Silver.
    pub rows: usize,
    /// Gold tables that differ without it.
    pub tables: usize,
    /// Data files of old versions.
    pub old_files: usize,
    /// Entries of tables' logs.
    pub old_log_entries: usize,
    /// Data files that no version names: killed writers have left them.
    pub strays: usize,
    /// Gold tables that the pipeline file no longer names. They cannot be made without the record, so they were deleted whole.
    pub removed_tables: Vec<String>,
    /// Notes of suspensions and swaps that mentioned it.
    pub notes: usize,
    /// Answers that other records were made from as well, each with one such record. They stay.
    pub shared_answers: BTreeMap<String, Key>,
    /// What may still hold it.
    pub remains: Vec<Remains>,
}

/// Something that could not be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remains {
    /// The thing.
    pub what: String,
    /// Why it stays.
    pub why: String,
    /// When it goes.
    pub until: String,
}

impl Forgotten {
    /// Whether the lake held nothing of it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.lines.is_empty() && self.snapshots + self.refusals + self.rows + self.strays == 0
    }

    /// Whether nothing of it is left.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.remains.is_empty() && self.shared_answers.is_empty()
    }
}

/// Whether the lake holds anything of a record: a line of Bronze, a row, a refusal, or an entry in what a tick took.
pub async fn is_there(service: &Service, key: &Key, steps: &Steps) -> Result<bool, Failure> {
    let lake = &service.enrich.lake;
    if service.clean.silver.find(key.as_str()).await?.num_rows() > 0 || !lines_of(lake, key, steps).await?.is_empty() {
        return Ok(true);
    }
    if quarantine::all(lake).await?.iter().any(|refused| mentions::refused(refused, key)) {
        return Ok(true);
    }
    let inventory = bronze::inventory(lake, None).await?;
    let messages = bronze::snapshots(lake, &inventory).await?;
    if messages.iter().flat_map(|message| &message.entries).any(|entry| entry.key == *key) {
        return Ok(true);
    }
    Ok(!service.clean.silver.strays_with(key.as_str()).await?.is_empty())
}

/// Erases a record. If interrupted, call it again: the evidence that there is something to erase goes last. No other process may work on
/// the lake meanwhile: files that no version names are deleted at once, because no writer is left that could commit them.
///
/// # Errors
/// [`Failure::Fatal`] while records are under way: what a queue carries cannot be erased.
pub async fn forget(service: &Service, key: &Key, steps: &Steps) -> Result<Forgotten, Failure> {
    nothing_is_under_way(service).await?;
    let lake = &service.enrich.lake;
    let places = lines_of(lake, key, steps).await?;
    let mut done = Forgotten { key: key.clone(), ..Forgotten::default() };
    refusals(lake, key, &mut done).await?;
    for layer in [&lake.bronze, &lake.silver, &lake.gold] {
        breaker::forget(layer, key).await?;
    }
    waiting::forget(lake, key.as_str()).await?;
    done.strays = service.clean.silver.strays_with(key.as_str()).await?.len();
    done.rows = service.clean.silver.erase(key.as_str()).await?;
    let inventory = bronze::inventory(lake, None).await?;
    let taken = snapshots_with(lake, key, &inventory, &mut done).await?;
    if places.is_empty() && done.is_nothing() {
        return Ok(done);
    }
    kept_answers(lake, key, &places, &inventory, steps, &mut done).await?;
    service.enrich.answers.clear();
    done.notes = notes::forget(lake, key).await?;
    done.tables = gold(service, &mut done.remains).await?;
    past(service, key, &mut done).await?;
    done.removed_tables = tables::wipe_removed(service).await?;
    message_bodies(lake, key).await?;
    let ticks: BTreeSet<Tick> = places.iter().map(|place| place.meta.seq).collect();
    let opening = open::begin(lake, ticks, service.clock.now()).await?;
    lines(lake, &service.clean.silver, &places, &mut done).await?;
    opening.settle(lake, service.clock.now()).await?;
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
    if service.clean.silver.snapshot().await?.rebuilding {
        let hint = "hint: `sluicebox replay --rebuild` goes on with it";
        return Err(Failure::Fatal(format!("silver is being rebuilt, and gold stays as it is until then\n{hint}")));
    }
    let mut missing = everything(service).await?;
    // Tables are made here, also those that an interrupted erasure has left.
    missing.tables = 0;
    if missing.is_nothing() {
        return Ok(());
    }
    Err(Failure::Fatal(format!("work is left: {missing}\nhint: `sluicebox run --once` works it off")))
}

async fn refusals(lake: &Lake, key: &Key, done: &mut Forgotten) -> Result<(), Failure> {
    let refused = quarantine::all(lake).await?;
    let ids: Vec<String> = refused.into_iter().filter(|one| mentions::refused(one, key)).map(|one| one.id).collect();
    quarantine::resolve(lake, &ids).await?;
    done.refusals = ids.len();
    Ok(())
}

/// Answers that only this record was made from, and answers that no line names: those of a message that was given up. A record that needs
/// one of these again asks again.
async fn kept_answers(
    lake: &Lake,
    key: &Key,
    places: &[Place],
    inventory: &Inventory,
    steps: &Steps,
    done: &mut Forgotten,
) -> Result<(), Failure> {
    let own: BTreeSet<&String> = places.iter().flat_map(|place| &place.meta.answers).collect();
    let mut others: BTreeMap<String, Key> = BTreeMap::new();
    steps.begin("searching other records' answers", inventory.objects.len());
    for object in &inventory.objects {
        steps.step(1);
        let bytes = read(&*lake.bronze, object).await?;
        for line in bronze::lines(object, &bytes)?.into_iter().filter(|line| line.meta.key != *key) {
            others.extend(line.meta.answers.iter().map(|id| (id.clone(), line.meta.key.clone())));
        }
    }
    let named = |at: &AnswerAt| others.contains_key(&at.to_string());
    for object in answers::objects(lake).await? {
        done.answers += answers::retain(lake, &object, named).await?;
    }
    // The index of answers names requests by their digests, which can be guessed.
    answers::drop_indexes(lake).await?;
    others.retain(|id, _| own.contains(id));
    done.shared_answers = others;
    Ok(())
}

/// Makes Gold without the record; returns how many tables differ. A table whose plugin fails may still hold it.
async fn gold(service: &Service, remains: &mut Vec<Remains>) -> Result<usize, Failure> {
    let before = rows(service).await?;
    for (table, came) in service.aggregate.each(&[]).await? {
        let why = match came {
            Ok(Came::Made) => continue,
            Ok(Came::Behind(note)) => told(&note),
            Err(Failure::Plugin(reason)) => reason,
            Err(failure) => return Err(failure),
        };
        remains.push(Remains {
            what: format!("gold table `{table}`"),
            why: why.lines().next().unwrap_or_default().to_owned(),
            until: format!(
                "when the table is made again: mend its plugin and run `sluicebox forget` again; or take `{table}` out of the pipeline \
                 file, and `sluicebox forget` deletes it"
            ),
        });
    }
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

/// Replaces each with an empty line, and changes the receipts to match.
async fn lines(lake: &Lake, silver: &Silver, places: &[Place], done: &mut Forgotten) -> Result<(), Failure> {
    let mut by_object: BTreeMap<&Path, BTreeSet<usize>> = BTreeMap::new();
    for place in places {
        by_object.entry(&place.object).or_default().insert(place.line);
        done.lines.push(place.source());
    }
    let (mut bodies, mut listed) = (Vec::new(), BTreeMap::new());
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
        let sha256 = sha256(&body);
        listed.insert(object.to_string(), Some(sha256.clone()));
        bodies.push((object, numbers, Bytes::from(body), sha256));
    }
    // The chain before the objects: if the process dies in between, `verify` reports it, and the erasure is run again.
    silver.list_objects(Why::Forgotten, &listed).await?;
    for (object, numbers, body, sha256) in bodies {
        // The receipt first: its reason may quote the record. If the line outlives it, the receipt only says that the line
        // made no row, which is true by now.
        let emptied = |receipt: &mut Receipt| {
            receipt.skipped.retain(|skip| !numbers.contains(&skip.line));
            receipt.quarantined.retain(|held| !numbers.contains(&held.line));
            receipt.superseded.retain(|line| !numbers.contains(line));
            receipt.sha256 = Some(sha256.clone());
            receipt.skipped.extend(numbers.iter().map(|line| Skip { line: *line, reason: FORGOTTEN.to_owned() }));
        };
        receipts::change(lake, object, emptied).await?;
        replace(&*lake.bronze, object, body).await?;
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

/// What ticks took, where it holds the record, and the same without it.
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

/// Messages that went through the store. All are done, so their bodies are not needed any more.
async fn message_bodies(lake: &Lake, key: &Key) -> Result<(), Failure> {
    let needle = serde_json::to_vec(key).unwrap_or_default();
    for tick in bronze::ticks(lake).await? {
        let objects: Vec<_> = lake.bronze.list(Some(&Path::from(format!("run={tick}")))).try_collect().await?;
        for object in objects {
            if !object.location.filename().is_some_and(|name| name.starts_with("_message-")) {
                continue;
            }
            let body = read(&*lake.bronze, &object.location).await?;
            if memchr::memmem::find(&body, &needle).is_some() {
                delete_if_there(&*lake.bronze, &object.location).await?;
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

/// Old versions of the tables, and files that no version names: those of Silver that hold the record, and all of Gold, since a sum does not say
/// which records are in it.
async fn past(service: &Service, key: &Key, done: &mut Forgotten) -> Result<(), Failure> {
    let mut tidied = service.clean.silver.drop_past().await?;
    done.strays = service.clean.silver.erase_strays(key.as_str()).await?;
    tidied += service.clean.silver.tidy(std::time::Duration::ZERO).await?;
    for table in &service.aggregate.tables {
        tidied += table.gold.drop_past().await?;
        done.strays += table.gold.drop_strays().await?;
    }
    done.old_files = tidied.files;
    done.old_log_entries = tidied.log_entries;
    Ok(())
}
