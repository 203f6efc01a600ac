//! Role ingest: a tick takes the top n records of the source, once, and queues them in batches.
//!
//! Does not decide when a tick is: `drivers::schedule` does.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use lake::bronze::{self, Entry, Message};
use lake::failure::Failure;
use lake::kept_out::KeptOut;
use lake::quarantine::{self, REFUSED_BY_INGEST, REFUSED_LINE, Refused, RefusedAt, SourceLine};
use lake::{Lake, open, taken};
use pipeline::plan::Source;
use pipeline::urls::shown_url;
use records::keys::{Key, Record, Tick, fingerprint, sha256};
use seams::clock::Clock;
use seams::http::{Http, HttpAnswer, HttpRequest};
use seams::queue::Queue;
use seams::spans;
use seams::store::{ObjectStoreExt, Path, Store, StoreError, read, read_small};
use url::Url;

use super::source::{self, BadLine, Reading, Taken};
use crate::contract::columns::Missing;
use crate::progress::{Outcome, Progress};

mod columns;
mod opened;

pub use columns::{ReadBy, earlier};
pub use opened::send;
use opened::{Way, send_messages};

/// Finds a source each time that it is read: it may come late, or be another object by then.
#[async_trait]
pub trait FindSource: std::fmt::Debug + Send + Sync {
    /// The object that it is now.
    ///
    /// # Errors
    /// It is not there, or cannot be looked for now.
    async fn find(&self) -> Result<(Store, Path), Failure>;
}

/// Where the bytes of a source come from.
#[derive(Clone, Debug)]
pub enum SourcePlace {
    /// An object that is looked for when it is read.
    Late(Arc<dyn FindSource>),
    /// An object of a store.
    Object(Store, Path),
    /// A URL.
    Web(Arc<dyn Http>, Url),
}

/// Most bytes that a source may have, wherever it is: a tick holds all of it in memory.
pub const MOST_SOURCE: u64 = 1 << 30;
/// Most bytes of a source that is read only to find out whether it has changed.
const MOST_COMPARED: u64 = 256 << 20;
const WEB_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);

impl SourcePlace {
    /// When it was last changed, if that is known without reading it.
    async fn modified(&self) -> Option<DateTime<Utc>> {
        let (store, path) = self.object().await?;
        Some(store.head(&path).await.ok()?.last_modified)
    }

    /// The object that it is now, if it is one that can be found.
    async fn object(&self) -> Option<(Store, Path)> {
        match self {
            SourcePlace::Object(store, path) => Some((Arc::clone(store), path.clone())),
            SourcePlace::Late(late) => late.find().await.ok(),
            SourcePlace::Web(..) => None,
        }
    }

    /// Compares what it holds now with what was noted of it. Reads it only if it may have changed and is not large.
    async fn compared(&self, noted: &taken::Taken) -> SourceNow {
        let Some((store, path)) = self.object().await else { return SourceNow::Unknown };
        let Ok(now) = store.head(&path).await else { return SourceNow::Unknown };
        if now.size != noted.bytes {
            return SourceNow::Changed;
        }
        if Some(now.last_modified) == noted.modified {
            return SourceNow::Unchanged;
        }
        if now.size > MOST_COMPARED {
            return SourceNow::Unknown;
        }
        match read(&*store, &path).await {
            Ok(bytes) if sha256(&bytes) == noted.digest => SourceNow::Unchanged,
            Ok(_) => SourceNow::Changed,
            Err(_) => SourceNow::Unknown,
        }
    }

