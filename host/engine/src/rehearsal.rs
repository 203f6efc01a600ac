//! A plugin tried on real inputs before it serves: twice, to see that it is a pure function, and beside the one that serves, to see what
//! comes out differently.
//!
//! Writes nothing, and asks no service: an enricher gets the answers that are kept. Does not decide when a plugin is tried.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use lake::bronze::{self, Line, Outcome};
use lake::failure::Failure;
use lake::silver::{Silver, Snapshot};
use lake::{Lake, LakeError};
use pipeline::plan::Percent;
use seams::plugin::{Aggregator, Cleaned, Cleaner, Digest, Fault};
use seams::store::{Path, read};
use serde::Serialize;
use thiserror::Error;

use crate::difference::{Row, first_different_row};
use crate::roles::aggregate::try_on;
use crate::roles::enrich::Enrich;

mod fate;

pub use fate::Fate;

/// Buckets that an aggregator is tried on: a lake may have thousands, and their number says nothing of the plugin.
const MOST_BUCKETS: usize = 8;

/// How two plugins differ on the same inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Inputs that both have an outcome for.
    pub inputs: usize,
    /// Those that come out differently.
    pub changed: usize,
    /// Those that the plugin that serves refuses or breaks on.
    pub failed_before: usize,
    /// Those that the new one refuses or breaks on.
    pub failed_now: usize,
    /// The first that comes out differently, in words. May hold what a record says: for the log, not to be kept.
    #[serde(skip)]
    pub first: Option<String>,
}

impl Comparison {
    /// Adds the comparison of other inputs.
    pub fn add(&mut self, other: Comparison) {
        self.inputs += other.inputs;
        self.changed += other.changed;
        self.failed_before += other.failed_before;
        self.failed_now += other.failed_now;
        self.first = self.first.take().or(other.first);
    }

    /// Whether the new plugin fails on so many more inputs that it would be suspended.
    #[must_use]
    pub fn is_worse(&self, suspend_above: Percent) -> bool {
        let more = self.failed_now.saturating_sub(self.failed_before);
        more > 0 && more * 100 > self.inputs * usize::from(suspend_above.get())
    }

    fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a Fate, &'a Fate)>) -> Self {
        let mut comparison = Comparison::default();
        for (source, old, new) in pairs.filter(|(_, old, new)| **old != Fate::Unknown && **new != Fate::Unknown) {
            comparison.inputs += 1;
            comparison.failed_before += usize::from(old.is_failure());
            comparison.failed_now += usize::from(new.is_failure());
            if old != new {
                comparison.changed += 1;
                comparison.first.get_or_insert_with(|| format!("`{source}`: {}", difference(old, new)));
            }
        }
        comparison
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { inputs, changed, failed_before, failed_now, .. } = self;
        write!(f, "{changed} of {inputs} inputs come out otherwise; refused before {failed_before}, now {failed_now}")
    }
}

fn difference(old: &Fate, new: &Fate) -> String {
    match (old, new) {
        (Fate::Rows(before), Fate::Rows(after)) if before.num_rows() == after.num_rows() => {
            let names = |rows: &RecordBatch| rows.schema().fields().iter().map(|field| field.name().clone()).collect();
            let (old_names, new_names): (BTreeSet<String>, BTreeSet<String>) = (names(before), names(after));
            let of_columns = new_names.symmetric_difference(&old_names).next();
            let column = of_columns.cloned().or_else(|| {
                let rows = |index| (Row { batch: before, index }, Row { batch: after, index });
                (0..before.num_rows())
                    .find_map(|index| crate::difference::first_difference(rows(index).0, rows(index).1, &[]))
            });
            let Some(column) = column else { return "the same row in other types".to_owned() };
            let text = |batch| Row { batch, index: 0 }.text(&column);
            format!("`{column}` was {}, is {}", text(before), text(after))
        }
        (Fate::Document(before), Fate::Document(after)) => {
            crate::difference::different_bytes(before.as_bytes(), after.as_bytes())
        }
        _ => format!("was {old}, is {new}"),
    }
}

