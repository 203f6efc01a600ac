//! One record: the plugin asks, answers are given, until it has decided.
//!
//! Does not write documents; keeps answers, because that must happen before they are used.

use std::num::NonZeroUsize;

use lake::answers::{self, Active, AnswerAt, AnswerId, Asked, Keeper, Origin};
use lake::bronze::{Entry, Meta};
use lake::failure::Failure;
use lake::quarantine::{REFUSED_BY_PLUGIN, REFUSED_LINE};
use records::document;
use seams::http::HttpAnswer;
use seams::plugin::{EndpointRequest, Fault, Step};
use seams::spans;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument as _;

use super::pages::{Kind, kind};
use super::role::Enrich;
use crate::progress::Progress;
use crate::rehearsal::Fate;
use crate::roles::gateway::GatewayError;

/// How often a plugin may ask before it must have decided.
const MOST_ROUNDS: usize = 4;
/// How many requests one record may cost.
const MOST_REQUESTS: usize = 16;

/// Where answers may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// From what is kept, else from the service.
    Service,
    /// From what is kept only.
    Kept,
}

/// What a record's decision needs besides the record.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    /// The message.
    pub(super) origin: Origin,
    /// Where answers may come from.
    pub(super) from: From,
    /// The line that the record has in Bronze, if it has one.
    pub(super) line: Option<&'a Meta>,
    /// How many records do something at once.
    pub(super) turns: &'a Turns<'a>,
}

/// How many records do something at once: of the message, and of the whole stage. A record that waits until its answer is written lets
/// others go on.
pub(super) struct Turns<'a> {
    stage: &'a Semaphore,
    message: Semaphore,
}

impl<'a> Turns<'a> {
    pub(super) fn of(stage: &'a Semaphore, of_message: NonZeroUsize) -> Self {
        Turns { stage, message: Semaphore::new(of_message.get()) }
    }
}

impl<'a> Case<'a> {
    fn asked(&self) -> Asked<'a> {
        let before = self.line.map_or(&[][..], |line| &line.answers);
        Asked { origin: self.origin, before, past: self.line.is_some() }
    }
}

/// A record under way: its turn, and that others may wait for its answer.
struct Turn<'a> {
    turns: &'a Turns<'a>,
    permits: Option<[SemaphorePermit<'a>; 2]>,
    active: Active<'a>,
}

impl<'a> Turn<'a> {
    async fn wait(turns: &'a Turns<'a>, active: Active<'a>) -> Result<Self, Failure> {
        let mut turn = Turn { turns, permits: None, active };
        turn.take().await?;
        Ok(turn)
    }

    async fn take(&mut self) -> Result<(), Failure> {
        let closed = |error| Failure::Bug(format!("no turn for a record: {error}"));
        let message = self.turns.message.acquire().await.map_err(closed)?;
        self.permits = Some([message, self.turns.stage.acquire().await.map_err(closed)?]);
        Ok(())
    }

    /// Keeps an answer. Other records have this one's turn meanwhile.
    async fn keep(
        &mut self,
        keeper: &Keeper,
        origin: Origin,
        (id, request): (&AnswerId, &EndpointRequest),
        answer: HttpAnswer,
    ) -> Result<(AnswerAt, HttpAnswer), Failure> {
        self.permits = None;
        let kept = keeper.keep(&self.active, origin, id, request, answer).await?;
        self.take().await?;
        Ok(kept)
    }
}

/// What became of one record.
#[derive(Clone)]
pub(super) struct Enriched {
    /// The end.
    pub(super) outcome: Verdict,
    /// The answers on the way to it.
    pub(super) answers: Answers,
}

/// Bytes of documents that one message may become: they are one object of Bronze, and are held until that is written.
const MOST_BYTES: usize = 256 << 20;

impl Enriched {
    /// The same, refused where its message's documents, with `bytes` so far, would become too many.
    pub(super) fn within(self, bytes: &mut usize) -> Self {
        let Verdict::Document(text) = &self.outcome else { return self };
        let more = bytes.saturating_add(text.len());
        if more <= MOST_BYTES {
            *bytes = more;
            return self;
        }
        let reason = format!(
            "the document of {} bytes is too much beside those of its message, which take {bytes} bytes of at most {MOST_BYTES}: \
             lower `batch_size` under `[source]` or `document` under `[limits]`",
            text.len()
        );
        let outcome = Verdict::Refused { code: "P120".to_owned(), reason, details: Vec::new() };
        Enriched { outcome, ..self }
    }
}

/// The answers that a record was given.
#[derive(Clone, Default)]
pub(super) struct Answers {
    /// Those that are kept, in the order asked for.
    pub(super) kept: Vec<AnswerAt>,
    /// The statuses of those that are not, because they say nothing of what was asked for.
    pub(super) unkept: Vec<u16>,
    /// Those that are kept when the plugin has made something of them: they may be no answers.
    doubtful: Vec<Doubtful>,
}

