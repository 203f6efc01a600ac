//! Repair: unreadable lines of Bronze are moved into quarantine with their text, so that everything else works again.
//!
//! Changes only objects that cannot be read, and only lines in them that cannot. Does not guess a record from unreadable text: the
//! record comes from the line itself or from what its tick took.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use bytes::Bytes;
use engine::drivers::service::Service;
use engine::progress::Steps;
use lake::bronze::{self, Meta, Outcome};
use lake::chain::Why;
use lake::events::{NewObject, encode};
use lake::failure::Failure;
use lake::generations::Generations;
use lake::quarantine::{self, REFUSED_LINE, Refused, RefusedAt, SourceLine};
use lake::receipts::{self, Held, Receipt};
use lake::silver::{RowMeta, Versions};
use lake::{Lake, LakeError, open, retracted, sweeping};
use records::keys::{Key, Tick, order, sha256};
use records::record::Record;
use seams::store::{Path, read, replace};
use serde::Serialize;

/// A generation later than every other, so that any rows of a line are removed.
const BEHIND_ALL: u32 = 999_999;
/// Most bytes of an unreadable line that are kept in quarantine.
const MOST_TEXT: usize = 64 << 10;

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The object.
    pub object: String,
    /// The line, from 1.
    pub line: usize,
    /// The record's key, if it is known.
    pub key: Option<Key>,
    /// Why it cannot be read.
    pub reason: String,
    /// The text of the line.
    pub text: String,
    /// Id of its refusal, once it is in quarantine.
    pub id: String,
}

/// What was found, and what remains.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Repaired {
    /// Objects that were looked at.
    pub objects: usize,
    /// Lines that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Other objects of Bronze that cannot be read, and why: these are not repaired.
    pub other: Vec<(String, String)>,
}

impl Repaired {
    /// Whether everything can be read.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.unreadable.is_empty() && self.other.is_empty()
    }
}

/// Finds what cannot be read. If `mend`, moves it into quarantine and has the objects processed again. If interrupted, call it
/// again: a line is in quarantine before its object is changed.
pub async fn repair(service: &Service, mend: bool, steps: &Steps) -> Result<Repaired, Failure> {
    let lake = &service.enrich.lake;
    if mend {
        // Other things may have changed too: the next sweep checks every tick.
        sweeping::forget_marks(lake).await?;
    }
    let inventory = bronze::inventory(lake, None).await?;
    let mut found = Repaired { objects: inventory.objects.len(), ..Repaired::default() };
    for snapshot in &inventory.snapshots {
        match bronze::read_snapshot(lake, snapshot).await {
            Err(LakeError::Corrupt { path, reason }) => found.other.push((path, reason)),
            other => drop(other?),
        }
    }
    steps.begin("reading bronze", inventory.objects.len());
    for object in &inventory.objects {
        steps.step(1);
        let bytes = read(&*lake.bronze, object).await?;
        if bronze::lines(object, &bytes).is_ok() {
            continue;
        }
        let lines = look(service, object, &bytes, &inventory.snapshots).await?;
        if mend {
            rewrite(service, object, &lines).await?;
        }
        found.unreadable.extend(lines.into_iter().filter_map(|line| line.unreadable));
    }
    Ok(found)
}

/// A line of an object that is not whole.
struct Line {
    text: Bytes,
    meta: Meta,
    unreadable: Option<Unreadable>,
}

async fn look(service: &Service, object: &Path, bytes: &Bytes, snapshots: &[Path]) -> Result<Vec<Line>, Failure> {
    let taken = taken(&service.enrich.lake, object, snapshots).await?;
    let mut texts: Vec<Bytes> = Vec::new();
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', &rest).unwrap_or(rest.len());
        texts.push(rest.slice(..end));
        rest = rest.slice((end + 1).min(rest.len())..);
    }
    // Lines that are missing at the end of an object that was cut off.
    texts.resize(texts.len().max(taken.len()).max(1), Bytes::new());
    let Some(tick) = bronze::tick_of(object) else { return Ok(Vec::new()) };
    let line = |(text, number): (Bytes, usize)| match bronze::meta_of(&text) {
        Ok(meta) => Line { text, meta, unreadable: None },
        Err(error) => unreadable(object, number, text, tick, taken.get(number - 1), &error.to_string()),
    };
    Ok(texts.into_iter().zip(1..).map(line).collect())
}

/// The records that the tick took and that became this object.
async fn taken(lake: &Lake, object: &Path, snapshots: &[Path]) -> Result<Vec<bronze::Entry>, Failure> {
    let folder = object.as_ref().split('/').next().unwrap_or_default();
    for snapshot in snapshots.iter().filter(|path| path.as_ref().split('/').next() == Some(folder)) {
        let Ok(messages) = bronze::read_snapshot(lake, snapshot).await else { continue };
        if let Some(message) = messages.into_iter().find(|message| message.object() == *object) {
            return Ok(message.entries);
        }
    }
    Ok(Vec::new())
}

