//! V3 of the clean stage and V4 of Silver: each document is cleaned again by the generation that is recorded for it, and what must
//! stand of all that is held against what stands.
//!
//! Does not read receipts for what a plugin says: it only learns from them which generation to ask.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::StreamExt;

use super::{Checker, Finding, Invariant};
use crate::census;
use crate::difference::{Row, first_difference};
use crate::failure::Failure;
use crate::lake::bronze::{self, Outcome};
use crate::lake::delta::conform;
use crate::lake::keys::{Key, order, ordered, rank};
use crate::lake::quarantine::{REFUSED_BY_PLUGIN, REFUSED_BY_PROJECTION, REFUSED_BY_RETRIES, Refused};
use crate::lake::receipts::Receipt;
use crate::lake::silver::{BUCKET, KEY, ORD, PLUGIN, SEQ, SOURCE};
use crate::remake::{RemakeError, Workshop};
use crate::roles::breaker::HOST_FAULT;
use crate::seams::plugin::{Cleaned, RejectedBy};
use crate::seams::store::{Path, Store, read};

/// Objects looked at at once.
const AT_ONCE: usize = 8;
/// Codes of faults that depend on the machine's mood, or were not the plugin's: they need not come again.
const MOODS: [&str; 5] = ["P104", "P105", "P180", HOST_FAULT, REFUSED_BY_RETRIES];
/// What the engine says of a row.
const OWN: [&str; 6] = [BUCKET, KEY, ORD, SEQ, SOURCE, PLUGIN];

/// A version that may stand in Silver.
struct Candidate {
    key: Key,
    ord: String,
    source: String,
    rows: RecordBatch,
}

/// What a plugin says of one document now.
enum Again {
    Rows(RecordBatch),
    Skipped(String),
    Refused { code: String, reason: String },
}

impl Checker<'_> {
    /// V3 of the clean stage, V4 of Silver.
    pub(super) async fn rows(&mut self) -> Result<(), Failure> {
        let beaten = census::beaten(&self.evidence.places);
        let objects = &self.evidence.inventory.objects;
        self.steps.begin("cleaning again", objects.len());
        let store = &self.service.enrich.lake.bronze;
        let seen = objects.iter().filter_map(|object| Some((object, self.evidence.receipts.get(object.as_ref())?)));
        let looks: Vec<_> = seen
            .map(|(object, receipt)| look(&self.workshop, store, object, receipt, &self.refused, &beaten))
            .collect();
        let mut looks = futures::stream::iter(looks).buffered(AT_ONCE);
        let mut expected: HashMap<Key, Candidate> = HashMap::new();
        let (mut documents, mut found) = (0, Vec::new());
        while let Some(looked) = looks.next().await {
            let mut looked = looked?;
            self.steps.step(1);
            documents += looked.documents;
            found.append(&mut looked.findings);
            for candidate in looked.candidates {
                let better = expected.get(&candidate.key).is_none_or(|standing| {
                    rank(&standing.ord, &standing.source) < rank(&candidate.ord, &candidate.source)
                });
                if better {
                    expected.insert(candidate.key.clone(), candidate);
                }
            }
        }
        drop(looks);
        self.report.checked(Invariant::V3, documents);
        self.report.findings.append(&mut found);
        self.silver(expected).await
    }

    /// Silver's rows against those expected.
    async fn silver(&mut self, mut expected: HashMap<Key, Candidate>) -> Result<(), Failure> {
        let snapshot = &self.evidence.snapshot;
        self.report.checked(Invariant::V4, expected.len());
        for bucket in snapshot.buckets.keys() {
            // A bucket that cannot be read was told before.
            let Ok(batches) = self.service.clean.silver.read(snapshot, *bucket, None).await else { continue };
            // The rows of a key may lie across two batches, and anywhere in a file that another engine has written.
            let batch = by_key(&snapshot.schema(), &batches)?;
            let keys = text(&batch, KEY);
            let mut row = 0;
            while row < batch.num_rows() {
                let key = Key::from_text(keys.value(row));
                let count = (row..batch.num_rows()).take_while(|next| keys.value(*next) == key.as_str()).count();
                let standing = batch.slice(row, count);
                row += count;
                let message = match expected.remove(&key) {
                    None => Some("it stands in silver, and bronze comes to no row of it".to_owned()),
                    Some(wanted) => different(&self.workshop, &standing, &wanted),
                };
                if let Some(message) = message {
                    self.report.find(Invariant::V4, &key, message);
                }
            }
        }
        for (key, wanted) in expected {
            let message = format!("bronze comes to a row of it (`{}`), and none stands in silver", wanted.source);
            self.report.find(Invariant::V4, key, message);
        }
        Ok(())
    }
}