    /// Whether it is there, as far as that is known without reading it.
    ///
    /// # Errors
    /// It is not, or cannot be looked for now.
    pub async fn is_there(&self) -> Result<(), Failure> {
        let (store, path) = match self {
            SourcePlace::Object(store, path) => (Arc::clone(store), path.clone()),
            SourcePlace::Late(late) => late.find().await?,
            SourcePlace::Web(..) => return Ok(()),
        };
        match store.head(&path).await {
            Ok(_) => Ok(()),
            Err(StoreError::NotFound { .. }) => Err(Failure::Transient(missing(&store, &path).await)),
            Err(error) => Err(error.into()),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// It is not there, or cannot be read now.
    pub async fn read(&self) -> Result<Bytes, Failure> {
        match self {
            SourcePlace::Object(store, path) => object(store, path).await,
            SourcePlace::Late(late) => {
                let (store, path) = late.find().await?;
                object(&store, &path).await
            }
            SourcePlace::Web(http, url) => {
                let request =
                    HttpRequest { url: url.clone(), headers: Vec::new(), timeout: WEB_TIMEOUT, max_body: MOST_SOURCE };
                let sent = http.send(request);
                let sent = spans::requested(spans::request("source", url.host_str()), sent).await;
                let shown = shown_url(url);
                let answer = sent.map_err(|error| Failure::Transient(format!("source `{shown}`: {error}")))?;
                match answer.status {
                    200 => Ok(answer.body),
                    300..=303 | 305..=399 => Err(Failure::Transient(redirected(url, &answer))),
                    status => {
                        Err(Failure::Transient(format!("source `{shown}` answered with status {status}, expected 200")))
                    }
                }
            }
        }
    }
}

/// What stands in the place of a source that is not there: nothing, or a folder, from which one file is named.
async fn missing(store: &Store, path: &Path) -> String {
    let within = store.list_with_delimiter(Some(path)).await.ok();
    let first = within.iter().flat_map(|found| &found.objects).find_map(|object| object.location.filename());
    match first {
        Some(first) => format!(
            "source `{path}` is a folder, expected a file\n  hint: name a file in it, such as `{first}`, as `uri` under `[source]`"
        ),
        None if within.as_ref().is_some_and(|found| !found.common_prefixes.is_empty()) => {
            format!("source `{path}` is a folder, expected a file\n  hint: name the file as `uri` under `[source]`")
        }
        None => format!(
            "source `{path}` is not there, or is an empty folder\n  hint: bring the file, or correct `uri` under `[source]`; the tick is tried again"
        ),
    }
}

/// The message about a source that redirects.
fn redirected(url: &Url, answer: &HttpAnswer) -> String {
    let (shown, status) = (shown_url(url), answer.status);
    match answer.header("location").map(|to| url.join(to).map_or_else(|_| to.to_owned(), |to| shown_url(&to))) {
        Some(to) => format!(
            "source `{shown}` redirects ({status}) to `{to}`, and redirects are not followed\nhint: if that is the right place, \
             write it as `uri` under `[source]`"
        ),
        None => format!("source `{shown}` redirects ({status}) and does not say where to"),
    }
}

/// All of a source's object.
async fn object(store: &Store, path: &Path) -> Result<Bytes, Failure> {
    match read_small(&**store, path, MOST_SOURCE).await {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(Failure::Transient(missing(store, path).await)),
        Err(StoreError::NotSupported { source }) => Err(Failure::Transient(format!(
            "source {source}\nhint: split it, or name another file as `uri` under `[source]`; the tick is tried again"
        ))),
        Err(error) => Err(error.into()),
    }
}

/// The ingest role of one pipeline.
#[derive(Debug)]
pub struct Ingest {
    /// The pipeline's name.
    pub pipeline: String,
    /// What to read.
    pub source: Source,
    /// Where it is.
    pub place: SourcePlace,
    /// The plugin that reads its records.
    pub reads: ReadBy,
    /// Where the snapshot goes.
    pub lake: Lake,
    /// Where the messages go.
    pub queue: Arc<dyn Queue>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub progress: Arc<Progress>,
}

/// What a tick did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fired {
    /// The tick.
    pub tick: Tick,
    /// Records in the tick's messages.
    pub records: usize,
    /// Messages of the tick.
    pub messages: usize,
    /// Messages that were queued now: those whose Bronze object is not there, and that did not wait already.
    pub queued: usize,
    /// Records refused because they have no key, or the key of an earlier one, and lines that are no records.
    pub refused: usize,
    /// Records that the source holds, whether taken or not, without lines that are no records; `None` if that is not known.
    pub total: Option<usize>,
    /// Values of the `order_by` column that are there and are no numbers, if others are: they come after all numbers.
    pub not_numbers: usize,
    /// What an operator should know of the source.
    pub notices: Vec<String>,
    /// Records left out because their keys stay forgotten.
    pub forgotten: usize,
    /// The tick ran before, with the same settings: the source was not read again.
    pub already: Option<Already>,
    /// When the tick ran with other settings of the source.
    pub otherwise: Option<DateTime<Utc>>,
    /// The latest tick in the lake, if it is later than this one: its records stand.
    pub later: Option<Tick>,
}

/// A tick that ran before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Already {
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// What the source is now, compared with what it was then.
    pub source: SourceNow,
}

