//! Role clean: new objects of Bronze become rows of Silver, in one commit for all that came together.
//!
//! Does not order versions of a record: `lake::silver` keeps the last writer's.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::compute::concat_batches;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use lake::bronze::{self, Outcome};
use lake::chain::Why;
use lake::events::{NewObject, NewVersion, encode};
use lake::failure::Failure;
use lake::generations::{Generation, Generations};
use lake::quarantine::{self, Refused};
use lake::receipts::{self, Put};
use lake::silver::{RowMeta, Silver};
use lake::{Lake, open, retracted};
use records::keys::Tick;
use seams::plugin::{Cleaned, Cleaner, Fault};
use seams::queue::Queue;
use seams::spans;
use seams::store::Path;
use tokio::sync::OnceCell;

use super::breaker::Breaker;
use crate::progress::Progress;

mod made;
mod tasks;

use made::{Document, Made};
use tasks::{Task, Unreadable, wanted};

/// Documents in one plugin call.
const MOST_DOCUMENTS: usize = 2048;
/// Bytes of documents in one plugin call; a single larger document still is one call.
const MOST_BYTES: usize = 8 << 20;
/// Rows that are held before they are committed, and bytes of their columns: what a plugin makes of many documents need not fit into memory.
const MOST_ROWS_HELD: usize = 500_000;
const MOST_BYTES_HELD: usize = 128 << 20;

/// The clean role of one pipeline.
#[derive(Debug)]
pub struct Clean {
    /// Where objects are read and receipts go.
    pub lake: Lake,
    /// The plugin.
    pub plugin: Arc<dyn Cleaner>,
    /// The plugin's configuration: the text of one JSON object with its keys sorted.
    pub config: String,
    /// The plugin's place in the stage's history, entered with the first work: a command that only reads starts no generation.
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

impl Clean {
    /// Brings these objects of Bronze into Silver and tells the aggregate stage. Doing so again changes nothing.
    ///
    /// Returns the objects that could not be read, each with its own failure; the others are done. An object that is gone is no failure:
    /// nothing can be made of it, and a sweep finds it if it comes back.
    pub async fn objects(&self, events: &[NewObject]) -> Result<BTreeMap<Path, Failure>, Failure> {
        let generation = self.generation().await?;
        let (mut wanted, mut failed, mut version) = (wanted(events), BTreeMap::new(), None);
        while !wanted.is_empty() {
            let asked_for = wanted.len();
            let (tasks, unreadable) = tasks::tasks(&self.lake, &mut wanted, generation.number).await?;
            let looked_at = asked_for.saturating_sub(wanted.len());
            let found_done = looked_at.saturating_sub(tasks.len() + unreadable.len());
            Progress::add(&self.progress.found_done, found_done);
            failed.extend(unreadable.into_iter().filter_map(failed_alone));
            if tasks.is_empty() {
                continue;
            }
            version = Some(match self.take(&tasks, generation).await {
                Err(Failure::Bug(reason)) if tasks.len() > 1 => {
                    tracing::error!(objects = tasks.len(), reason, "host bug over several objects, trying each alone");
                    self.each_alone(&tasks, generation, &mut failed).await?
                }
                taken => taken?,
            });
        }
        let silver = match version {
            Some(version) => version,
            None => self.silver.snapshot().await?.version,
        };
        self.queue.send(vec![encode(&NewVersion { silver })]).await?;
        Ok(failed)
    }

    /// The same object by object, so that an object that the host cannot clean fails alone.
    async fn each_alone(
        &self,
        tasks: &[Task],
        generation: &Generation,
        failed: &mut BTreeMap<Path, Failure>,
    ) -> Result<i64, Failure> {
        for task in tasks {
            match self.take(std::slice::from_ref(task), generation).await {
                Ok(_) => {}
                Err(failure @ Failure::Bug(_)) => drop(failed.insert(task.path.clone(), failure)),
                Err(failure) => return Err(failure),
            }
        }
        Ok(self.silver.snapshot().await?.version)
    }

    /// The same plugin at the beginning of a new generation.
    #[must_use]
    pub fn next_generation(&self) -> Self {
        self.with(Arc::clone(&self.plugin), self.config.clone(), self.breaker.fresh(), self.silver.clone())
    }

