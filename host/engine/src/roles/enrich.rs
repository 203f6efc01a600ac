//! Role enrich: a message of records becomes one object of Bronze, each line a document, or why there is none.
//!
//! Does not build requests (`roles::gateway`) and knows no service: what to ask and what an answer means is the plugin's.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::breaker::Breaker;
use super::events::{NewObject, encode};
use super::gateway::{Gateway, GatewayError};
use crate::failure::Failure;
use crate::lake::answers::{self, AnswerId};
use crate::lake::bronze::{self, Entry, Message, Meta, Outcome, PluginStamp};
use crate::lake::keys::Tick;
use crate::lake::quarantine::{self, REFUSED_BY_PLUGIN, REFUSED_BY_RETRIES, Refused, RefusedAt};
use crate::lake::{Lake, LakeError};
use crate::progress::Progress;
use crate::seams::http::HttpAnswer;
use crate::seams::plugin::{EndpointRequest, Enricher, Fault, Plugin, Step};
use crate::seams::queue::Queue;
use crate::seams::store::{create, read_if_there};

/// How often a plugin may ask before it must have decided.
const MOST_ROUNDS: usize = 4;
/// How many requests one record may cost.
const MOST_REQUESTS: usize = 16;

/// The enrich role of one pipeline.
#[derive(Debug)]
pub struct Enrich {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where documents and answers go.
    pub lake: Lake,
    /// The plugin; without one the source's record is the document.
    pub plugin: Option<Arc<dyn Enricher>>,
    /// The way out.
    pub gateway: Gateway,
    /// Where the news of a new object goes.
    pub queue: Arc<dyn Queue>,
    /// Records of one message under way at once.
    pub concurrency: NonZeroUsize,
    /// Suspends the stage when its plugin fails on too many records.
    pub breaker: Breaker,
    /// Counters.
    pub progress: Arc<Progress>,
}

/// What a plugin is called in documents and quarantine.
pub fn stamp(plugin: &(impl Plugin + ?Sized)) -> PluginStamp {
    let descriptor = plugin.descriptor();
    PluginStamp {
        name: descriptor.name.clone(),
        version: descriptor.version.clone(),
        digest: plugin.digest().to_string(),
    }
}

/// What became of one record.
struct Enriched {
    outcome: Verdict,
    answers: Vec<AnswerId>,
}

enum Verdict {
    Document(String),
    Skipped(String),
    Refused { code: String, reason: String, details: Vec<String> },
}

impl Enrich {
    /// Makes the Bronze object of `message` and tells the clean stage, unless it is there already.
    pub async fn message(&self, message: &Message) -> Result<(), Failure> {
        if read_if_there(&*self.lake.bronze, &message.object()).await?.is_none() {
            let records: Vec<_> = message.entries.iter().map(|entry| self.record(entry, message.tick)).collect();
            let results = futures::stream::iter(records).buffered(self.concurrency.get()).collect().await;
            // Every answer got so far is kept, so giving the message back costs only the calls that failed.
            let results = gravest(results)?;
            self.store(message, results).await?;
        }
        self.tell(message).await
    }

    /// Quarantines every record of a message that was tried often enough.
    pub async fn give_up(&self, message: &Message, reason: &str) -> Result<(), Failure> {
        if read_if_there(&*self.lake.bronze, &message.object()).await?.is_none() {
            let refused = || Verdict::Refused {
                code: REFUSED_BY_RETRIES.to_owned(),
                reason: reason.to_owned(),
                details: Vec::new(),
            };
            let results =
                message.entries.iter().map(|_| Enriched { outcome: refused(), answers: Vec::new() }).collect();
            self.store(message, results).await?;
        }
        self.tell(message).await
    }

    async fn tell(&self, message: &Message) -> Result<(), Failure> {
        Progress::add(&self.progress.enriched, message.entries.len());
        let event = NewObject { bronze: message.object().to_string() };
        Ok(self.queue.send(vec![encode(&event)]).await?)
    }

    async fn store(&self, message: &Message, results: Vec<Enriched>) -> Result<(), Failure> {
        let stamp = self.plugin.as_deref().map(stamp);
        let mut object = Vec::new();
        let mut refused = Vec::new();
        for ((entry, result), number) in message.entries.iter().zip(results).zip(1_usize..) {
            let input = format!("{}:{number}", message.object());
            let (document, outcome) = match result.outcome {
                Verdict::Document(text) => (Some(text), Outcome::Document),
                Verdict::Skipped(reason) => (None, Outcome::Skipped { reason }),
                Verdict::Refused { code, reason, details } => {
                    let one = refusal(entry, message.tick, &input, stamp.clone(), code, reason.clone(), details);
                    let outcome = Outcome::Quarantined { id: one.id.clone(), reason };
                    refused.push(one);
                    (None, outcome)
                }
            };
            let meta = Meta {
                key: entry.key.clone(),
                seq: message.tick,
                outcome,
                record: entry.record.clone(),
                answers: result.answers.iter().map(|id| id.as_str().to_owned()).collect(),
                plugin: stamp.clone(),
            };
            object.extend(bronze::line(document.as_deref(), &meta));
        }
        let judged = self.breaker.judge(message.entries.len(), &refused).await?;
        quarantine::put_all(&self.lake, &refused).await?;
        Progress::add(&self.progress.quarantined, refused.len());
        create(&*self.lake.bronze, &message.object(), Bytes::from(object)).await.map_err(LakeError::from)?;
        self.breaker.passed(judged);
        Ok(())
    }

