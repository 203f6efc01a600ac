//! V3 of the clean stage and V4 of Silver: each document is cleaned again by the generation that is recorded for it, and the
//! expected rows are compared with those that are there.
//!
//! Does not trust receipts about a plugin's result: they only tell which generation to call.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::RecordBatch;
use bytes::Bytes;
use engine::census;
use engine::roles::breaker::HOST_FAULT;
use futures::StreamExt;
use lake::bronze::{self, Outcome};
use lake::failure::Failure;
use lake::quarantine::{REFUSED_BY_PLUGIN, REFUSED_BY_PROJECTION, REFUSED_BY_RANGE, REFUSED_BY_RETRIES, Refused};
use lake::receipts::Receipt;
use records::keys::{Key, order, rank};
use seams::plugin::{Cleaned, RejectedBy};
use seams::store::{Path, Store, read};

use super::patience::Patience;
use super::standing::{Candidate, by_key, different};
use super::{Checker, Finding, Invariant};
use crate::remake::{CannotRemake, RemakeError, Workshop};

/// Objects that are checked at once.
const AT_ONCE: usize = 8;
/// Codes of faults that depend on the machine, or were not the plugin's: they need not recur.
const MOODS: [&str; 5] = ["P104", "P105", "P180", HOST_FAULT, REFUSED_BY_RETRIES];