    /// The same role with another plugin, and Silver with the columns of that plugin.
    #[must_use]
    pub fn with(&self, plugin: Arc<dyn Cleaner>, config: String, breaker: Breaker, silver: Silver) -> Self {
        Clean {
            lake: self.lake.clone(),
            plugin,
            config,
            generation: OnceCell::new(),
            silver,
            queue: Arc::clone(&self.queue),
            concurrency: self.concurrency,
            breaker,
            progress: Arc::clone(&self.progress),
        }
    }

    /// Quarantines the documents of an object that was tried as often as is allowed.
    pub async fn give_up(&self, event: &NewObject, reason: &str) -> Result<(), Failure> {
        let generation = self.generation().await?;
        let mut wanted = wanted(std::slice::from_ref(event));
        let (tasks, _) = tasks::tasks(&self.lake, &mut wanted, generation.number).await?;
        let Some(task) = tasks.first() else { return Ok(()) };
        let snapshot = self.silver.snapshot().await?;
        if task.is_second_look() && !snapshot.rebuilding {
            // What an earlier generation made of it stands: the caller that asked for it to be made again may ask again.
            tracing::error!(object = %task.path, reason, "cleaning again is given up");
            return Ok(());
        }
        let made = Made::given_up(documents(&tasks), reason, generation);
        let refused: Vec<Refused> = made.refused.iter().map(|(_, refused)| refused.clone()).collect();
        quarantine::put_all(&self.lake, &refused).await?;
        Progress::add(&self.progress.quarantined, refused.len());
        let version = snapshot.version;
        self.settle(&tasks, &made, generation, version).await?;
        Ok(self.queue.send(vec![encode(&NewVersion { silver: version })]).await?)
    }

    /// The plugin's generation, entered if this is the first work.
    pub async fn generation(&self) -> Result<&Generation, Failure> {
        let enter = || async {
            let history = Generations::of_clean(&self.lake);
            history.enter(&self.lake, &*self.plugin, &self.config).await
        };
        Ok(self.generation.get_or_try_init(enter).await?)
    }

    async fn take(&self, tasks: &[Task], generation: &Generation) -> Result<i64, Failure> {
        let calls: Vec<_> = batches(documents(tasks)).into_iter().map(|batch| self.batch(batch, generation)).collect();
        let mut made = std::pin::pin!(futures::stream::iter(calls).buffered(self.concurrency.get()));
        let mut all = Made::default();
        while let Some(one) = made.next().await {
            let broken = match one {
                Ok(made) => {
                    self.hold(&mut all, made, generation).await?;
                    continue;
                }
                Err(broken) => broken,
            };
            for document in broken {
                let made = self.alone(document, generation).await;
                self.hold(&mut all, made, generation).await?;
            }
        }
        let refused: Vec<Refused> = all.refused.iter().map(|(_, refused)| refused.clone()).collect();
        if !refused.is_empty() {
            // A plugin that a later one has replaced meanwhile may not write its rows, nor its refusals.
            let latest = Generations::of_clean(&self.lake).latest().await?;
            self.silver.admits(generation.number, latest.map_or(0, |latest| latest.number))?;
        }
        let (judged, failed) = all.judged(tasks);
        let judged = self.breaker.judge(judged, &failed).await?;
        quarantine::put_all(&self.lake, &refused).await?;
        let version = self.commit(tasks, &mut all, generation).await?;
        self.settle(tasks, &all, generation, version).await?;
        self.breaker.passed(judged);
        Progress::add(&self.progress.quarantined, refused.len());
        Progress::add(&self.progress.cleaned, tasks.iter().map(|task| task.chosen.len()).sum());
        tracing::debug!(
            objects = tasks.len(),
            rows = all.cleaned,
            skipped = all.skipped.len(),
            quarantined = refused.len(),
            silver_version = version,
            "cleaned"
        );
        Ok(version)
    }

    /// Writes the receipts, and removes refusals that no longer hold.
    async fn settle(&self, tasks: &[Task], made: &Made, by: &Generation, version: i64) -> Result<(), Failure> {
        // Before the receipts: an object that has one is listed.
        let unlisted = tasks.iter().filter(|task| task.is_unlisted());
        let unlisted = unlisted.map(|task| (task.path.to_string(), Some(task.sha256.clone()))).collect();
        self.silver.list_objects(Why::Cleaned, &unlisted).await?;
        // The counts of a closed tick change with a receipt that it had.
        let changed = tasks.iter().filter(|task| task.before.is_some()).filter_map(|task| bronze::tick_of(&task.path));
        let changed: BTreeSet<Tick> = changed.collect();
        let opening = open::begin(&self.lake, changed, self.breaker.now()).await?;
        let fresh = made::receipts(tasks, made, by, version);
        let put = |(task, fresh)| {
            let Task { chosen, before, .. }: &Task = task;
            receipts::put(&self.lake, fresh, chosen, before.as_ref())
        };
        let puts: Vec<_> = tasks.iter().zip(&fresh).map(put).collect();
        let puts: Vec<Put> = futures::stream::iter(puts).buffered(16).try_collect().await?;
        opening.settle(&self.lake, self.breaker.now()).await?;
        // Last of all: before a refusal is removed, its new fate must be written down.
        Ok(quarantine::resolve(&self.lake, &made::resolved(tasks, &puts)).await?)
    }