/// The rows of a bucket as one batch, in the order of their keys; those of one key stay in theirs.
fn by_key(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, Failure> {
    let broken = |error| Failure::Fatal(format!("rows of one bucket do not fit together: {error}"));
    let all = concat_batches(schema, batches).map_err(broken)?;
    let keys = text(&all, KEY);
    let mut order: Vec<u32> = (0..u32::try_from(all.num_rows()).unwrap_or(u32::MAX)).collect();
    let key = |row: &u32| usize::try_from(*row).map_or("", |row| keys.value(row));
    if order.is_sorted_by_key(key) {
        return Ok(all);
    }
    order.sort_by(|a, b| key(a).cmp(key(b)));
    take_record_batch(&all, &UInt32Array::from(order)).map_err(broken)
}

fn text<'a>(batch: &'a RecordBatch, column: &str) -> std::borrow::Cow<'a, arrow::array::StringArray> {
    let values = batch.column_by_name(column).and_then(|values| values.as_string_opt::<i32>());
    values.map_or_else(
        || std::borrow::Cow::Owned(arrow::array::StringArray::new_null(batch.num_rows())),
        std::borrow::Cow::Borrowed,
    )
}

/// How the rows of a key differ from those wanted, if they do.
fn different(workshop: &Workshop, standing: &RecordBatch, wanted: &Candidate) -> Option<String> {
    let own = |column: &str| Row { batch: standing, index: 0 }.text(column);
    if own(SOURCE) != wanted.source {
        return Some(format!("its row comes from `{}`, it should come from `{}`", own(SOURCE), wanted.source));
    }
    // A later generation that makes the same rows leaves them as the earlier one made them.
    let same_version = ordered(&own(ORD))
        .zip(ordered(&wanted.ord))
        .is_some_and(|(there, wanted)| (there.0, there.1) == (wanted.0, wanted.1) && there.2 <= wanted.2);
    if !same_version {
        return Some(format!("its `{ORD}` is {}, it should be {}", own(ORD), wanted.ord));
    }
    let maker = ordered(&own(ORD)).and_then(|(_, _, clean)| workshop.clean_generation(clean).ok());
    if maker.is_none_or(|maker| maker.plugin.digest != own(PLUGIN)) {
        return Some(format!("its `{PLUGIN}` is {}, which is not the plugin of its `{ORD}`", own(PLUGIN)));
    }
    let tick = ordered(&wanted.ord).map(|(tick, _, _)| tick.instant().timestamp_micros());
    let seq = standing.column_by_name(SEQ).and_then(|values| {
        values.as_primitive_opt::<arrow::datatypes::TimestampMicrosecondType>().map(|values| values.value(0))
    });
    if seq != tick {
        return Some(format!("its `{SEQ}` is {}, which is not the tick of its `{ORD}`", own(SEQ)));
    }
    if standing.num_rows() != wanted.rows.num_rows() {
        return Some(format!("{} rows stand, cleaned again it makes {}", standing.num_rows(), wanted.rows.num_rows()));
    }
    let again = match conform("silver", &wanted.rows, &plugin_columns(standing)) {
        Ok(again) => again,
        Err(error) => return Some(error.to_string()),
    };
    (0..again.num_rows()).find_map(|index| {
        let (there, wanted) = (Row { batch: standing, index }, Row { batch: &again, index });
        let column = first_difference(there, wanted, &OWN)?;
        Some(format!("`{column}` is {}, cleaned again {}", there.text(&column), wanted.text(&column)))
    })
}

/// The columns that are the plugin's.
pub(crate) fn plugin_columns(rows: &RecordBatch) -> SchemaRef {
    let schema = rows.schema();
    let fields: Vec<_> =
        schema.fields().iter().filter(|field| !OWN.contains(&field.name().as_str())).cloned().collect();
    std::sync::Arc::new(arrow::datatypes::Schema::new(fields))
}

#[derive(Default)]
struct Looked {
    documents: usize,
    findings: Vec<Finding>,
    candidates: Vec<Candidate>,
}