    async fn record(&self, entry: &Entry, tick: Tick) -> Result<Enriched, Failure> {
        let text = serde_json::to_string(&entry.record).unwrap_or_default();
        let Some(plugin) = &self.plugin else {
            return Ok(Enriched { outcome: Verdict::Document(text), answers: Vec::new() });
        };
        let mut given: Vec<HttpAnswer> = Vec::new();
        let mut ids: Vec<AnswerId> = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let outcome = match plugin.enrich(&text, &given).await {
                Err(fault) => broken(fault),
                Ok(Step::Done(document)) => Verdict::Document(document),
                Ok(Step::Skip(reason)) => Verdict::Skipped(reason),
                Ok(Step::Reject(reason)) => {
                    Verdict::Refused { code: REFUSED_BY_PLUGIN.to_owned(), reason, details: Vec::new() }
                }
                Ok(Step::BackOff { pause, reason }) => {
                    // What said "not now" is no answer to the question: it must not be found again.
                    for id in &ids {
                        answers::forget(&self.lake, id).await?;
                    }
                    return Err(Failure::Pause { pause, reason });
                }
                Ok(Step::Fetch(requests)) => match self.fetch(&requests, tick, &mut given, &mut ids).await {
                    Ok(()) => continue,
                    Err(GatewayError::Failure(failure)) => return Err(failure),
                    Err(GatewayError::Refused { code, reason }) => {
                        Verdict::Refused { code: code.to_owned(), reason, details: Vec::new() }
                    }
                },
            };
            return Ok(Enriched { outcome, answers: ids });
        }
        let reason = format!("the plugin asked in {MOST_ROUNDS} rounds and did not decide");
        Ok(Enriched {
            outcome: Verdict::Refused { code: "P163".to_owned(), reason, details: Vec::new() },
            answers: ids,
        })
    }

    async fn fetch(
        &self,
        requests: &[EndpointRequest],
        tick: Tick,
        given: &mut Vec<HttpAnswer>,
        ids: &mut Vec<AnswerId>,
    ) -> Result<(), GatewayError> {
        if requests.is_empty() || given.len() + requests.len() > MOST_REQUESTS {
            let reason = format!(
                "the plugin asks for {} requests after {}, expected at least one and at most {MOST_REQUESTS} a record",
                requests.len(),
                given.len()
            );
            return Err(GatewayError::Refused { code: "P163", reason });
        }
        for request in requests {
            let complete = self.gateway.complete(request)?;
            let id = AnswerId::of(&complete, tick.day());
            let answer = match answers::kept(&self.lake, &id).await.map_err(Failure::from)? {
                Some(answer) => {
                    Progress::add(&self.progress.kept_answers, 1);
                    answer
                }
                None => {
                    let answer = self.gateway.send(request).await?;
                    if is_an_answer(answer.status) {
                        answers::keep(&self.lake, &id, &complete, answer).await.map_err(Failure::from)?
                    } else {
                        answer
                    }
                }
            };
            given.push(answer);
            ids.push(id);
        }
        Ok(())
    }
}

/// Whether a status says something of what was asked for, and not of who asks or how often.
fn is_an_answer(status: u16) -> bool {
    matches!(status, 200..=299) || (matches!(status, 400..=499) && !matches!(status, 401 | 403 | 407 | 408 | 425 | 429))
}

fn broken(fault: Fault) -> Verdict {
    let details = fault_details(&fault);
    Verdict::Refused { code: fault.code.to_owned(), reason: fault.message, details }
}

/// What a person who mends the plugin wants to see.
pub(crate) fn fault_details(fault: &Fault) -> Vec<String> {
    fault.backtrace.iter().flat_map(|trace| trace.lines()).map(str::to_owned).chain(fault.log.iter().cloned()).collect()
}

fn refusal(
    entry: &Entry,
    seq: Tick,
    input: &str,
    plugin: Option<PluginStamp>,
    code: String,
    reason: String,
    details: Vec<String>,
) -> Refused {
    let stage = RefusedAt::Enrich;
    let id = Refused::id_of(stage, input, plugin.as_ref());
    let (key, record) = (Some(entry.key.clone()), entry.record.clone());
    Refused { id, stage, code, reason, key, seq, input: input.to_owned(), plugin, record, details }
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
