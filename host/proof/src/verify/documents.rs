//! V3 of the enrich stage: each document of Bronze is what its recorded plugin makes of its record and answers.
//!
//! Asks no service: the answers are those that are kept.

use std::collections::BTreeMap;

use engine::difference::different_bytes;
use futures::StreamExt;
use lake::bronze::{self, Line, Meta, Outcome};
use lake::failure::Failure;
use lake::quarantine::{REFUSED_BY_PLUGIN, Refused};
use seams::store::{Path, Store, read};

use super::patience::Patience;
use super::{Checker, Finding, Invariant};
use crate::remake::{CannotRemake, Remade, RemakeError, Workshop};

/// Objects looked at at once.
const AT_ONCE: usize = 8;

impl Checker<'_> {
    /// V3 of the enrich stage.
    pub(super) async fn documents(&mut self) -> Result<(), Failure> {
        let objects = &self.evidence.inventory.objects;
        self.steps.begin("making documents again", objects.len());
        let store = &self.service.enrich.lake.bronze;
        let asking = Asking { workshop: &self.workshop, patience: &self.patience, refused: &self.refused };
        let checks: Vec<_> = objects.iter().map(|object| one(&asking, store, object)).collect();
        let mut checks = futures::stream::iter(checks).buffered(AT_ONCE);
        let (mut lines, mut found, mut unprovable) = (0, Vec::new(), BTreeMap::<u16, usize>::new());
        while let Some(checked) = checks.next().await {
            let (unkept, count, mut findings) = checked?;
            self.steps.step(1);
            lines += count;
            found.append(&mut findings);
            unkept.into_iter().for_each(|status| *unprovable.entry(status).or_default() += 1);
        }
        drop(checks);
        self.report.notes.extend(unprovable.iter().map(|(status, count)| {
            format!("{count} of the record versions cannot be made again: {}", CannotRemake::NotKept(*status))
        }));
        // The code tells why it was refused; a transient fault, such as a deadline, need not recur.
        found.retain(|(id, _)| {
            let code = id.as_ref().and_then(|id| self.refused.get(id)).map(|refused| refused.code.as_str());
            code.is_none_or(|code| code == REFUSED_BY_PLUGIN)
        });
        self.report.checked(Invariant::V3, lines);
        self.report.findings.extend(found.into_iter().map(|(_, finding)| finding));
        Ok(())
    }
}

/// A finding, and the refusal that it is about, if it is about one.
type About = (Option<String>, Finding);

/// The statuses of answers that were not kept, for lines that cannot be made again without them; the number of other such lines; the findings.
type Looked = (Vec<u16>, usize, Vec<About>);

/// What is asked, and what is known before.
struct Asking<'a> {
    workshop: &'a Workshop,
    patience: &'a Patience,
    refused: &'a BTreeMap<String, Refused>,
}

async fn one(asking: &Asking<'_>, store: &Store, object: &Path) -> Result<Looked, Failure> {
    let workshop = asking.workshop;
    let bytes = read(&**store, object).await?;
    // Damage was reported before.
    let Ok(lines) = bronze::lines(object, &bytes) else { return Ok(Looked::default()) };
    let (mut unkept, mut found) = (Vec::new(), Vec::new());
    for (line, number) in lines.iter().zip(1_usize..) {
        if let Some(message) = misstated(workshop, object, line) {
            let at = format!("{} ({object}:{number})", line.meta.key);
            found.push((None, Finding { invariant: Invariant::V3, at, message }));
        }
        let made = matches!(line.meta.outcome, Outcome::Document | Outcome::Skipped { .. });
        if let Some(status) = line.meta.unkept.first().filter(|_| made) {
            unkept.push(*status);
            continue;
        }
        // Of another refusal than in the plugin's own words nothing it says now would count.
        if let Outcome::Quarantined { id, .. } = &line.meta.outcome
            && asking.refused.get(id).is_some_and(|refused| refused.code != REFUSED_BY_PLUGIN)
        {
            continue;
        }
        let by = workshop.enrich_generation(line.meta.generation).ok();
        if let Some(why) = by.and_then(|by| asking.patience.is_spent("enrich", by)) {
            let message = format!("its documents cannot be made again: {why}");
            found.push((None, Finding { invariant: Invariant::V6, at: object.to_string(), message }));
            break;
        }
        if let Some((invariant, refusal, message)) = line_again(asking, line, &format!("{object}:{number}")).await? {
            let at = format!("{} ({object}:{number})", line.meta.key);
            found.push((refusal, Finding { invariant, at, message }));
        }
    }
    let count = lines.len() - unkept.len();
    Ok((unkept, count, found))
}

