//! What a plugin made of documents, sorted: rows, rows that are gone, skips and refusals, and the receipts that say so.
//!
//! Does not call the plugin and does not write anything.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lake::bronze::{Line, Outcome};
use lake::generations::Generation;
use lake::quarantine::{
    REFUSED_BY_PLUGIN, REFUSED_BY_PROJECTION, REFUSED_BY_RANGE, REFUSED_BY_RETRIES, Refused, RefusedAt,
};
use lake::receipts::{FORGOTTEN, Held, Put, Receipt, Skip};
use lake::silver::{RowMeta, Versions};
use records::keys::{Key, order};
use seams::plugin::{Cleaned, Fault, RejectedBy};

use super::tasks::Task;
use crate::roles::enrich::fault_details;

/// A document of an object, and where it stands.
#[derive(Clone)]
pub(super) struct Document {
    /// Index of its task.
    pub(super) task: usize,
    /// Its line, from 1.
    pub(super) number: usize,
    /// `run=…/batch=….jsonl:LINE`.
    pub(super) source: String,
    /// The line.
    pub(super) line: Line,
}

/// The rows of one call. Metadata is kept once for all rows of a document: a cleaner may make many of one.
pub(super) struct Rows {
    /// The plugin's columns.
    pub(super) rows: arrow::array::RecordBatch,
    /// For each row, its document's place in `documents`.
    of: Vec<u32>,
    /// The metadata of the rows of each document.
    documents: Vec<RowMeta>,
}

impl Rows {
    /// The metadata of each row.
    fn meta(&self) -> impl Iterator<Item = RowMeta> {
        self.of.iter().filter_map(|document| self.documents.get(usize::try_from(*document).ok()?).cloned())
    }
}

/// What became of documents.
#[derive(Default)]
pub(super) struct Made {
    /// Rows, in the order of the calls.
    pub(super) versions: Vec<Rows>,
    /// Documents that made rows.
    pub(super) cleaned: usize,
    /// Documents that rightly made none.
    pub(super) skipped: Vec<(Document, String)>,
    /// Documents that were refused.
    pub(super) refused: Vec<(Document, Refused)>,
}

impl Made {
    /// Adds what became of other documents.
    pub(super) fn append(&mut self, mut other: Made) {
        self.versions.append(&mut other.versions);
        self.cleaned += other.cleaned;
        self.skipped.append(&mut other.skipped);
        self.refused.append(&mut other.refused);
    }

    /// How many rows there are, and how many bytes their columns take.
    pub(super) fn size(&self) -> (usize, usize) {
        // A call that made few rows costs as well: each call has a batch.
        let each = self.versions.iter().map(|one| (one.of.len(), one.rows.get_array_memory_size()));
        each.fold((0, 0), |(rows, bytes), (more, size)| (rows + more, bytes.saturating_add(size)))
    }

    /// What a plugin says of a batch, document by document.
    pub(super) fn of(batch: Vec<Document>, cleaned: Cleaned, by: &Generation) -> Self {
        let mut made = Made::default();
        made.versions.push(Rows {
            rows: cleaned.rows,
            of: cleaned.row_of.iter().filter_map(|index| u32::try_from(*index).ok()).collect(),
            documents: batch.iter().map(|document| row_meta(&document.line, &document.source, by)).collect(),
        });
        let mut rest: Vec<Option<Document>> = batch.into_iter().map(Some).collect();
        let mut take = |index: usize| rest.get_mut(index).and_then(Option::take);
        for reject in cleaned.rejects {
            let code = match reject.by {
                RejectedBy::Plugin => REFUSED_BY_PLUGIN,
                RejectedBy::Projection => REFUSED_BY_PROJECTION,
                RejectedBy::Range => REFUSED_BY_RANGE,
            };
            if let Some(document) = take(reject.index) {
                let refused = refusal(&document, code, reject.reason, Vec::new(), by);
                made.refused.push((document, refused));
            }
        }
        for skip in cleaned.skips {
            made.skipped.extend(take(skip.index).map(|document| (document, skip.reason)));
        }
        made.cleaned = rest.into_iter().flatten().count();
        made
    }

