//! Role enrich: a message of records becomes one object of Bronze, each line a document, or why there is none.
//!
//! Does not build requests (`roles::gateway`) and knows no service: what to ask and what an answer means is the plugin's.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::StreamExt;
use lake::LakeError;
use lake::answers::Origin;
use lake::bronze::{self, Entry, Message, Meta, Outcome};
use lake::events::{NewObject, encode};
use lake::failure::Failure;
use lake::generations::Generation;
use lake::quarantine::{self, REFUSED_BY_RETRIES, Refused, RefusedAt};
use records::keys::{Key, Tick};
use seams::store::{Created, Path, create, read_if_there};
use tokio::sync::Semaphore;

use crate::progress::Progress;

mod again;
mod pages;
mod record;
mod role;

pub(crate) use record::fault_details;
use record::{Answers, Case, Enriched, From, Turns, Verdict};
pub use role::Enrich;

/// Records of one message that are under way at once. Most of them wait: for a turn, or until their answers are written.
const MOST_UNDER_WAY: usize = 256;

/// What the plugin is to be judged by.
#[derive(Default)]
struct Judged {
    /// Records that it was given.
    records: usize,
    /// Records that were refused before: a second refusal says nothing of the plugin.
    refused_before: BTreeSet<Key>,
}

impl Judged {
    fn by(records: usize) -> Self {
        Judged { records, ..Judged::default() }
    }
}

impl Enrich {
    /// Makes the Bronze object of `message` and tells the clean stage, unless it is there already. `again` says that the message was in
    /// hand before; `stage` has a permit for each record that does something at once in the whole stage.
    pub async fn message(&self, message: &Message, again: bool, stage: &Semaphore) -> Result<(), Failure> {
        if read_if_there(&*self.lake.bronze, &message.object()).await?.is_none() {
            let origin = Origin { tick: message.tick, batch: message.batch };
            if self.plugin.is_some() {
                self.answers.begin(origin, again).await?;
            }
            let turns = Turns::of(stage, self.concurrency);
            let case = Case { origin, from: From::Service, line: None, turns: &turns };
            let entries = message.entries.iter();
            let records: Vec<_> = entries.map(|entry| self.record(entry, case, self.answers.active())).collect();
            let mut bytes = 0;
            let results = futures::stream::iter(records).buffered(MOST_UNDER_WAY.max(self.concurrency.get()));
            let results = results.map(|one| one.map(|one| one.within(&mut bytes))).collect();
            // Side by side: the first message of a process waits for both.
            let (results, generation) = futures::join!(results, self.generation());
            generation?;
            // Every answer got so far is kept, so giving the message back costs only the calls that failed.
            let results = gravest(results)?;
            let results = message.entries.iter().zip(results);
            self.store(&message.object(), message.tick, results, Judged::by(message.entries.len())).await?;
        }
        self.tell(message).await
    }

    /// Quarantines every record of a message that was tried often enough.
    pub async fn give_up(&self, message: &Message, reason: &str) -> Result<(), Failure> {
        if read_if_there(&*self.lake.bronze, &message.object()).await?.is_none() {
            let refused = |entry| {
                let (code, reason) = (REFUSED_BY_RETRIES.to_owned(), reason.to_owned());
                let outcome = Verdict::Refused { code, reason, details: Vec::new() };
                (entry, Enriched { outcome, answers: Answers::default() })
            };
            let results = message.entries.iter().map(refused);
            self.store(&message.object(), message.tick, results, Judged::by(message.entries.len())).await?;
        }
        self.tell(message).await
    }

    async fn tell(&self, message: &Message) -> Result<(), Failure> {
        Progress::add(&self.progress.enriched, message.entries.len());
        Ok(self.queue.send(vec![encode(&NewObject::whole(&message.object()))]).await?)
    }

