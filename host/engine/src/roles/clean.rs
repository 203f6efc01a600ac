//! Role clean: new objects of Bronze become rows of Silver, in one commit for all that came together.
//!
//! Does not order versions of a record: `lake::silver` keeps the last writer's.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::compute::concat_batches;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use super::breaker::Breaker;
use super::enrich::{fault_details, stamp};
use super::events::{NewObject, NewVersion, encode};
use crate::failure::Failure;
use crate::lake::Lake;
use crate::lake::bronze::{self, Line, Outcome, PluginStamp};
use crate::lake::generations::{self, Generation};
use crate::lake::keys::order;
use crate::lake::quarantine::{self, REFUSED_BY_PLUGIN, REFUSED_BY_PROJECTION, REFUSED_BY_RETRIES, Refused, RefusedAt};
use crate::lake::receipts::{self, Receipt, Skip};
use crate::lake::silver::{RowMeta, Silver, Versions};
use crate::progress::Progress;
use crate::seams::plugin::{Cleaned, Cleaner, Fault, RejectedBy};
use crate::seams::queue::Queue;
use crate::seams::store::{Path, read};

/// Documents in one plugin call.
const MOST_DOCUMENTS: usize = 2048;
/// Bytes of documents in one plugin call; a single larger document still is one call.
const MOST_BYTES: usize = 8 << 20;

/// The clean role of one pipeline.
#[derive(Debug)]
pub struct Clean {
    /// Where objects are read and receipts go.
    pub lake: Lake,
    /// The plugin.
    pub plugin: Arc<dyn Cleaner>,
    /// The plugin's configuration: the text of one JSON object with its keys sorted.
    pub config: String,
    /// The plugin's place in the stage's history, entered with the first work: whoever only looks starts no generation.
    pub generation: OnceCell<Generation>,
    /// Where rows go.
    pub silver: Silver,
    /// Where the news of a new version goes.
    pub queue: Arc<dyn Queue>,
    /// Plugin calls under way at once.
    pub concurrency: NonZeroUsize,
    /// Suspends the stage when its plugin fails on too many records.
    pub breaker: Breaker,
    /// Counters.
    pub progress: Arc<Progress>,
}

/// A document of an object, and where it stands.
#[derive(Clone)]
struct Document {
    /// Index of its object among those in hand.
    object: usize,
    /// Its line, from 1.
    number: usize,
    /// `run=…/batch=….jsonl:LINE`.
    source: String,
    line: Line,
}

/// What became of documents, beside rows.
#[derive(Default)]
struct Made {
    versions: Vec<Versions>,
    cleaned: Vec<Document>,
    skipped: Vec<(Document, String)>,
    refused: Vec<(Document, Refused)>,
}

impl Made {
    fn append(&mut self, mut other: Made) {
        self.versions.append(&mut other.versions);
        self.cleaned.append(&mut other.cleaned);
        self.skipped.append(&mut other.skipped);
        self.refused.append(&mut other.refused);
    }
}

impl Clean {
    /// Brings these objects of Bronze into Silver and tells the aggregate stage. Doing so again changes nothing.
    pub async fn objects(&self, events: &[NewObject]) -> Result<(), Failure> {
        let generation = self.generation().await?;
        let mut paths: Vec<Path> = events.iter().map(|event| Path::from(event.bronze.as_str())).collect();
        paths.sort();
        paths.dedup();
        let reads: Vec<_> = paths.into_iter().map(|path| self.unseen(path, generation)).collect();
        let objects: Vec<Option<(Vec<Line>, Path)>> = futures::stream::iter(reads).buffered(16).try_collect().await?;
        let objects: Vec<(Vec<Line>, Path)> = objects.into_iter().flatten().collect();
        let silver_version = if objects.is_empty() {
            self.silver.snapshot().await?.version
        } else {
            self.take(&objects, generation).await?
        };
        Ok(self.queue.send(vec![encode(&NewVersion { silver: silver_version })]).await?)
    }

    /// Quarantines the documents of an object that was tried as often as is allowed.
    pub async fn give_up(&self, event: &NewObject, reason: &str) -> Result<(), Failure> {
        let generation = self.generation().await?;
        let path = Path::from(event.bronze.as_str());
        let Some(object) = self.unseen(path, generation).await? else { return Ok(()) };
        let objects = [object];
        let given_up = |document: Document| {
            let refused = refusal(&document, REFUSED_BY_RETRIES, reason.to_owned(), Vec::new(), &generation.plugin);
            (document, refused)
        };
        let made = Made { refused: documents(&objects).into_iter().map(given_up).collect(), ..Made::default() };
        let refused: Vec<Refused> = made.refused.iter().map(|(_, refused)| refused.clone()).collect();
        quarantine::put_all(&self.lake, &refused).await?;
        Progress::add(&self.progress.quarantined, refused.len());
        let version = self.silver.snapshot().await?.version;
        for receipt in receipts_of(&objects, &made, generation, version) {
            receipts::put(&self.lake, &receipt).await?;
        }
        Ok(self.queue.send(vec![encode(&NewVersion { silver: version })]).await?)
    }