/// Why a plugin is not let in.
#[derive(Debug, Error)]
pub enum NotGood {
    /// It is at fault. The text holds nothing of a record.
    #[error("{reason}")]
    Plugin {
        /// Stable code.
        code: &'static str,
        /// Why.
        reason: String,
    },
    /// The lake could not be read.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<LakeError> for NotGood {
    fn from(error: LakeError) -> Self {
        NotGood::Failed(error.into())
    }
}

/// A line of Bronze and its place.
#[derive(Clone, Debug)]
pub struct Input {
    /// `run=…/batch=….jsonl:LINE`.
    pub source: String,
    /// The line.
    pub line: Line,
}

/// The latest lines of Bronze, at most `most`, of objects that are not in `but`; adds those objects to `but`. Ticks are read from the
/// newest on, until one has brought nothing new.
pub async fn latest(lake: &Lake, most: usize, but: &mut BTreeSet<Path>) -> Result<Vec<Input>, LakeError> {
    let mut inputs = Vec::new();
    for tick in bronze::ticks(lake).await?.into_iter().rev() {
        let mut objects = bronze::inventory(lake, Some(tick)).await?.objects;
        let there = objects.len();
        objects.retain(|object| !but.contains(object));
        if inputs.len() >= most || (objects.is_empty() && there > 0) {
            break;
        }
        for object in objects.into_iter().rev() {
            if inputs.len() >= most {
                break;
            }
            let lines = bronze::lines(&object, &read(&*lake.bronze, &object).await?)?;
            let numbered = (1..).zip(lines).filter(|(_, line)| line.meta.outcome != Outcome::Forgotten);
            inputs.extend(
                numbered.map(|(number, line): (usize, _)| Input { source: format!("{object}:{number}"), line }),
            );
            but.insert(object);
        }
    }
    inputs.truncate(most);
    Ok(inputs)
}

/// Compares cleaners on documents.
pub async fn clean(old: &dyn Cleaner, new: &dyn Cleaner, inputs: &[Input]) -> Result<Comparison, NotGood> {
    let inputs: Vec<&Input> = inputs.iter().filter(|input| input.line.meta.outcome == Outcome::Document).collect();
    let texts: Vec<Bytes> = inputs.iter().map(|input| input.line.text.clone()).collect();
    let (before, now, again) = (cleaned(old, &texts).await, cleaned(new, &texts).await, cleaned(new, &texts).await);
    pure(new.digest(), &inputs, &now, &again)?;
    Ok(compared(&inputs, &before, &now))
}