fn unreadable(
    object: &Path,
    number: usize,
    text: Bytes,
    tick: Tick,
    taken: Option<&bronze::Entry>,
    reason: &str,
) -> Line {
    let input = format!("{object}:{number}");
    let said = last_meta(&text);
    let generation = said.as_ref().map_or(0, |meta| meta.generation);
    let id = Refused::id_of(RefusedAt::Enrich, &input, generation);
    let outcome = Outcome::Quarantined { id: id.clone(), reason: format!("the line could not be read: {reason}") };
    let known = said.is_some() || taken.is_some();
    let meta = match said {
        Some(meta) => Meta { outcome, seq: tick, ..meta },
        None => Meta {
            key: taken.map_or_else(Key::unreadable, |entry| entry.key.clone()),
            seq: tick,
            outcome,
            record: taken.map_or_else(Record::new, |entry| entry.record.clone()),
            answers: Vec::new(),
            unkept: Vec::new(),
            plugin: None,
            generation,
        },
    };
    let kept = text.get(..text.len().min(MOST_TEXT)).unwrap_or_default();
    let found = Unreadable {
        object: object.to_string(),
        line: number,
        key: known.then(|| meta.key.clone()),
        reason: reason.to_owned(),
        text: String::from_utf8_lossy(kept).into_owned(),
        id,
    };
    Line { text, meta, unreadable: Some(found) }
}

/// The host's own `_meta`, which comes last, in a line whose document has a `_meta` too.
fn last_meta(line: &[u8]) -> Option<Meta> {
    let at = memchr::memmem::rfind_iter(line, b"\"_meta\":");
    // From the last one to the end, without the line's closing bracket.
    at.filter_map(|at| line.get(at + b"\"_meta\":".len()..)?.trim_ascii_end().strip_suffix(b"}"))
        .find_map(|text| serde_json::from_slice(text).ok())
}

async fn rewrite(service: &Service, object: &Path, lines: &[Line]) -> Result<(), Failure> {
    let lake = &service.enrich.lake;
    let mut body = Vec::new();
    for line in lines {
        match &line.unreadable {
            Some(found) => {
                quarantine::put(lake, &refused(found, &line.meta)).await?;
                body.extend(bronze::line(None, &line.meta));
            }
            None => {
                body.extend_from_slice(&line.text);
                body.push(b'\n');
            }
        }
    }
    let opening = open::begin(lake, bronze::tick_of(object), service.clock.now()).await?;
    if let Some(receipt) = receipts::get(lake, object).await? {
        take_back(service, object, lines, &receipt, &sha256(&body)).await?;
    }
    let listed = BTreeMap::from([(object.to_string(), Some(sha256(&body)))]);
    service.clean.silver.list_objects(Why::Repaired, &listed).await?;
    replace(&*lake.bronze, object, body.into()).await?;
    opening.settle(lake, service.clock.now()).await?;
    // An object that was never readable is cleaned now; for any other, the aggregates are told.
    Ok(service.queues.clean.live.send(vec![encode(&NewObject::whole(object))]).await?)
}

/// Removes what lines yielded while they could be read, so that an older version of their records takes their place.
async fn take_back(
    service: &Service,
    object: &Path,
    lines: &[Line],
    receipt: &Receipt,
    sha256: &str,
) -> Result<(), Failure> {
    let lake = &service.enrich.lake;
    let unreadable = || lines.iter().filter_map(|line| Some((line.unreadable.as_ref()?, &line.meta)));
    let with_rows = || unreadable().filter(|(found, _)| receipt.made_rows(found.line));
    if let Some(by) = Generations::of_clean(lake).latest().await?.filter(|_| with_rows().next().is_some()) {
        retracted::note(lake, &with_rows().map(|(_, meta)| meta.key.clone()).collect()).await?;
        let gone = with_rows().map(|(found, meta)| RowMeta {
            key: meta.key.to_string(),
            ord: order(meta.seq, meta.generation, BEHIND_ALL),
            seq: meta.seq.instant(),
            source: format!("{object}:{}", found.line),
            plugin: by.plugin.digest.clone(),
        });
        let rows = RecordBatch::new_empty(service.clean.plugin.descriptor().output_schema());
        let versions = Versions { rows, meta: Vec::new(), gone: gone.collect(), generation: by.number };
        service.clean.silver.upsert(&versions).await?;
    }
    let told = |receipt: &mut Receipt| {
        receipt.lines = lines.len();
        receipt.sha256 = Some(sha256.to_owned());
        for (found, _) in unreadable() {
            receipt.skipped.retain(|skip| skip.line != found.line);
            receipt.quarantined.retain(|held| held.line != found.line);
            receipt.superseded.remove(&found.line);
            receipt.quarantined.push(Held { line: found.line, id: found.id.clone() });
        }
    };
    Ok(receipts::change(lake, object, told).await?)
}

fn refused(found: &Unreadable, meta: &Meta) -> Refused {
    let reason = match &meta.outcome {
        Outcome::Quarantined { reason, .. } => reason.clone(),
        Outcome::Document | Outcome::Skipped { .. } | Outcome::Forgotten => found.reason.clone(),
    };
    Refused {
        id: found.id.clone(),
        stage: RefusedAt::Enrich,
        code: REFUSED_LINE.to_owned(),
        reason,
        key: found.key.clone(),
        seq: meta.seq,
        input: format!("{}:{}", found.object, found.line),
        plugin: meta.plugin.clone(),
        generation: meta.generation,
        record: meta.record.clone(),
        line: u64::try_from(found.line).ok().map(|number| SourceLine { number, text: found.text.clone() }),
        details: Vec::new(),
    }
}
