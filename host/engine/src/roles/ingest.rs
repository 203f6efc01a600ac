//! Role ingest: a tick takes the top n records of the source, once, and queues them in batches.
//!
//! Does not decide when a tick is: `drivers::schedule` does.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use url::Url;

use super::events::{enrich_body, send_missing};
use super::source;
use crate::failure::Failure;
use crate::lake::Lake;
use crate::lake::bronze::{self, Entry, Message};
use crate::lake::keys::{Key, Record, Tick, fingerprint};
use crate::lake::quarantine::{self, REFUSED_BY_INGEST, Refused, RefusedAt};
use crate::pipeline::plan::Source;
use crate::progress::{Outcome, Progress};
use crate::seams::http::{Http, HttpRequest};
use crate::seams::queue::Queue;
use crate::seams::store::{Path, Store, read};
use crate::spans;

/// Where the bytes of a source come from.
#[derive(Clone, Debug)]
pub enum SourcePlace {
    /// An object of a store.
    Object(Store, Path),
    /// A URL.
    Web(Arc<dyn Http>, Url),
}

/// Most bytes that a source on the web may have.
const MOST_WEB_BYTES: u64 = 1 << 30;
const WEB_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);

impl SourcePlace {
    /// All of it.
    ///
    /// # Errors
    /// It is not there, or cannot be read now.
    pub async fn read(&self) -> Result<Bytes, Failure> {
        match self {
            SourcePlace::Object(store, path) => Ok(read(&**store, path).await?),
            SourcePlace::Web(http, url) => {
                let request = HttpRequest {
                    url: url.clone(),
                    headers: Vec::new(),
                    timeout: WEB_TIMEOUT,
                    max_body: MOST_WEB_BYTES,
                };
                let sent = http.send(request);
                let sent = spans::requested(spans::request("source", url.host_str()), sent).await;
                let answer = sent.map_err(|error| Failure::Transient(format!("source `{url}`: {error}")))?;
                match answer.status {
                    200 => Ok(answer.body),
                    status => {
                        Err(Failure::Transient(format!("source `{url}` answered with status {status}, expected 200")))
                    }
                }
            }
        }
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
    /// Where the snapshot goes.
    pub lake: Lake,
    /// Where the messages go.
    pub queue: Arc<dyn Queue>,
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
    /// Records refused because they have no key, or one that stands before them.
    pub refused: usize,
}

impl Ingest {
    /// Fires `tick`. Doing so again, or elsewhere at the same moment, queues only what has not reached Bronze and is not queued: two of
    /// one message would ask the service twice.
    pub async fn fire(&self, tick: Tick) -> Result<Fired, Failure> {
        spans::observed(spans::tick(&self.pipeline, tick), self.queue_all(tick), outcome).await
    }

    async fn queue_all(&self, tick: Tick) -> Result<Fired, Failure> {
        let config = self.config();
        let mut refused = 0;
        let kept = bronze::snapshot(&self.lake, tick, &config).await?;
        let messages = match kept {
            Some(messages) => messages,
            None => {
                let taken = self.take(tick).await?;
                refused = taken.refused.len();
                quarantine::put_all(&self.lake, &taken.refused).await?;
                Progress::add(&self.progress.quarantined, refused);
                bronze::keep_snapshot(&self.lake, tick, &config, taken.messages).await?
            }
        };
        let records = messages.iter().map(|message| message.entries.len()).sum();
        Progress::add(&self.progress.taken, records);
        let there: BTreeSet<Path> = bronze::inventory(&self.lake, Some(tick)).await?.objects.into_iter().collect();
        let total = messages.len();
        let (done, missing): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| there.contains(&message.object()));
        Progress::add(&self.progress.enriched, done.iter().map(|message| message.entries.len()).sum());
        let queued = send(&self.lake, &*self.queue, missing).await?;
        tracing::info!(records, messages = total, queued, refused, "tick fired");
        Ok(Fired { tick, records, messages: total, queued, refused })
    }

    /// Fingerprint of all that decides what a tick takes, but the source's content.
    fn config(&self) -> String {
        fingerprint(&[self.pipeline.as_bytes(), format!("{:?}", self.source).as_bytes()])
    }

    async fn take(&self, tick: Tick) -> Result<Taken, Failure> {
        let bytes = self.place.read().await?;
        let records = source::top(&self.source, &bytes).map_err(|error| Failure::Fatal(error.to_string()))?;
        let mut entries = Vec::new();
        let mut refused = Vec::new();
        let mut keys = BTreeSet::new();
        for record in records {
            match Key::of(&record, &self.source.key) {
                Err(error) => refused.push(self.refuse(tick, record, None, error.to_string())),
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
        Ok(Taken { messages, refused })
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
            details: Vec::new(),
        }
    }
}

fn outcome(failure: &Failure) -> &'static str {
    Outcome::of(failure).name()
}

struct Taken {
    messages: Vec<Message>,
    refused: Vec<Refused>,
}

/// Queues those messages that are not queued yet, in few calls, and returns how many they were.
pub async fn send(lake: &Lake, queue: &dyn Queue, messages: Vec<Message>) -> Result<usize, Failure> {
    let bodies: Vec<_> = messages.into_iter().map(|message| enrich_body(lake, message)).collect();
    let bodies: Vec<Bytes> = futures::stream::iter(bodies).buffered(16).try_collect().await?;
    Ok(send_missing(queue, &bodies).await?)
}