    /// The plugin's generation, entered if this is the first work.
    pub async fn generation(&self) -> Result<&Generation, Failure> {
        let enter = || generations::enter(&self.lake, stamp(&*self.plugin), &self.config);
        Ok(self.generation.get_or_try_init(enter).await?)
    }

    /// The lines of an object, unless this generation has seen it.
    async fn unseen(&self, path: Path, generation: &Generation) -> Result<Option<(Vec<Line>, Path)>, Failure> {
        let seen = receipts::get(&self.lake, &path).await?;
        if seen.is_some_and(|receipt| receipt.generation == generation.number) {
            return Ok(None);
        }
        let object = read(&*self.lake.bronze, &path).await?;
        Ok(Some((bronze::lines(&path, &object)?, path)))
    }

    async fn take(&self, objects: &[(Vec<Line>, Path)], generation: &Generation) -> Result<i64, Failure> {
        let documents = documents(objects);
        let calls: Vec<_> = batches(documents).into_iter().map(|batch| self.batch(batch, generation)).collect();
        let made: Vec<Made> = futures::stream::iter(calls).buffered(self.concurrency.get()).collect().await;
        let mut all = Made::default();
        for one in made {
            all.append(one);
        }
        let refused: Vec<Refused> = all.refused.iter().map(|(_, refused)| refused.clone()).collect();
        let judged = self.breaker.judge(all.cleaned.len() + all.skipped.len() + refused.len(), &refused).await?;
        quarantine::put_all(&self.lake, &refused).await?;
        let version = self.commit(std::mem::take(&mut all.versions)).await?;
        let receipts = receipts_of(objects, &all, generation, version);
        let puts: Vec<_> = receipts.iter().map(|receipt| receipts::put(&self.lake, receipt)).collect();
        futures::stream::iter(puts).buffer_unordered(16).try_collect::<()>().await?;
        self.breaker.passed(judged);
        Progress::add(&self.progress.quarantined, refused.len());
        Progress::add(&self.progress.cleaned, receipts.iter().map(|receipt| receipt.lines).sum());
        tracing::info!(
            objects = objects.len(),
            rows = all.cleaned.len(),
            skipped = all.skipped.len(),
            quarantined = refused.len(),
            silver_version = version,
            "cleaned"
        );
        Ok(version)
    }

    async fn commit(&self, versions: Vec<Versions>) -> Result<i64, Failure> {
        let schema = self.plugin.descriptor().output_schema();
        let rows = concat_batches(&schema, versions.iter().map(|versions| &versions.rows))
            .map_err(|error| Failure::Fatal(format!("rows of one plugin do not fit together: {error}")))?;
        let meta = versions.into_iter().flat_map(|versions| versions.meta).collect();
        Ok(self.silver.upsert(&Versions { rows, meta }).await?.version)
    }

    /// One plugin call; if it breaks, one call a document, so that the culprit is named and its neighbours commit.
    async fn batch(&self, batch: Vec<Document>, by: &Generation) -> Made {
        match self.call(&batch).await {
            Ok(cleaned) => self.sort_out(batch, cleaned, by),
            Err(fault) => match <[Document; 1]>::try_from(batch) {
                Ok([document]) => self.broke(document, &fault, by),
                Err(batch) => {
                    tracing::warn!(code = fault.code, error = %fault, documents = batch.len(), "plugin broke on a batch, trying each document alone");
                    let mut all = Made::default();
                    for document in batch {
                        let alone = match self.call(std::slice::from_ref(&document)).await {
                            Ok(cleaned) => self.sort_out(vec![document], cleaned, by),
                            Err(fault) => self.broke(document, &fault, by),
                        };
                        all.append(alone);
                    }
                    all
                }
            },
        }
    }

    async fn call(&self, batch: &[Document]) -> Result<Cleaned, Fault> {
        let texts: Vec<Bytes> = batch.iter().map(|document| document.line.text.clone()).collect();
        self.plugin.clean(&texts).await
    }