    /// A document on which the plugin broke.
    pub(super) fn broken(document: Document, fault: &Fault, by: &Generation) -> Self {
        let refused = refusal(&document, fault.code, fault.message.clone(), fault_details(fault), by);
        Made { refused: vec![(document, refused)], ..Made::default() }
    }

    /// Documents that were tried as often as is allowed.
    pub(super) fn given_up(documents: Vec<Document>, reason: &str, by: &Generation) -> Self {
        let refused = |document: Document| {
            let refused = refusal(&document, REFUSED_BY_RETRIES, reason.to_owned(), Vec::new(), by);
            (document, refused)
        };
        Made { refused: documents.into_iter().map(refused).collect(), ..Made::default() }
    }

    /// How many documents the plugin is to be judged by, and which of them it refused. Documents that this or another plugin refused before
    /// do not count: a replay of quarantine would be all refusals, or none.
    pub(super) fn judged(&self, tasks: &[Task]) -> (usize, Vec<Refused>) {
        let held = |task: &Task, line: usize| {
            task.before.as_ref().is_some_and(|before| before.quarantined.iter().any(|held| held.line == line))
        };
        let fresh = |document: &Document| tasks.get(document.task).is_none_or(|task| !held(task, document.number));
        let documents: usize = tasks
            .iter()
            .map(|task| {
                let live = task.live().filter(|(_, line)| line.meta.outcome == Outcome::Document);
                live.filter(|(number, _)| !held(task, *number)).count()
            })
            .sum();
        let failed = self.refused.iter().filter(|(document, _)| fresh(document)).map(|(_, refused)| refused.clone());
        (documents, failed.collect())
    }

    /// Keys of documents that make no row and that nothing says were looked at before. An earlier look may have written their row but no
    /// receipt. A look of the same generation skipped what is skipped now, but need not have met the fault that is met now.
    pub(super) fn unsure<'a>(&'a self, tasks: &[Task], by: &Generation) -> BTreeSet<&'a str> {
        let skipped = self.skipped.iter().map(|(document, _)| document).filter(|_| by.number > 1);
        let documents = skipped.chain(self.refused.iter().map(|(document, _)| document));
        let first = |document: &&Document| tasks.get(document.task).is_some_and(|task| !task.is_second_look());
        documents.filter(first).map(|document| document.line.meta.key.as_str()).collect()
    }

    /// Lines that make no row but may have made one: of a record version seen before, or with a row in `standing`. That row goes.
    pub(super) fn gone(&self, tasks: &[Task], by: &Generation, standing: &HashSet<String>) -> Vec<RowMeta> {
        let documents = self.skipped.iter().map(|(document, _)| document);
        let documents = documents.chain(self.refused.iter().map(|(document, _)| document));
        let second = |document: &&Document| {
            standing.contains(&document.source) || tasks.get(document.task).is_some_and(Task::is_second_look)
        };
        let mut gone: Vec<RowMeta> =
            documents.filter(second).map(|document| row_meta(&document.line, &document.source, by)).collect();
        for task in tasks.iter().filter(|task| task.is_second_look()) {
            let without = task.live().filter(|(_, line)| line.meta.outcome != Outcome::Document);
            gone.extend(without.map(|(number, line)| row_meta(line, &task.source(number), by)));
        }
        gone
    }
}

fn row_meta(line: &Line, source: &str, by: &Generation) -> RowMeta {
    RowMeta {
        key: line.meta.key.to_string(),
        ord: order(line.meta.seq, line.meta.generation, by.number),
        seq: line.meta.seq.instant(),
        source: source.to_owned(),
        plugin: by.plugin.digest.clone(),
    }
}