/// An answer that may be none.
#[derive(Clone)]
struct Doubtful {
    /// Where it stands among those that are kept.
    place: usize,
    id: AnswerId,
    request: EndpointRequest,
    answer: HttpAnswer,
}

/// How one record ended.
#[derive(Clone)]
pub(super) enum Verdict {
    /// Its document.
    Document(String),
    /// Nothing to store.
    Skipped(String),
    /// Refused, by the plugin or for what it did.
    Refused {
        /// Stable code.
        code: String,
        /// Why.
        reason: String,
        /// What else is known.
        details: Vec<String>,
    },
}

/// Why a record has no result.
pub(super) enum Unended {
    /// The work failed.
    Failed(Failure),
    /// An answer is not kept, and no service may be asked.
    Unanswered,
}

impl std::convert::From<Failure> for Unended {
    fn from(failure: Failure) -> Self {
        Unended::Failed(failure)
    }
}

impl Enrich {
    /// A new record, with the services to answer.
    pub(super) async fn record(&self, entry: &Entry, case: Case<'_>, active: Active<'_>) -> Result<Enriched, Failure> {
        match self.decide(entry, case, active).instrument(spans::record(&entry.key)).await {
            Ok(enriched) => Ok(enriched),
            Err(Unended::Failed(failure)) => Err(failure),
            Err(Unended::Unanswered) => Err(Failure::Bug("an answer that may be asked for was not".to_owned())),
        }
    }

    /// What the plugin makes of a record that has a line in Bronze, with the answers that are kept. Nothing is written.
    pub async fn rehearse(&self, of: &Meta) -> Result<Fate, Failure> {
        let entry = Entry { key: of.key.clone(), record: of.record.clone() };
        let (origin, stage) = (Origin { tick: of.seq, batch: 0 }, Semaphore::new(1));
        let turns = Turns::of(&stage, NonZeroUsize::MIN);
        let case = Case { origin, from: From::Kept, line: Some(of), turns: &turns };
        match self.decide(&entry, case, self.answers.active()).await {
            Ok(enriched) => Ok(match enriched.outcome {
                Verdict::Document(text) => Fate::Document(text),
                Verdict::Skipped(reason) => Fate::Skipped(reason),
                Verdict::Refused { reason, .. } => Fate::Refused(reason),
            }),
            Err(Unended::Unanswered | Unended::Failed(Failure::Pause { .. })) => Ok(Fate::Unknown),
            Err(Unended::Failed(failure)) => Err(failure),
        }
    }

    /// A record, with its answers from where they may come from. `active` has counted it since its message was begun, so that no answer of the
    /// message is written alone while others are still to be asked for.
    pub(super) async fn decide(&self, entry: &Entry, case: Case<'_>, active: Active<'_>) -> Result<Enriched, Unended> {
        let text = serde_json::to_string(&entry.record).unwrap_or_default();
        let Some(plugin) = &self.plugin else {
            return Ok(Enriched { outcome: checked(text), answers: Answers::default() });
        };
        let mut turn = Turn::wait(case.turns, active).await?;
        let mut given: Vec<HttpAnswer> = Vec::new();
        let mut answers = Answers::default();
        for _ in 0..MOST_ROUNDS {
            let asked = spans::called(spans::call(&**plugin, "enrich", 1), plugin.enrich(&text, &given)).await;
            let outcome = match asked {
                Err(fault) => broken(fault),
                Ok(Step::Done(document)) => checked(document),
                Ok(Step::Skip(reason)) => Verdict::Skipped(reason),
                Ok(Step::Reject(reason)) => {
                    Verdict::Refused { code: REFUSED_BY_PLUGIN.to_owned(), reason, details: Vec::new() }
                }
                Ok(Step::BackOff { pause, reason }) => {
                    // An answer that said "not now" is no answer to the question: it must not be found again. Where no service is asked, a
                    // kept answer is one that a plugin accepted.
                    for at in answers.kept.iter().filter(|_| case.from == From::Service) {
                        self.answers.forget(at).await.map_err(Failure::from)?;
                    }
                    return Err(Failure::Pause { pause, reason }.into());
                }
                Ok(Step::Fetch(requests)) => {
                    match self.fetch(&requests, case, &mut turn, &mut given, &mut answers).await {
                        Ok(true) => continue,
                        Ok(false) => return Err(Unended::Unanswered),
                        Err(GatewayError::Failure(failure)) => return Err(failure.into()),
                        Err(GatewayError::Refused { code, reason }) => {
                            Verdict::Refused { code: code.to_owned(), reason, details: Vec::new() }
                        }
                    }
                }
            };
            return Ok(self.ended(outcome, answers, case, turn).await?);
        }
        let reason = format!("the plugin asked in {MOST_ROUNDS} rounds and did not decide");
        let outcome = Verdict::Refused { code: "P163".to_owned(), reason, details: Vec::new() };
        Ok(self.ended(outcome, answers, case, turn).await?)
    }