    /// Writes an object of Bronze, and quarantines what was refused.
    async fn store<'a>(
        &self,
        object: &Path,
        tick: Tick,
        results: impl Iterator<Item = (&'a Entry, Enriched)> + Send,
        by: Judged,
    ) -> Result<(), Failure> {
        let generation = self.generation().await?;
        let mut body = Vec::new();
        let mut refused = Vec::new();
        for ((entry, result), number) in results.zip(1_usize..) {
            let meta = Meta {
                key: entry.key.clone(),
                seq: tick,
                outcome: Outcome::Document,
                record: entry.record.clone(),
                answers: result.answers.kept.iter().map(ToString::to_string).collect(),
                unkept: result.answers.unkept,
                plugin: generation.map(|generation| generation.plugin.clone()),
                generation: generation.map_or(0, |generation| generation.number),
            };
            let (verdict, line) = readable(result.outcome, &meta);
            let outcome = match verdict {
                Verdict::Document(_) => {
                    body.extend(line);
                    continue;
                }
                Verdict::Skipped(reason) => Outcome::Skipped { reason },
                Verdict::Refused { code, reason, details } => {
                    let input = format!("{object}:{number}");
                    let one = refusal(entry, tick, &input, generation, code, reason.clone(), details);
                    let outcome = Outcome::Quarantined { id: one.id.clone(), reason };
                    refused.push(one);
                    outcome
                }
            };
            body.extend(bronze::line(None, &Meta { outcome, ..meta }));
        }
        let fresh = refused.iter().filter(|one| one.key.as_ref().is_none_or(|key| !by.refused_before.contains(key)));
        let judged = self.breaker.judge(by.records, &fresh.cloned().collect::<Vec<_>>()).await?;
        quarantine::put_all(&self.lake, &refused).await?;
        Progress::add(&self.progress.quarantined, refused.len());
        if let Created::Existing(there) =
            create(&*self.lake.bronze, object, Bytes::from(body)).await.map_err(LakeError::from)?
        {
            self.withdraw(object, &there, &refused).await?;
        }
        self.breaker.passed(judged);
        Ok(())
    }
}

impl Enrich {
    /// Removes the refusals of an object that are not in it: another worker was faster, and the service answered that worker differently.
    async fn withdraw(&self, object: &Path, there: &Bytes, refused: &[Refused]) -> Result<(), Failure> {
        if refused.is_empty() {
            return Ok(());
        }
        let lines = bronze::lines(object, there)?;
        let holds = |id: &str| {
            lines.iter().any(|line| matches!(&line.meta.outcome, Outcome::Quarantined { id: held, .. } if held == id))
        };
        let withdrawn: Vec<String> = refused.iter().filter(|one| !holds(&one.id)).map(|one| one.id.clone()).collect();
        Ok(quarantine::resolve(&self.lake, &withdrawn).await?)
    }
}

/// A document and its line, if the lake's own reader reads the line back; else its refusal. What cannot be read again would block
/// every later look at the lake.
fn readable(verdict: Verdict, meta: &Meta) -> (Verdict, Vec<u8>) {
    let Verdict::Document(text) = &verdict else { return (verdict, Vec::new()) };
    let line = bronze::line(Some(text), meta);
    match bronze::meta_of(&line) {
        Ok(_) => (verdict, line),
        Err(error) => (record::unfit(error), Vec::new()),
    }
}

fn refusal(
    entry: &Entry,
    seq: Tick,
    input: &str,
    by: Option<&Generation>,
    code: String,
    reason: String,
    details: Vec<String>,
) -> Refused {
    let stage = RefusedAt::Enrich;
    let (generation, plugin) = by.map_or((0, None), |by| (by.number, Some(by.plugin.clone())));
    let id = Refused::id_of(stage, input, generation);
    let (key, record) = (Some(entry.key.clone()), entry.record.clone());
    let (input, line) = (input.to_owned(), None);
    Refused { id, stage, code, reason, key, seq, input, plugin, generation, record, line, details }
}

/// All results, or the gravest failure among them.
fn gravest<T>(results: Vec<Result<T, Failure>>) -> Result<Vec<T>, Failure> {
    let (mut good, mut worst) = (Vec::new(), None::<Failure>);
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err(failure) if worst.as_ref().is_none_or(|worst| failure.gravity() > worst.gravity()) => {
                worst = Some(failure)
            }
            Err(_) => {}
        }
    }
    worst.map_or(Ok(good), Err)
}