/// The versions of one commit.
pub(super) fn versions(
    rows: arrow::array::RecordBatch,
    made: &mut Made,
    gone: Vec<RowMeta>,
    by: &Generation,
) -> Versions {
    let meta = std::mem::take(&mut made.versions).iter().flat_map(|one| one.meta().collect::<Vec<_>>()).collect();
    Versions { rows, meta, gone, generation: by.number }
}

/// The keys of the versions in `gone` that may have had rows: an older version of them may have to stand again.
pub(super) fn keys_of(gone: &[RowMeta], tasks: &[Task]) -> BTreeSet<Key> {
    let before: BTreeMap<&str, &Task> = tasks.iter().map(|task| (task.path.as_ref(), task)).collect();
    let had_rows = |meta: &&RowMeta| {
        let (object, line) = meta.source.rsplit_once(':').unwrap_or_default();
        let receipt = before.get(object).and_then(|task| task.before.as_ref());
        // The receipt of a record enriched again is another object's: it may have had rows.
        receipt.is_none_or(|receipt| line.parse().is_ok_and(|line| receipt.made_rows(line)))
    };
    gone.iter().filter(had_rows).map(|meta| Key::from_text(&meta.key)).collect()
}

/// The receipts of these tasks' lines.
pub(super) fn receipts(tasks: &[Task], made: &Made, by: &Generation, silver_version: i64) -> Vec<Receipt> {
    let mut receipts: Vec<Receipt> = tasks.iter().map(|task| opened(task, by, silver_version)).collect();
    for (document, reason) in &made.skipped {
        if let Some(receipt) = receipts.get_mut(document.task) {
            receipt.skipped.push(Skip { line: document.number, reason: reason.clone() });
        }
    }
    for (document, refused) in &made.refused {
        if let Some(receipt) = receipts.get_mut(document.task) {
            receipt.quarantined.push(Held { line: document.number, id: refused.id.clone() });
        }
    }
    receipts.iter_mut().for_each(Receipt::count);
    receipts
}

/// A task's receipt, before the plugin's results are added.
fn opened(task: &Task, by: &Generation, silver_version: i64) -> Receipt {
    let mut receipt = Receipt {
        object: task.path.to_string(),
        generation: by.number,
        redone: BTreeMap::new(),
        silver_version,
        lines: task.lines.len(),
        cleaned: 0,
        skipped: Vec::new(),
        quarantined: Vec::new(),
        superseded: task.superseded.clone(),
        sha256: Some(task.sha256.clone()),
    };
    for (line, Line { meta, .. }) in task.live() {
        match &meta.outcome {
            Outcome::Document => {}
            Outcome::Skipped { reason } => receipt.skipped.push(Skip { line, reason: reason.clone() }),
            Outcome::Forgotten => receipt.skipped.push(Skip { line, reason: FORGOTTEN.to_owned() }),
            Outcome::Quarantined { id, .. } => receipt.quarantined.push(Held { line, id: id.clone() }),
        }
    }
    receipt
}

/// Ids of refusals that no longer hold: the line has another fate now.
pub(super) fn resolved(tasks: &[Task], puts: &[Put]) -> Vec<String> {
    let mut resolved = Vec::new();
    for (task, put) in tasks.iter().zip(puts) {
        let before = task.before.iter().chain(&put.before).flat_map(|before| &before.quarantined);
        let still = |id: &str| put.now.quarantined.iter().any(|held| held.id == id);
        resolved.extend(before.filter(|held| !still(&held.id)).map(|held| held.id.clone()));
        resolved.extend(task.settled.iter().cloned());
    }
    resolved
}

fn refusal(document: &Document, code: &str, reason: String, details: Vec<String>, by: &Generation) -> Refused {
    let meta = &document.line.meta;
    Refused {
        id: Refused::id_of(RefusedAt::Clean, &document.source, by.number),
        stage: RefusedAt::Clean,
        code: code.to_owned(),
        reason,
        key: Some(meta.key.clone()),
        seq: meta.seq,
        input: document.source.clone(),
        plugin: Some(by.plugin.clone()),
        generation: by.number,
        record: meta.record.clone(),
        line: None,
        details,
    }
}