    /// Ends a record. What may be a page in an answer's place is kept if the plugin has made something of it; otherwise the next fetch asks
    /// again.
    async fn ended(
        &self,
        outcome: Verdict,
        mut answers: Answers,
        case: Case<'_>,
        mut turn: Turn<'_>,
    ) -> Result<Enriched, Failure> {
        for Doubtful { place, id, request, answer } in std::mem::take(&mut answers.doubtful) {
            if matches!(outcome, Verdict::Refused { .. }) {
                answers.unkept.push(answer.status);
                continue;
            }
            let (at, kept) = turn.keep(&self.answers, case.origin, (&id, &request), answer.clone()).await?;
            if kept != answer {
                let reason = format!("another host was answered otherwise by endpoint `{}`", request.endpoint);
                return Err(Failure::Transient(reason));
            }
            answers.kept.insert(place.min(answers.kept.len()), at);
        }
        Ok(Enriched { outcome, answers })
    }

    /// Adds the answers to `requests`; false if one is not kept and no service may be asked.
    async fn fetch(
        &self,
        requests: &[EndpointRequest],
        case: Case<'_>,
        turn: &mut Turn<'_>,
        given: &mut Vec<HttpAnswer>,
        answers: &mut Answers,
    ) -> Result<bool, GatewayError> {
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
            let id = AnswerId::of(&complete, case.origin.tick.day());
            let (at, answer) = match self.answers.find(&id, case.asked()).await.map_err(Failure::from)? {
                Some(found) => {
                    Progress::add(&self.progress.kept_answers, 1);
                    if matches!(found.1.status, 200..=299) {
                        self.gateway.remember(&complete);
                    }
                    found
                }
                None if case.from == From::Kept => return Ok(false),
                None => {
                    let sent = self.gateway.send(request).await;
                    if let Err(GatewayError::Failure(_)) = &sent
                        && self.gateway.wants_witness(&request.endpoint)
                    {
                        self.find_witness(&request.endpoint).await?;
                    }
                    let answer = sent?;
                    match kind(&complete, &answer) {
                        Kind::Answer if is_an_answer(answer.status) => {}
                        Kind::Doubtful => {
                            let place = answers.kept.len() + answers.doubtful.len();
                            answers.doubtful.push(Doubtful { place, id, request: complete, answer: answer.clone() });
                            given.push(answer);
                            continue;
                        }
                        Kind::Answer | Kind::Page => {
                            answers.unkept.push(answer.status);
                            given.push(answer);
                            continue;
                        }
                    }
                    turn.keep(&self.answers, case.origin, (&id, &complete), answer).await?
                }
            };
            given.push(answer);
            answers.kept.push(at);
        }
        Ok(true)
    }

    /// Looks for a request that this service has answered well before: it tells a service that is down from requests that get no answer,
    /// also in a process that has had no answer yet.
    async fn find_witness(&self, endpoint: &str) -> Result<(), Failure> {
        for (request, answer) in answers::some(&self.lake, MOST_LOOKED_AT).await? {
            if request.endpoint == endpoint && matches!(answer.status, 200..=299) {
                self.gateway.remember(&request);
                break;
            }
        }
        Ok(())
    }
}

/// Kept answers that are searched for a good one.
const MOST_LOOKED_AT: usize = 50;

/// Whether a status says something of what was asked for, and not of the caller or of how often it asks.
fn is_an_answer(status: u16) -> bool {
    matches!(status, 200..=299) || (matches!(status, 400..=499) && !matches!(status, 401 | 403 | 407 | 408 | 425 | 429))
}

/// A document that passes the lake's door, or its refusal.
fn checked(text: String) -> Verdict {
    match document::check(&text) {
        Ok(()) => Verdict::Document(text),
        Err(reason) => unfit(reason),
    }
}

/// The refusal of a document that could not be read again.
pub(super) fn unfit(reason: impl std::fmt::Display) -> Verdict {
    let reason = format!("the document cannot be kept: {reason}");
    Verdict::Refused { code: REFUSED_LINE.to_owned(), reason, details: Vec::new() }
}

fn broken(fault: Fault) -> Verdict {
    let details = fault_details(&fault);
    Verdict::Refused { code: fault.code.to_owned(), reason: fault.message, details }
}

/// What an author who mends the plugin wants to see.
pub(crate) fn fault_details(fault: &Fault) -> Vec<String> {
    fault.backtrace.iter().flat_map(|trace| trace.lines()).map(str::to_owned).chain(fault.log.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_one_message_are_bounded_together() {
        let document =
            |size: usize| Enriched { outcome: Verdict::Document("x".repeat(size)), answers: Answers::default() };
        let mut bytes = 0;
        let ends: Vec<bool> = [200 << 20, 100 << 20, 50 << 20]
            .into_iter()
            .map(|size| match document(size).within(&mut bytes).outcome {
                Verdict::Document(_) => true,
                Verdict::Refused { code, .. } => {
                    assert_eq!(code, "P120");
                    false
                }
                Verdict::Skipped(_) => panic!("a document is not skipped"),
            })
            .collect();
        assert_eq!((ends, bytes), (vec![true, false, true], 250 << 20));
    }
}
