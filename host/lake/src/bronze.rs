//! Bronze: what each tick took from the source, and one object of raw documents a message. Both are written once and never changed.
//!
//! Does not hold answers (`lake::answers`) or refused records (`lake::quarantine`), which live beside it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use records::keys::{Key, Tick, fingerprint};
use records::record::Record;
use seams::plugin::PluginStamp;
use seams::store::{Created, ObjectStoreExt, Path, StoreError, create, read_if_there};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};

pub mod stream;

/// One record on its way: its key, and what the source said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The record's key.
    pub key: Key,
    /// The source's record.
    pub record: Record,
}

/// A batch of records: what the queue carries from ingest to enrich.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The pipeline that it belongs to.
    pub pipeline: String,
    /// The tick that took the records.
    pub tick: Tick,
    /// Its place among the tick's messages, from 0.
    pub batch: u32,
    /// Fingerprint of everything else in it.
    pub id: String,
    /// The records, at least one.
    pub entries: Vec<Entry>,
}

impl Message {
    /// A message, its id derived from what is in it: two hosts that fire one tick make equal messages.
    #[must_use]
    pub fn new(pipeline: &str, tick: Tick, batch: u32, entries: Vec<Entry>) -> Self {
        let mut hashed = Vec::new();
        for entry in &entries {
            hashed.extend_from_slice(entry.key.as_str().as_bytes());
            hashed.push(b'\n');
            hashed.extend(serde_json::to_vec(&entry.record).unwrap_or_default());
            hashed.push(b'\n');
        }
        let tick_text = tick.to_string();
        let id = fingerprint(&[pipeline.as_bytes(), tick_text.as_bytes(), &batch.to_be_bytes(), &hashed]);
        Message { pipeline: pipeline.to_owned(), tick, batch, id, entries }
    }

    /// Where its Bronze object is: `run=TICK/batch=N-ID.jsonl`.
    #[must_use]
    pub fn object(&self) -> Path {
        object_named(self.tick, self.batch, &self.id)
    }
}

/// The path of the object of a message.
#[must_use]
pub fn object_named(tick: Tick, batch: u32, id: &str) -> Path {
    Path::from(format!("run={tick}/batch={batch:05}-{id}.jsonl"))
}

/// What became of a record in the enrich stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// The line holds its document.
    Document,
    /// There is nothing to store, and that is no fault.
    Skipped {
        /// In the plugin's words.
        reason: String,
    },
    /// It was refused, and is kept in quarantine.
    Quarantined {
        /// Id of the quarantined record.
        id: String,
        /// Why.
        reason: String,
    },
    /// Its record was erased; the line keeps its place.
    Forgotten,
}

/// The `_meta` field of a Bronze line: where the document comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The record's key.
    pub key: Key,
    /// The tick that brought this version of the record.
    pub seq: Tick,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The source's record.
    pub record: Record,
    /// Ids of the kept answers that the document was made from, in the order asked for.
    pub answers: Vec<String>,
    /// Statuses of further answers that the document was made from. They are not kept, because they say nothing of what was asked for, so
    /// the document cannot be made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unkept: Vec<u16>,
    /// The enrich plugin; none in a pipeline without an enrich stage.
    pub plugin: Option<PluginStamp>,
    /// The enrich plugin's generation; 0 in a pipeline without an enrich stage.
    pub generation: u32,
}