/// What a plugin returns for one document now.
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
        let asking = Asking { workshop: &self.workshop, patience: &self.patience, refused: &self.refused };
        let looks: Vec<_> = seen.map(|(object, receipt)| look(&asking, store, object, receipt, &beaten)).collect();
        let mut looks = futures::stream::iter(looks).buffered(AT_ONCE);
        let mut expected: HashMap<Key, Candidate> = HashMap::new();
        let (mut documents, mut found, mut unasked) = (0, Vec::new(), HashSet::new());
        let mut of_the_moment: BTreeMap<String, (usize, String)> = BTreeMap::new();
        while let Some(looked) = looks.next().await {
            let mut looked = looked?;
            self.steps.step(1);
            documents += looked.documents;
            found.append(&mut looked.findings);
            unasked.extend(looked.unasked);
            for (code, source) in looked.of_the_moment {
                of_the_moment.entry(code).or_insert((0, source)).0 += 1;
            }
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
        self.report.notes.extend(of_the_moment.into_iter().map(|(code, (count, first))| {
            format!("{count} record versions were refused for a fault of the moment ({code}), such as {first}: the plugin is not asked again")
        }));
        self.silver(expected, &unasked).await
    }

    /// Compares Silver's rows with those expected.
    async fn silver(&mut self, mut expected: HashMap<Key, Candidate>, unasked: &HashSet<Key>) -> Result<(), Failure> {
        let snapshot = &self.evidence.snapshot;
        self.report.checked(Invariant::V4, expected.len());
        for bucket in snapshot.buckets.keys() {
            // A bucket that cannot be read was reported before.
            let Ok(batches) = self.service.clean.silver.read(snapshot, *bucket, None).await else { continue };
            // The rows of a key may lie across two batches, and anywhere in a file that another engine has written.
            for (key, standing) in by_key(&batches) {
                let message = match (expected.remove(&key), standing) {
                    // The expected rows are not known.
                    (None, _) if unasked.contains(&key) => None,
                    (None, _) => Some("it stands in silver, and bronze comes to no row of it".to_owned()),
                    (Some(wanted), Ok(standing)) => different(&self.workshop, &standing, &wanted),
                    (Some(_), Err(error)) => Some(format!("its rows cannot be put together: {error}")),
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

#[derive(Default)]
struct Looked {
    documents: usize,
    findings: Vec<Finding>,
    candidates: Vec<Candidate>,
    /// Keys of documents that the plugin has returned nothing for.
    unasked: Vec<Key>,
    /// Documents that were refused for a transient fault: its code, and the record with its plugin.
    of_the_moment: Vec<(String, String)>,
}

/// What is asked, and what is known before.
struct Asking<'a> {
    workshop: &'a Workshop,
    patience: &'a Patience,
    refused: &'a BTreeMap<String, Refused>,
}

/// A document to be cleaned again.
struct Document {
    source: String,
    text: Bytes,
    /// The code of its refusal, if it is recorded as refused.
    recorded: Option<String>,
}

/// Cleans the documents of one object again.
async fn look(
    asking: &Asking<'_>,
    store: &Store,
    object: &Path,
    receipt: &Receipt,
    beaten: &HashSet<String>,
) -> Result<Looked, Failure> {
    let bytes = read(&**store, object).await?;
    let Ok(lines) = bronze::lines(object, &bytes) else { return Ok(Looked::default()) };
    let refused = asking.refused;
    let mut looked = Looked::default();
    let mut by_generation: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (line, number) in lines.iter().zip(1_usize..) {
        if line.meta.outcome != Outcome::Document || beaten.contains(&format!("{object}:{number}")) {
            continue;
        }
        match held(receipt, number, refused).filter(|held| MOODS.contains(&held.code.as_str())) {
            // The record waits in quarantine, no matter what the plugin returns now; and a plugin that looped once may loop again.
            Some(held) => {
                let plugin = held.plugin.as_ref().map_or("?".to_owned(), ToString::to_string);
                looked
                    .of_the_moment
                    .push((held.code.clone(), format!("`{}` ({object}:{number}) by {plugin}", line.meta.key)));
            }
            None => by_generation.entry(receipt.generation_of(number)).or_default().push(number),
        }
    }
    for (generation, numbers) in by_generation {
        let document = |number: &usize| {
            let recorded = held(receipt, *number, refused).map(|held| held.code.clone());
            Some(Document { source: format!("{object}:{number}"), text: lines.get(number - 1)?.text.clone(), recorded })
        };
        let documents: Vec<Document> = numbers.iter().filter_map(document).collect();
        looked.documents += documents.len();
        let again = match again(asking, generation, &documents).await {
            Ok(again) => again,
            Err(RemakeError::Failed(failure)) => return Err(failure),
            Err(RemakeError::Cannot(reason)) => {
                if let CannotRemake::GivenUp(_) = reason {
                    let keys = numbers.iter().filter_map(|number| Some(lines.get(number - 1)?.meta.key.clone()));
                    looked.unasked.extend(keys);
                }
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
                let ord = order(line.meta.seq, line.meta.generation, generation);
                looked.candidates.push(Candidate { key: line.meta.key.clone(), ord, source, rows });
            }
        }
    }
    Ok(looked)
}

/// What the plugin returns for each document now. If it breaks, it is called for each document alone, until it has broken too often.
async fn again(asking: &Asking<'_>, generation: u32, documents: &[Document]) -> Result<Vec<Again>, RemakeError> {
    let Asking { workshop, patience, .. } = asking;
    let by = workshop.clean_generation(generation)?;
    let still = || patience.is_spent("clean", by).map_or(Ok(()), |why| Err(CannotRemake::GivenUp(why)));
    still()?;
    let texts: Vec<Bytes> = documents.iter().map(|document| document.text.clone()).collect();
    if let Ok(cleaned) = workshop.rows(generation, &texts).await? {
        return Ok(sorted(&cleaned, documents.len()));
    }
    let _alone = patience.alone.lock().await;
    let mut all = Vec::new();
    for document in documents {
        still()?;
        match workshop.rows(generation, std::slice::from_ref(&document.text)).await? {
            Ok(cleaned) => all.append(&mut sorted(&cleaned, 1)),
            Err(fault) => {
                if document.recorded.as_deref() != Some(fault.code) {
                    patience.met("clean", by, &fault, &document.source);
                }
                all.push(Again::Refused { code: fault.code.to_owned(), reason: fault.message });
            }
        }
    }
    Ok(all)
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
                RejectedBy::Range => REFUSED_BY_RANGE,
            };
            return Again::Refused { code: code.to_owned(), reason: reject.reason.clone() };
        }
        let start = cleaned.row_of.partition_point(|of| *of < index);
        let end = cleaned.row_of.partition_point(|of| *of <= index);
        Again::Rows(cleaned.rows.slice(start, end - start))
    };
    (0..documents).map(one).collect()
}

/// The refusal of a line, if it was refused.
fn held<'a>(receipt: &Receipt, line: usize, refused: &'a BTreeMap<String, Refused>) -> Option<&'a Refused> {
    let held = receipt.quarantined.iter().find(|held| held.line == line)?;
    refused.get(&held.id)
}

/// How the plugin's result now contradicts the record of a line, if it does.
fn contradiction(receipt: &Receipt, line: usize, now: &Again, all: &BTreeMap<String, Refused>) -> Option<String> {
    let skipped = receipt.skipped.iter().find(|skip| skip.line == line);
    let held = receipt.quarantined.iter().find(|held| held.line == line);
    let recorded = match (skipped, held) {
        (Some(skip), _) => format!("skipped ({})", skip.reason),
        (None, Some(held)) => {
            // V1 reports a missing refusal.
            let refused = all.get(&held.id)?;
            let same = |code: &str, reason: &str| {
                // A fault's text may name an address or an instant; its code does not.
                refused.code == code && (!code.starts_with('R') || refused.reason == reason)
            };
            match now {
                Again::Refused { code, reason } if same(code, reason) => return None,
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