    async fn commit(&self, tasks: &[Task], made: &mut Made, by: &Generation) -> Result<i64, Failure> {
        let unsure = made.unsure(tasks, by);
        let standing = if unsure.is_empty() { HashSet::new() } else { self.silver.sources_of(&unsure).await? };
        let gone = made.gone(tasks, by, &standing);
        retracted::note(&self.lake, &made::keys_of(&gone, tasks)).await?;
        self.commit_rows(made, gone, by).await
    }

    /// Commits the rows that are held to Silver, and drops them from memory.
    async fn commit_rows(&self, made: &mut Made, gone: Vec<RowMeta>, by: &Generation) -> Result<i64, Failure> {
        let schema = self.plugin.descriptor().output_schema();
        let rows = concat_batches(&schema, made.versions.iter().map(|one| &one.rows))
            .map_err(|error| Failure::Bug(format!("rows of one plugin do not fit together: {error}")))?;
        let upserted = self.silver.upsert(&made::versions(rows, made, gone, by)).await?;
        Progress::add(&self.progress.rows_written, upserted.written + upserted.retracted);
        Ok(upserted.version)
    }

    /// Adds to what is held. If that has become much, its rows are committed, as if the process died right after: the receipts, and the
    /// documents that make no row, come with the last commit.
    async fn hold(&self, all: &mut Made, made: Made, by: &Generation) -> Result<(), Failure> {
        all.append(made);
        let (rows, bytes) = all.size();
        if rows > MOST_ROWS_HELD || bytes > MOST_BYTES_HELD {
            self.commit_rows(all, Vec::new(), by).await?;
        }
        Ok(())
    }

    /// One plugin call. If it breaks the documents are given back: each is to be tried alone, so that the culprit is named and its
    /// neighbours commit.
    async fn batch(&self, batch: Vec<Document>, by: &Generation) -> Result<Made, Vec<Document>> {
        match self.call(&batch).await {
            Ok(cleaned) => Ok(Made::of(batch, cleaned, by)),
            Err(fault) => match <[Document; 1]>::try_from(batch) {
                Ok([document]) => Ok(broke(document, &fault, by)),
                Err(batch) => {
                    tracing::warn!(code = fault.code, error = %fault, documents = batch.len(), "plugin broke on a batch, trying each document alone");
                    Err(batch)
                }
            },
        }
    }

    async fn alone(&self, document: Document, by: &Generation) -> Made {
        match self.call(std::slice::from_ref(&document)).await {
            Ok(cleaned) => Made::of(vec![document], cleaned, by),
            Err(fault) => broke(document, &fault, by),
        }
    }

    async fn call(&self, batch: &[Document]) -> Result<Cleaned, Fault> {
        let texts: Vec<Bytes> = batch.iter().map(|document| document.line.text.clone()).collect();
        let cleaned = spans::called(spans::call(&*self.plugin, "clean", texts.len()), self.plugin.clean(&texts)).await;
        cleaned.map(lake::instants::within_calendar)
    }
}

/// What an object that cannot be read means for its own event.
fn failed_alone(one: Unreadable) -> Option<(Path, Failure)> {
    match one.corrupt {
        None => {
            tracing::warn!(object = %one.path, "not in bronze any more, nothing to clean");
            None
        }
        Some(error) => Some((one.path, error.into())),
    }
}

fn broke(document: Document, fault: &Fault, by: &Generation) -> Made {
    Made::broken(document, fault, by)
}

fn documents(tasks: &[Task]) -> Vec<Document> {
    let mut documents = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let live = task.live().filter(|(_, line)| line.meta.outcome == Outcome::Document);
        documents.extend(live.map(|(number, line)| Document {
            task: index,
            number,
            source: task.source(number),
            line: line.clone(),
        }));
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