/// Compares enrichers on records, each with the answers that are kept for it.
pub async fn enrich(old: &Enrich, new: &Enrich, inputs: &[Input]) -> Result<Comparison, NotGood> {
    let inputs: Vec<&Input> = inputs.iter().collect();
    let (mut before, mut now, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for input in &inputs {
        before.push(old.rehearse(&input.line.meta).await?);
        now.push(new.rehearse(&input.line.meta).await?);
        again.push(new.rehearse(&input.line.meta).await?);
    }
    if let Some(plugin) = &new.plugin {
        pure(plugin.digest(), &inputs, &now, &again)?;
    }
    Ok(compared(&inputs, &before, &now))
}

/// Compares aggregators on what a few buckets of Silver hold. Rows count as inputs.
pub async fn aggregate(
    (silver, snapshot): (&Silver, &Snapshot),
    old: &Arc<dyn Aggregator>,
    new: &Arc<dyn Aggregator>,
) -> Result<Comparison, NotGood> {
    let (before, now) = (table(silver, snapshot, old, false).await?, table(silver, snapshot, new, true).await?);
    let again = table(silver, snapshot, new, false).await?;
    let now = match (now, again) {
        (Ok(now), Ok(again)) if now == again => now,
        (Err(fault), _) | (_, Err(fault)) => {
            return Err(NotGood::Plugin {
                code: fault.code,
                reason: format!("it breaks on what silver holds: {fault}"),
            });
        }
        (Ok(_), Ok(_)) => return Err(impure(new.digest(), "the same rows")),
    };
    let Ok(before) = before else {
        return Ok(Comparison { inputs: now.num_rows(), changed: now.num_rows(), ..Comparison::default() });
    };
    let first = first_different_row(&before, &now);
    let changed = match &first {
        None => usize::from(before.schema() != now.schema()),
        Some(_) => {
            let row = |batch, index| Row { batch, index }.texts();
            let there: BTreeSet<_> = (0..before.num_rows()).map(|index| row(&before, index)).collect();
            (0..now.num_rows()).filter(|index| !there.contains(&row(&now, *index))).count().max(1)
        }
    };
    let inputs = now.num_rows().max(before.num_rows());
    Ok(Comparison { inputs, changed, first: first.map(|(_, words)| words), ..Comparison::default() })
}

async fn table(
    silver: &Silver,
    snapshot: &Snapshot,
    plugin: &Arc<dyn Aggregator>,
    tried: bool,
) -> Result<Result<RecordBatch, Fault>, Failure> {
    let columns: Vec<&str> = plugin.descriptor().input.iter().map(|field| field.name.as_str()).collect();
    let mut partials = Vec::new();
    for bucket in snapshot.buckets.keys().take(MOST_BUCKETS) {
        // A column that Silver does not have yet comes with a cleaner that is swapped at the same time: there is nothing to try it on.
        let Ok(rows) = silver.read(snapshot, *bucket, Some(&columns)).await else { continue };
        match plugin.fold(&rows).await {
            Ok(partial) => partials.push(partial),
            Err(fault) => return Ok(Err(fault)),
        }
    }
    Ok(match plugin.finish(&partials).await {
        // Fails here, before it serves, and not at its first table.
        Ok(made) if tried => try_on(&**plugin, &partials).await.map(|()| made),
        made => made,
    })
}

fn compared(inputs: &[&Input], before: &[Fate], now: &[Fate]) -> Comparison {
    let sources = inputs.iter().map(|input| input.source.as_str());
    Comparison::of(sources.zip(before).zip(now).map(|((source, old), new)| (source, old, new)))
}

/// Refuses a plugin that makes two different results of one input.
fn pure(digest: &Digest, inputs: &[&Input], now: &[Fate], again: &[Fate]) -> Result<(), NotGood> {
    let odd = inputs.iter().zip(now.iter().zip(again)).find(|(_, (now, again))| {
        // How far an endless loop came before its deadline is not the plugin's to say.
        now != again && !matches!((now, again), (Fate::Broke(one, _), Fate::Broke(other, _)) if one == other)
    });
    odd.map_or(Ok(()), |(input, _)| Err(impure(digest, &format!("`{}`", input.source))))
}

fn impure(digest: &Digest, input: &str) -> NotGood {
    let reason = format!("it is no pure function: of {input} it made one thing and then another ({digest})");
    NotGood::Plugin { code: "P140", reason }
}

/// The fate of each document; if the plugin breaks on them together, of each alone.
async fn cleaned(plugin: &dyn Cleaner, documents: &[Bytes]) -> Vec<Fate> {
    if documents.is_empty() {
        return Vec::new();
    }
    if let Ok(cleaned) = plugin.clean(documents).await.map(lake::instants::within_calendar) {
        return fates(&cleaned, documents.len());
    }
    let mut all = Vec::new();
    for document in documents {
        all.push(match plugin.clean(std::slice::from_ref(document)).await.map(lake::instants::within_calendar) {
            Ok(cleaned) => fates(&cleaned, 1).pop().unwrap_or(Fate::Unknown),
            Err(fault) => Fate::Broke(fault.code, fault.message),
        });
    }
    all
}

fn fates(cleaned: &Cleaned, documents: usize) -> Vec<Fate> {
    let mut fates = vec![Fate::Unknown; documents];
    let mut put = |index: usize, fate: Fate| {
        if let Some(slot) = fates.get_mut(index) {
            *slot = fate;
        }
    };
    let mut start = 0;
    for rows in cleaned.row_of.chunk_by(|a, b| a == b) {
        let document = rows.first().copied().unwrap_or_default();
        put(document, Fate::Rows(cleaned.rows.slice(start, rows.len())));
        start += rows.len();
    }
    for reject in &cleaned.rejects {
        put(reject.index, Fate::Refused(reject.reason.clone()));
    }
    for skip in &cleaned.skips {
        put(skip.index, Fate::Skipped(skip.reason.clone()));
    }
    fates
}