    fn sort_out(&self, batch: Vec<Document>, cleaned: Cleaned, by: &Generation) -> Made {
        let mut made = Made::default();
        let row_meta = |index: &usize| {
            batch.get(*index).map(|document| RowMeta {
                key: document.line.meta.key.to_string(),
                ord: order(document.line.meta.seq, by.number),
                seq: document.line.meta.seq.instant(),
                source: document.source.clone(),
                plugin: by.plugin.digest.clone(),
            })
        };
        let meta = cleaned.row_of.iter().filter_map(row_meta).collect();
        made.versions.push(Versions { rows: cleaned.rows, meta });
        let mut rest: Vec<Option<Document>> = batch.into_iter().map(Some).collect();
        let mut take = |index: usize| rest.get_mut(index).and_then(Option::take);
        for reject in cleaned.rejects {
            let code = match reject.by {
                RejectedBy::Plugin => REFUSED_BY_PLUGIN,
                RejectedBy::Projection => REFUSED_BY_PROJECTION,
            };
            if let Some(document) = take(reject.index) {
                let refused = refusal(&document, code, reject.reason, Vec::new(), &by.plugin);
                made.refused.push((document, refused));
            }
        }
        for skip in cleaned.skips {
            made.skipped.extend(take(skip.index).map(|document| (document, skip.reason)));
        }
        made.cleaned = rest.into_iter().flatten().collect();
        made
    }

    fn broke(&self, document: Document, fault: &Fault, by: &Generation) -> Made {
        tracing::warn!(code = fault.code, record = %document.line.meta.key, source = document.source, error = %fault, "plugin broke on a record");
        let refused = refusal(&document, fault.code, fault.message.clone(), fault_details(fault), &by.plugin);
        Made { refused: vec![(document, refused)], ..Made::default() }
    }
}

fn receipts_of(objects: &[(Vec<Line>, Path)], made: &Made, by: &Generation, silver_version: i64) -> Vec<Receipt> {
    let mut receipts: Vec<Receipt> =
        objects.iter().map(|(lines, path)| receipt_of_enrich(lines, path, by, silver_version)).collect();
    for document in &made.cleaned {
        if let Some(receipt) = receipts.get_mut(document.object) {
            receipt.cleaned += 1;
        }
    }
    for (document, reason) in &made.skipped {
        if let Some(receipt) = receipts.get_mut(document.object) {
            receipt.skipped.push(Skip { line: document.number, reason: reason.clone() });
        }
    }
    for (document, refused) in &made.refused {
        if let Some(receipt) = receipts.get_mut(document.object) {
            receipt.quarantined.push(refused.id.clone());
        }
    }
    receipts
}

/// The receipt as the enrich stage left the object: lines without a document are accounted for already.
fn receipt_of_enrich(lines: &[Line], path: &Path, by: &Generation, silver_version: i64) -> Receipt {
    let mut receipt = Receipt {
        object: path.to_string(),
        generation: by.number,
        plugin: by.plugin.digest.clone(),
        silver_version,
        lines: lines.len(),
        cleaned: 0,
        skipped: Vec::new(),
        quarantined: Vec::new(),
    };
    for (line, number) in lines.iter().zip(1..) {
        match &line.meta.outcome {
            Outcome::Document => {}
            Outcome::Skipped { reason } => receipt.skipped.push(Skip { line: number, reason: reason.clone() }),
            Outcome::Quarantined { id, .. } => receipt.quarantined.push(id.clone()),
        }
    }
    receipt
}

fn documents(objects: &[(Vec<Line>, Path)]) -> Vec<Document> {
    let mut documents = Vec::new();
    for (object, (lines, path)) in objects.iter().enumerate() {
        for (line, number) in lines.iter().zip(1..) {
            if line.meta.outcome == Outcome::Document {
                documents.push(Document { object, number, source: format!("{path}:{number}"), line: line.clone() });
            }
        }
    }
    documents
}

fn batches(documents: Vec<Document>) -> Vec<Vec<Document>> {
    let mut batches: Vec<Vec<Document>> = Vec::new();
    let mut bytes = 0;
    for document in documents {
        bytes += document.line.text.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < MOST_DOCUMENTS && bytes <= MOST_BYTES => batch.push(document),
            _ => {
                bytes = document.line.text.len();
                batches.push(vec![document]);
            }
        }
    }
    batches
}

fn refusal(document: &Document, code: &str, reason: String, details: Vec<String>, stamp: &PluginStamp) -> Refused {
    let meta = &document.line.meta;
    Refused {
        id: Refused::id_of(RefusedAt::Clean, &document.source, Some(stamp)),
        stage: RefusedAt::Clean,
        code: code.to_owned(),
        reason,
        key: Some(meta.key.clone()),
        seq: meta.seq,
        input: document.source.clone(),
        plugin: Some(stamp.clone()),
        record: meta.record.clone(),
        details,
    }
}