/// What a line says wrongly about itself, if anything: its tick, and the plugin that made it.
fn misstated(workshop: &Workshop, object: &Path, line: &Line) -> Option<String> {
    let Meta { seq, plugin, generation, .. } = &line.meta;
    if bronze::tick_of(object) != Some(*seq) {
        return Some(format!("its `seq` is {seq}, which is not the tick of its object"));
    }
    let maker = workshop.enrich_generation(*generation).ok().map(|maker| &maker.plugin);
    // A generation that is not recorded is reported where the document is made again.
    let wrong = if *generation == 0 { plugin.is_some() } else { maker.is_some() && maker != plugin.as_ref() };
    let named = || plugin.as_ref().map_or("none".to_owned(), ToString::to_string);
    wrong.then(|| format!("its `plugin` is {}, which is not that of generation {generation}", named()))
}

async fn line_again(
    asking: &Asking<'_>,
    line: &Line,
    source: &str,
) -> Result<Option<(Invariant, Option<String>, String)>, Failure> {
    let workshop = asking.workshop;
    let meta = &line.meta;
    let refusal = match &meta.outcome {
        Outcome::Forgotten => return Ok(None),
        Outcome::Quarantined { id, .. } => Some(id.clone()),
        Outcome::Document | Outcome::Skipped { .. } => None,
    };
    let remade = workshop.document(meta).await;
    if let (Err(RemakeError::Cannot(CannotRemake::Fault(fault))), Ok(by)) =
        (&remade, workshop.enrich_generation(meta.generation))
    {
        asking.patience.met("enrich", by, fault, source);
    }
    let remade = match remade {
        Ok(remade) => remade,
        Err(RemakeError::Failed(failure)) => return Err(failure),
        // A record may have been refused because no answer was worth keeping.
        Err(RemakeError::Cannot(_)) if refusal.is_some() => return Ok(None),
        Err(RemakeError::Cannot(reason)) => {
            return Ok(Some((Invariant::V6, None, format!("it cannot be made again: {reason}"))));
        }
    };
    let message = match (&remade, &meta.outcome) {
        (Remade::Document(text), Outcome::Document) => {
            let again = bronze::line(Some(text), meta);
            (again.strip_suffix(b"\n") != Some(&line.text[..])).then(|| different_bytes(&line.text, &again))
        }
        (Remade::Skipped(now), Outcome::Skipped { reason }) if now == reason => None,
        (Remade::Refused(now), Outcome::Quarantined { reason, .. }) if now == reason => None,
        _ => Some(format!("it is recorded as {}, made again it is {}", outcome(&meta.outcome), outcome_now(&remade))),
    };
    Ok(message.map(|message| (Invariant::V3, refusal, message)))
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Document => "a document".to_owned(),
        Outcome::Skipped { reason } => format!("skipped ({reason})"),
        Outcome::Quarantined { reason, .. } => format!("refused ({reason})"),
        Outcome::Forgotten => "forgotten".to_owned(),
    }
}

fn outcome_now(remade: &Remade) -> String {
    match remade {
        Remade::Document(_) => "a document".to_owned(),
        Remade::Skipped(reason) => format!("skipped ({reason})"),
        Remade::Refused(reason) => format!("refused ({reason})"),
    }
}