/// A source compared with what a tick has read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceNow {
    /// It holds the same.
    Unchanged,
    /// It holds something else.
    Changed,
    /// That is not known without much work.
    Unknown,
}

impl Ingest {
    /// Fires `tick`. Doing so again, or elsewhere at the same moment, queues only what has not reached Bronze and is not queued: a message
    /// that is queued twice would ask the service twice.
    pub async fn fire(&self, tick: Tick) -> Result<Fired, Failure> {
        spans::observed(spans::tick(&self.pipeline, tick), self.queue_all(tick), outcome).await
    }

    async fn queue_all(&self, tick: Tick) -> Result<Fired, Failure> {
        let config = self.config();
        let (mut refused, mut total, mut not_numbers, mut notices) = (0, None, 0, Vec::new());
        let (mut forgotten, mut opened) = (0, None);
        let kept = bronze::snapshot(&self.lake, tick, &config).await?;
        let already = kept.is_some().then_some(Already { at: None, source: SourceNow::Unknown });
        let messages = match kept {
            Some(messages) => messages,
            None => {
                let taken = self.take(tick).await?;
                refused = taken.refused.len();
                (total, not_numbers, notices) = (Some(taken.total), taken.not_numbers, taken.notices);
                forgotten = taken.forgotten;
                quarantine::put_all(&self.lake, &taken.refused).await?;
                Progress::add(&self.progress.quarantined, refused);
                // Before the snapshot: no sweep looks at what is not open.
                let opening = open::begin(&self.lake, [tick], self.clock.now()).await?;
                let (messages, is_new) = bronze::keep_snapshot(&self.lake, tick, &config, taken.messages).await?;
                opened = Some((opening, is_new));
                taken::note(&self.lake, tick, &config, &taken.source).await?;
                messages
            }
        };
        let records = messages.iter().map(|message| message.entries.len()).sum();
        Progress::add(&self.progress.taken, records);
        let there: BTreeSet<Path> = bronze::inventory(&self.lake, Some(tick)).await?.objects.into_iter().collect();
        let count = messages.len();
        let (done, missing): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| there.contains(&message.object()));
        Progress::add(&self.progress.enriched, done.iter().map(|message| message.entries.len()).sum());
        let snapshot = bronze::snapshot_name(&config);
        let way = Way { lake: &self.lake, queue: &*self.queue, clock: &*self.clock };
        let queued = send_messages(way, tick, &snapshot, missing, opened).await?;
        tracing::info!(records, total, messages = count, queued, refused, not_numbers, forgotten, "tick fired");
        Ok(Fired {
            tick,
            records,
            messages: count,
            queued,
            refused,
            total,
            not_numbers,
            notices,
            forgotten,
            already,
            otherwise: None,
            later: None,
        })
    }

    /// Adds what an operator who has fired a tick by hand wants to know: whether it ran before, and what has changed since.
    pub async fn told(&self, fired: Fired) -> Result<Fired, Failure> {
        let (tick, config) = (fired.tick, self.config());
        let later = bronze::ticks(&self.lake).await?.into_iter().max().filter(|latest| *latest > tick);
        if fired.already.is_none() {
            let otherwise = taken::otherwise(&self.lake, tick, &config).await?;
            return Ok(Fired { otherwise, later, ..fired });
        }
        let noted = taken::get(&self.lake, tick, &config).await?;
        let at = bronze::snapshot_at(&self.lake, tick, &config).await?;
        let source = match &noted {
            Some(noted) => self.place.compared(noted).await,
            None => SourceNow::Unknown,
        };
        let already = Some(Already { at, source });
        Ok(Fired { already, total: noted.and_then(|noted| noted.records), later, ..fired })
    }

    /// Fingerprint of all that decides what a tick takes, but the source's content.
    fn config(&self) -> String {
        fingerprint(&[self.pipeline.as_bytes(), format!("{:?}", self.source).as_bytes()])
    }

    /// What a tick would read now, and the columns that may be missed. Changes nothing.
    ///
    /// # Errors
    /// As a tick's, before anything is taken.
    pub async fn look(&self) -> Result<(Reading, Vec<Missing>), Failure> {
        self.held(&self.place.read().await?).await
    }

    /// What `bytes` hold, if it can be taken.
    async fn held(&self, bytes: &Bytes) -> Result<(Reading, Vec<Missing>), Failure> {
        let read = source::read(&self.source, bytes).map_err(|error| Failure::Fatal(error.to_string()))?;
        let missing = if read.columns.is_empty() {
            Vec::new()
        } else {
            columns::hold(&self.source, &read.columns, &self.reads, &self.lake).await?
        };
        Ok((read, missing))
    }

    async fn take(&self, tick: Tick) -> Result<Take, Failure> {
        // Before it is read: what changes meanwhile is then a change.
        let modified = self.place.modified().await;
        let bytes = self.place.read().await?;
        let kept_out = KeptOut::read(&self.lake).await?;
        let mut forgotten = 0;
        let (read, missing) = self.held(&bytes).await?;
        for one in &missing {
            tracing::warn!(%tick, hint = one.hint, "{}", one.message);
        }
        columns::remember(&self.lake, tick, &read.columns).await?;
        for notice in &read.notices {
            tracing::warn!(target: spans::TOLD_IN_THE_END, %tick, "{notice}");
        }
        if read.not_numbers > 0 {
            let column = self.source.order_by.as_ref().map(|order| &order.column);
            tracing::warn!(target: spans::TOLD_IN_THE_END, %tick, column, values = read.not_numbers, "values that are no numbers are ordered behind all numbers");
        }
        let mut entries = Vec::new();
        let mut refused: Vec<Refused> = read.bad.into_iter().map(|line| self.refuse_line(tick, line)).collect();
        let mut keys = BTreeSet::new();
        for Taken { record, .. } in read.records {
            match Key::of(&record, &self.source.key) {
                Err(error) => refused.push(self.refuse(tick, record, None, error.to_string())),
                Ok(key) if kept_out.holds(&key) => forgotten += 1,
                Ok(key) if keys.contains(&key) => {
                    let reason = format!(
                        "key `{key}` stands twice in this tick: the earlier record counts; add a column to `[source] key`"
                    );
                    refused.push(self.refuse(tick, record, Some(key), reason));
                }
                Ok(key) => {
                    keys.insert(key.clone());
                    entries.push(Entry { key, record });
                }
            }
        }
        let size = self.source.batch_size.get();
        let messages = entries
            .chunks(size)
            .zip(0..)
            .map(|(entries, batch)| Message::new(&self.pipeline, tick, batch, entries.to_vec()))
            .collect();
        let (total, not_numbers, notices) = (read.total, read.not_numbers, read.notices);
        let digest = sha256(&bytes);
        let source = taken::Taken { records: Some(total), bytes: bytes.len() as u64, digest, modified };
        Ok(Take { messages, refused, total, not_numbers, notices, forgotten, source })
    }

    fn refuse(&self, tick: Tick, record: Record, key: Option<Key>, reason: String) -> Refused {
        let text = serde_json::to_vec(&record).unwrap_or_default();
        let input = format!("{}@{tick}#{}", self.source.location, fingerprint(&[&text]));
        Refused {
            id: Refused::id_of(RefusedAt::Ingest, &input, 0),
            stage: RefusedAt::Ingest,
            code: REFUSED_BY_INGEST.to_owned(),
            reason,
            key,
            seq: tick,
            input,
            plugin: None,
            generation: 0,
            record,
            line: None,
            details: Vec::new(),
        }
    }

    /// A line that is no record: it has no key, and its text is kept in place of a record.
    fn refuse_line(&self, tick: Tick, BadLine { number, text, reason }: BadLine) -> Refused {
        let input = format!("{}@{tick}#line={number}", self.source.location);
        Refused {
            id: Refused::id_of(RefusedAt::Ingest, &input, 0),
            stage: RefusedAt::Ingest,
            code: REFUSED_LINE.to_owned(),
            reason: format!("{} {number} of the source is no record: {reason}", source::unit(self.source.format)),
            key: None,
            seq: tick,
            input,
            plugin: None,
            generation: 0,
            record: Record::new(),
            line: Some(SourceLine { number, text }),
            details: Vec::new(),
        }
    }
}

fn outcome(failure: &Failure) -> &'static str {
    Outcome::of(failure).name()
}

/// What a tick takes from its source.
struct Take {
    messages: Vec<Message>,
    refused: Vec<Refused>,
    total: usize,
    not_numbers: usize,
    notices: Vec<String>,
    forgotten: usize,
    source: taken::Taken,
}