/// A line of a Bronze object: the document's own fields, then `_meta`.
#[must_use]
pub fn line(document: Option<&str>, meta: &Meta) -> Vec<u8> {
    let meta = serde_json::to_vec(meta).unwrap_or_default();
    let body = document.map(str::trim).and_then(|text| text.strip_suffix('}')).map_or("{", str::trim_end);
    let mut line = Vec::with_capacity(body.len() + meta.len() + 12);
    // A raw line break can only stand between the tokens of a valid document, where a space means the same.
    line.extend(body.bytes().map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
    if !body.ends_with('{') || body.trim_start().len() > 1 {
        line.extend_from_slice(b",");
    }
    line.extend_from_slice(b"\"_meta\":");
    line.extend_from_slice(&meta);
    line.extend_from_slice(b"}\n");
    line
}

/// A line as read back: its own text, and the parsed `_meta`.
#[derive(Clone, Debug)]
pub struct Line {
    /// The line's text without its line break: the document for a cleaner.
    pub text: Bytes,
    /// Where it comes from.
    pub meta: Meta,
}

/// What a line says of itself, read as every reader of the lake reads it.
pub fn meta_of(line: &[u8]) -> Result<Meta, serde_json::Error> {
    #[derive(Deserialize)]
    struct OnlyMeta {
        _meta: Meta,
    }
    serde_json::from_slice(line).map(|only: OnlyMeta| only._meta)
}

/// What helps against an object that cannot be read.
const REPAIR: &str = "`sluicebox repair` puts what is unreadable into quarantine, with its text";

/// The lines of a Bronze object.
pub fn lines(path: &Path, object: &Bytes) -> Result<Vec<Line>, LakeError> {
    let corrupt = |at: String, reason: String| LakeError::corrupt(at, format!("{reason}; {REPAIR}"));
    let mut lines = Vec::new();
    let mut start = 0;
    for end in memchr_lines(object) {
        let text = object.slice(start..end);
        start = end + 1;
        let meta = meta_of(&text).map_err(|error| corrupt(format!("{path}:{}", lines.len() + 1), error.to_string()))?;
        lines.push(Line { text, meta });
    }
    if start != object.len() {
        return Err(corrupt(path.to_string(), "the last line does not end with a line break".to_owned()));
    }
    if lines.is_empty() {
        return Err(corrupt(path.to_string(), "expected at least one line, found none".to_owned()));
    }
    Ok(lines)
}

fn memchr_lines(bytes: &Bytes) -> impl Iterator<Item = usize> + '_ {
    bytes.iter().enumerate().filter_map(|(at, byte)| (*byte == b'\n').then_some(at))
}

/// What a tick took from the source: its messages, in order. Written before anything is queued, so that a host that fires the same tick of
/// the same configuration again queues the same messages.
///
/// Returns the messages that count, and whether they are the given ones: another host may have been first.
pub async fn keep_snapshot(
    lake: &Lake,
    tick: Tick,
    config: &str,
    messages: Vec<Message>,
) -> Result<(Vec<Message>, bool), LakeError> {
    let path = snapshot_path(tick, config);
    match create(&*lake.bronze, &path, snapshot_body(&messages)).await? {
        Created::New => Ok((messages, true)),
        Created::Existing(bytes) => Ok((parse_snapshot(&path, &bytes)?, false)),
    }
}

/// The text of a snapshot: a message a line.
#[must_use]
pub fn snapshot_body(messages: &[Message]) -> Bytes {
    let mut body = Vec::new();
    for message in messages {
        body.extend(serde_json::to_vec(message).unwrap_or_default());
        body.push(b'\n');
    }
    body.into()
}

/// The snapshot of that tick and configuration, if it was fired before.
pub async fn snapshot(lake: &Lake, tick: Tick, config: &str) -> Result<Option<Vec<Message>>, LakeError> {
    let path = snapshot_path(tick, config);
    read_if_there(&*lake.bronze, &path).await?.map(|bytes| parse_snapshot(&path, &bytes)).transpose()
}