/// Cleans the documents of one object again.
async fn look(
    workshop: &Workshop,
    store: &Store,
    object: &Path,
    receipt: &Receipt,
    refused: &BTreeMap<String, Refused>,
    beaten: &HashSet<String>,
) -> Result<Looked, Failure> {
    let bytes = read(&**store, object).await?;
    let Ok(lines) = bronze::lines(object, &bytes) else { return Ok(Looked::default()) };
    let mut by_generation: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (line, number) in lines.iter().zip(1_usize..) {
        if line.meta.outcome == Outcome::Document && !beaten.contains(&format!("{object}:{number}")) {
            by_generation.entry(receipt.generation_of(number)).or_default().push(number);
        }
    }
    let mut looked = Looked::default();
    for (generation, numbers) in by_generation {
        let texts: Vec<Bytes> = numbers.iter().filter_map(|number| Some(lines.get(number - 1)?.text.clone())).collect();
        looked.documents += texts.len();
        let again = match again(workshop, generation, &texts).await {
            Ok(again) => again,
            Err(RemakeError::Failed(failure)) => return Err(failure),
            Err(RemakeError::Cannot(reason)) => {
                let message = format!("its documents cannot be cleaned again: {reason}");
                looked.findings.push(Finding { invariant: Invariant::V6, at: object.to_string(), message });
                continue;
            }
        };
        for (number, again) in numbers.iter().zip(again) {
            let Some(line) = lines.get(number - 1) else { continue };
            let source = format!("{object}:{number}");
            if let Some(message) = contradiction(receipt, *number, &again, refused) {
                let at = format!("{} ({source})", line.meta.key);
                looked.findings.push(Finding { invariant: Invariant::V3, at, message });
            }
            if let Again::Rows(rows) = again {
                // What was refused for a fault of the moment waits in quarantine, whatever it comes to now.
                if of_the_moment(receipt, *number, refused) {
                    continue;
                }
                let ord = order(line.meta.seq, line.meta.generation, generation);
                looked.candidates.push(Candidate { key: line.meta.key.clone(), ord, source, rows });
            }
        }
    }
    Ok(looked)
}

/// What the plugin says of each document now; one that breaks is asked about each alone.
async fn again(workshop: &Workshop, generation: u32, documents: &[Bytes]) -> Result<Vec<Again>, RemakeError> {
    match workshop.rows(generation, documents).await? {
        Ok(cleaned) => Ok(sorted(&cleaned, documents.len())),
        Err(_) => {
            let mut all = Vec::new();
            for document in documents {
                match workshop.rows(generation, std::slice::from_ref(document)).await? {
                    Ok(cleaned) => all.append(&mut sorted(&cleaned, 1)),
                    Err(fault) => all.push(Again::Refused { code: fault.code.to_owned(), reason: fault.message }),
                }
            }
            Ok(all)
        }
    }
}

fn sorted(cleaned: &Cleaned, documents: usize) -> Vec<Again> {
    let one = |index: usize| {
        if let Some(skip) = cleaned.skips.iter().find(|skip| skip.index == index) {
            return Again::Skipped(skip.reason.clone());
        }
        if let Some(reject) = cleaned.rejects.iter().find(|reject| reject.index == index) {
            let code = match reject.by {
                RejectedBy::Plugin => REFUSED_BY_PLUGIN,
                RejectedBy::Projection => REFUSED_BY_PROJECTION,
            };
            return Again::Refused { code: code.to_owned(), reason: reject.reason.clone() };
        }
        let start = cleaned.row_of.partition_point(|of| *of < index);
        let end = cleaned.row_of.partition_point(|of| *of <= index);
        Again::Rows(cleaned.rows.slice(start, end - start))
    };
    (0..documents).map(one).collect()
}

/// Whether a line was refused for a fault that need not come again.
fn of_the_moment(receipt: &Receipt, line: usize, refused: &BTreeMap<String, Refused>) -> bool {
    let held = receipt.quarantined.iter().find(|held| held.line == line);
    held.and_then(|held| refused.get(&held.id)).is_some_and(|refused| MOODS.contains(&refused.code.as_str()))
}

/// How what the plugin says now contradicts what is recorded of a line, if it does.
fn contradiction(receipt: &Receipt, line: usize, now: &Again, all: &BTreeMap<String, Refused>) -> Option<String> {
    let skipped = receipt.skipped.iter().find(|skip| skip.line == line);
    let held = receipt.quarantined.iter().find(|held| held.line == line);
    let recorded = match (skipped, held) {
        (Some(skip), _) => format!("skipped ({})", skip.reason),
        (None, Some(held)) => {
            // That a refusal is not there is told by V1.
            let refused = all.get(&held.id)?;
            let same = |code: &str, reason: &str| {
                // The words of a fault may name an address or an instant; its code does not.
                refused.code == code && (!code.starts_with('R') || refused.reason == reason)
            };
            match now {
                Again::Refused { code, reason } if same(code, reason) => return None,
                _ if of_the_moment(receipt, line, all) => return None,
                _ => format!("refused ({}: {})", refused.code, refused.reason),
            }
        }
        (None, None) => "a row".to_owned(),
    };
    let now = match now {
        Again::Rows(_) if skipped.is_none() && held.is_none() => return None,
        Again::Skipped(reason) if skipped.is_some_and(|skip| skip.reason == *reason) => return None,
        Again::Rows(rows) => format!("{} rows", rows.num_rows()),
        Again::Skipped(reason) => format!("skipped ({reason})"),
        Again::Refused { code, reason } => format!("refused ({code}: {reason})"),
    };
    Some(format!("it is recorded as {recorded}, cleaned again it is {now}"))
}
