//! Records enriched again: what another plugin, configuration or a second try makes of the same record and the same answers.
//!
//! Does not choose which: `crate::replay` does. Bronze is never rewritten: a different result becomes a new object of the same tick, whose
//! lines replace the earlier ones; an equal result is noted, and nothing follows from it.

use std::collections::BTreeSet;

use futures::StreamExt;
use lake::answers::{Active, Origin};
use lake::bronze::{self, Entry, Line, Outcome};
use lake::events::{Again, NewObject, encode};
use lake::failure::Failure;
use lake::generations::Generation;
use lake::{open, quarantine, receipts};
use records::keys::{Key, Tick};
use seams::spans;
use seams::store::{Path, read};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::record::{Case, Enriched, From, Turns, Unended, Verdict};
use super::role::Enrich;
use super::{Judged, MOST_UNDER_WAY, gravest};
use crate::progress::Progress;

/// A line that was looked at again.
struct Looked {
    number: usize,
    entry: Entry,
    before: Line,
    /// None if an answer is not kept.
    now: Option<Enriched>,
}

impl Enrich {
    /// Enriches records of an object of Bronze again. Doing so twice changes nothing. `stage` is as for [`Enrich::message`].
    pub async fn again(&self, work: &Again, stage: &Semaphore) -> Result<(), Failure> {
        let path = Path::from(work.bronze.as_str());
        let (Some(tick), Some(generation)) = (bronze::tick_of(&path), self.generation().await?) else { return Ok(()) };
        let chosen = self.unseen(&path, work, generation).await?;
        let from = if work.fetch { From::Service } else { From::Kept };
        let (origin, turns) = (Origin { tick, batch: bronze::batch_of(&path) }, Turns::of(stage, self.concurrency));
        let case = Case { origin, from, line: None, turns: &turns };
        let look = |(number, line)| self.look(number, line, case, self.answers.active());
        let looks: Vec<_> = chosen.into_iter().map(look).collect();
        let at_once = MOST_UNDER_WAY.max(self.concurrency.get());
        let looked = futures::stream::iter(looks).buffered(at_once).collect().await;
        let looked = gravest(looked)?;
        let changed: Vec<&Looked> = looked.iter().filter(|one| one.is_another()).collect();
        tracing::debug!(object = %path, lines = looked.len(), changed = changed.len(), "enriched again");
        let refused_before: BTreeSet<Key> =
            looked.iter().filter(|one| one.refusal_before().is_some()).map(|one| one.entry.key.clone()).collect();
        let judged = Judged { records: looked.len() - refused_before.len(), refused_before };
        self.bring(&path, tick, generation, &changed, judged).await?;
        // After the event: what is noted is not looked at again, and the event would never come.
        self.note(&path, generation, &looked).await?;
        // Only now is the new fate of what was refused before written down.
        let resolved: Vec<String> = changed.iter().filter_map(|one| one.refusal_before()).collect();
        quarantine::resolve(&self.lake, &resolved).await?;
        Progress::add(&self.progress.enriched, looked.len());
        Ok(())
    }

    /// The lines of the work that this generation has not seen, or could not decide.
    async fn unseen(&self, path: &Path, work: &Again, by: &Generation) -> Result<Vec<(usize, Line)>, Failure> {
        let seen = receipts::enriched(&self.lake, path).await?;
        let wanted: BTreeSet<usize> = work.lines.iter().copied().collect();
        let object = read(&*self.lake.bronze, path).await?;
        let lines = (1..).zip(bronze::lines(path, &object)?);
        let done = |(number, line): &(usize, Line)| {
            // A refusal is worth another try also by the same plugin: it may have been a service's.
            let refused = matches!(line.meta.outcome, Outcome::Quarantined { .. });
            !refused
                && seen.as_ref().is_some_and(|seen| {
                    let unanswered = work.fetch && seen.unanswered.contains(number);
                    seen.seen.get(number).is_some_and(|generation| *generation >= by.number) && !unanswered
                })
        };
        Ok(lines.filter(|one| wanted.contains(&one.0) && !done(one)).collect())
    }

    async fn look(&self, number: usize, before: Line, case: Case<'_>, active: Active<'_>) -> Result<Looked, Failure> {
        let entry = Entry { key: before.meta.key.clone(), record: before.meta.record.clone() };
        let case = Case { line: Some(&before.meta), ..case };
        let now = match self.decide(&entry, case, active).instrument(spans::record(&entry.key)).await {
            Ok(enriched) => Some(enriched),
            Err(Unended::Unanswered) => None,
            Err(Unended::Failed(failure)) => return Err(failure),
        };
        Ok(Looked { number, entry, before, now })
    }

    /// Writes what has changed, and tells the clean stage of it, also that the earlier lines no longer count: they may be refused there.
    async fn bring(
        &self,
        path: &Path,
        tick: Tick,
        by: &Generation,
        changed: &[&Looked],
        judged: Judged,
    ) -> Result<(), Failure> {
        if changed.is_empty() {
            return Ok(());
        }
        let numbers: Vec<usize> = changed.iter().map(|one| one.number).collect();
        let object = bronze::redo(tick, by.number, path, &numbers);
        let results = changed.iter().filter_map(|one| Some((&one.entry, one.now.clone()?)));
        // The tick may be closed: then no sweep would look for what is lost after the object.
        let opening = open::begin(&self.lake, [tick], self.breaker.now()).await?;
        self.store(&object, tick, results.collect::<Vec<_>>().into_iter(), judged).await?;
        opening.settle(&self.lake, self.breaker.now()).await?;
        let earlier = NewObject { bronze: path.to_string(), lines: numbers, again: true };
        Ok(self.queue.send(vec![encode(&NewObject::whole(&object)), encode(&earlier)]).await?)
    }

    async fn note(&self, path: &Path, by: &Generation, looked: &[Looked]) -> Result<(), Failure> {
        let lines = looked.iter().map(|one| (one.number, one.now.is_some())).collect();
        Ok(receipts::note_enriched(&self.lake, path, by.number, &lines).await?)
    }
}

impl Looked {
    /// Whether it came out differently.
    fn is_another(&self) -> bool {
        let meta = &self.before.meta;
        match (self.now.as_ref().map(|now| &now.outcome), &meta.outcome) {
            (None, _) => false,
            (Some(Verdict::Document(text)), Outcome::Document) => {
                // The document behind the old provenance is the old line, if it is the old document.
                bronze::line(Some(text), meta).strip_suffix(b"\n") != Some(&self.before.text[..])
            }
            (Some(Verdict::Skipped(now)), Outcome::Skipped { reason }) => now != reason,
            (Some(Verdict::Refused { reason: now, .. }), Outcome::Quarantined { reason, .. }) => now != reason,
            (Some(_), Outcome::Forgotten) => false,
            (Some(_), _) => true,
        }
    }

    fn refusal_before(&self) -> Option<String> {
        match &self.before.meta.outcome {
            Outcome::Quarantined { id, .. } => Some(id.clone()),
            Outcome::Document | Outcome::Skipped { .. } | Outcome::Forgotten => None,
        }
    }
}