/// When the snapshot of that tick and configuration was written.
pub async fn snapshot_at(lake: &Lake, tick: Tick, config: &str) -> Result<Option<DateTime<Utc>>, LakeError> {
    match lake.bronze.head(&snapshot_path(tick, config)).await {
        Ok(object) => Ok(Some(object.last_modified)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the tick took something from a source: whether it has a snapshot.
pub async fn has_tick(lake: &Lake, tick: Tick) -> Result<bool, LakeError> {
    let mut listing = lake.bronze.list(Some(&Path::from(format!("run={tick}"))));
    while let Some(object) = listing.try_next().await? {
        if object.location.filename().is_some_and(|name| name.starts_with("_snapshot-")) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn snapshot_path(tick: Tick, config: &str) -> Path {
    Path::from(format!("run={tick}/{}", snapshot_name(config)))
}

/// The name of the snapshot of a configuration, in the folder of its tick.
#[must_use]
pub fn snapshot_name(config: &str) -> String {
    format!("_snapshot-{config}.jsonl")
}

fn parse_snapshot(path: &Path, bytes: &Bytes) -> Result<Vec<Message>, LakeError> {
    let mut messages = Vec::new();
    for message in serde_json::Deserializer::from_slice(bytes).into_iter::<Message>() {
        messages.push(message.map_err(|error| LakeError::corrupt(format!("{path}:{}", messages.len() + 1), error))?);
    }
    Ok(messages)
}

/// What is in Bronze, by name.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Objects of documents, sorted: one a message, and one for each time that some of its records were enriched again.
    pub objects: Vec<Path>,
    /// Snapshots, sorted: what the ticks took.
    pub snapshots: Vec<Path>,
}

/// The ticks that have something in Bronze, oldest first.
pub async fn ticks(lake: &Lake) -> Result<Vec<Tick>, LakeError> {
    let folders = lake.bronze.list_with_delimiter(None).await?.common_prefixes;
    let mut ticks: Vec<Tick> = folders.iter().filter_map(tick_of).collect();
    ticks.sort();
    Ok(ticks)
}

/// Lists Bronze, or one tick of it. Answers and quarantine are not walked.
pub async fn inventory(lake: &Lake, tick: Option<Tick>) -> Result<Inventory, LakeError> {
    let ticks = match tick {
        Some(tick) => vec![tick],
        None => ticks(lake).await?,
    };
    let mut inventory = Inventory::default();
    for run in ticks.iter().map(|tick| Path::from(format!("run={tick}"))) {
        let mut listing = lake.bronze.list(Some(&run));
        while let Some(object) = listing.try_next().await? {
            let path = object.location;
            match path.filename() {
                _ if is_object(&path) => inventory.objects.push(path),
                Some(name) if name.starts_with("_snapshot-") => inventory.snapshots.push(path),
                _ => {}
            }
        }
    }
    inventory.objects.sort();
    inventory.snapshots.sort();
    Ok(inventory)
}

/// Where the records of `object` go that enrich plugin `generation` made again: `run=TICK/redo=GENERATION.ROUND-ID.jsonl`.
///
/// The round is one more than that of `object`, so that later objects also sort later by name.
#[must_use]
pub fn redo(tick: Tick, generation: u32, object: &Path, lines: &[usize]) -> Path {
    let round = object.filename().and_then(|name| name.strip_prefix(REDO)?.split(['.', '-']).nth(1)?.parse().ok());
    let round = round.unwrap_or(0_u32) + 1;
    let id = fingerprint(&[object.as_ref().as_bytes(), format!("{lines:?}").as_bytes()]);
    Path::from(format!("run={tick}/{REDO}{generation:06}.{round:04}-{id}.jsonl"))
}

/// The prefix of the names of objects that hold records enriched again; it sorts after `batch=`.
const REDO: &str = "redo=";

/// Whether that is the path of an object that holds records: `run=TICK/batch=…` or `run=TICK/redo=…`.
#[must_use]
pub fn is_object(path: &Path) -> bool {
    let named = |name: &str| name.starts_with("batch=") || name.starts_with(REDO);
    path.as_ref().starts_with("run=") && path.as_ref().split('/').count() == 2 && path.filename().is_some_and(named)
}

/// Whether an object holds records that were enriched again.
#[must_use]
pub fn is_redo(object: &Path) -> bool {
    object.filename().is_some_and(|name| name.starts_with(REDO))
}

/// Object and line of an input such as `run=…/batch=….jsonl:3`.
#[must_use]
pub fn place(input: &str) -> Option<(Path, usize)> {
    let (object, line) = input.rsplit_once(':')?;
    Some((Path::from(object), line.parse().ok().filter(|line| *line > 0)?))
}

/// The messages of one snapshot.
pub async fn read_snapshot(lake: &Lake, path: &Path) -> Result<Vec<Message>, LakeError> {
    let bytes = seams::store::read(&*lake.bronze, path).await?;
    parse_snapshot(path, &bytes)
}

/// The messages of every snapshot of `inventory`.
pub async fn snapshots(lake: &Lake, inventory: &Inventory) -> Result<Vec<Message>, LakeError> {
    let read = |path: Path| async move { read_snapshot(lake, &path).await };
    let all: Vec<Vec<Message>> =
        futures::stream::iter(inventory.snapshots.clone()).map(read).buffered(8).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

/// Whether `path` is that of an object made from a message, and not of records enriched again.
#[must_use]
pub fn is_first(path: &Path) -> bool {
    is_object(path) && path.filename().is_some_and(|name| name.starts_with("batch="))
}

/// The number, among its tick's messages, of the message that became the object; 0 for records enriched again.
#[must_use]
pub fn batch_of(path: &Path) -> u32 {
    let number = path.filename().and_then(|name| name.strip_prefix("batch=")?.split('-').next()?.parse().ok());
    number.unwrap_or_default()
}

/// The tick that an object of Bronze belongs to.
#[must_use]
pub fn tick_of(path: &Path) -> Option<Tick> {
    path.parts().next().and_then(|part| Tick::parse(part.as_ref().strip_prefix("run=")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            key: Key::from_text("a/1"),
            seq: Tick::parse("20261124T030000Z").unwrap(),
            outcome: Outcome::Document,
            record: Record::new(),
            answers: vec!["abc".into()],
            unkept: Vec::new(),
            plugin: None,
            generation: 0,
        }
    }

    #[test]
    fn a_line_is_the_document_and_its_meta_and_reads_back() {
        for document in ["{}", " { } ", "{\"a\": [\n1,\r\n2]}\n", "{\"a\":{}}", "{\"x\":\"{\"}"] {
            let mut object = line(Some(document), &meta());
            assert_eq!(object.iter().filter(|byte| **byte == b'\n').count(), 1, "{document}");
            object.extend(line(None, &meta()));
            let lines = lines(&Path::from("x"), &object.into()).unwrap();
            assert_eq!(lines.len(), 2);
            for line in &lines {
                assert_eq!(line.meta, meta());
            }
            let mut whole: serde_json::Value = serde_json::from_slice(&lines[0].text).unwrap();
            whole.as_object_mut().unwrap().remove("_meta");
            assert_eq!(whole, serde_json::from_str::<serde_json::Value>(document).unwrap());
        }
    }

    #[test]
    fn a_cut_object_names_the_place() {
        let object: Bytes = line(Some("{}"), &meta()).into();
        let error = lines(&Path::from("run=x/batch=1.jsonl"), &object.slice(..object.len() - 2)).unwrap_err();
        assert!(error.to_string().contains("run=x/batch=1.jsonl"), "{error}");
        assert!(lines(&Path::from("x"), &Bytes::new()).is_err());
    }

    #[test]
    fn equal_content_gives_equal_messages_and_other_content_another_object() {
        let tick = Tick::parse("20261124T030000Z").unwrap();
        let entry = |key: &str| Entry { key: Key::from_text(key), record: Record::new() };
        let message = Message::new("p", tick, 0, vec![entry("a")]);
        assert_eq!(message, Message::new("p", tick, 0, vec![entry("a")]));
        assert_ne!(message.object(), Message::new("p", tick, 0, vec![entry("a"), entry("b")]).object());
        assert_eq!(tick_of(&message.object()), Some(tick));
        let first = redo(tick, 1, &message.object(), &[1]);
        let second = redo(tick, 1, &first, &[1]);
        assert!(is_redo(&first) && !is_redo(&message.object()));
        assert!(message.object() < first && first < second && second < redo(tick, 2, &message.object(), &[1]));
    }
}
