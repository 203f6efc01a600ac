//! The cleaner's seam on wasmtime: documents are projected, the guest cleans the columns, the host checks that no document was lost.
//!
//! Does not re-run a broken batch record by record: the engine does.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use seams::foreign::words;
use seams::plugin::{Cleaned, Cleaner, Descriptor, Digest, Fault, Note, Plugin, Reject, RejectedBy};

use crate::bindings::clean::CleanOnlyIndices;
use crate::bindings::clean::exports::sluicebox::plugin::clean as wit;
use crate::code::Code;
use crate::columns::record_batch;
use crate::fault::{bad_output, host_fault};
use crate::limits::{check_rows, check_rows_of};
use crate::load::Loaded;
use crate::memory::Need;
use crate::project::Projection;
use crate::threads::Lane;

/// A loaded cleaner.
#[derive(Debug)]
pub(crate) struct WasmCleaner {
    bound: Arc<Bound>,
    lane: Lane,
}

struct Bound {
    loaded: Loaded<CleanOnlyIndices>,
    projection: Projection,
    schema: SchemaRef,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.loaded.fmt(f)
    }
}

impl WasmCleaner {
    pub(crate) fn new(loaded: Loaded<CleanOnlyIndices>, lane: Lane) -> Self {
        let projection = Projection::new(loaded.descriptor.input.clone(), loaded.limits().memory);
        let schema = loaded.descriptor.output_schema();
        WasmCleaner { bound: Arc::new(Bound { loaded, projection, schema }), lane }
    }
}

impl Plugin for WasmCleaner {
    fn descriptor(&self) -> &Descriptor {
        &self.bound.loaded.descriptor
    }

    fn digest(&self) -> &Digest {
        self.bound.loaded.digest()
    }

    fn component(&self) -> &Bytes {
        self.bound.loaded.component()
    }

    fn prepare(&self) {
        let bound = Arc::clone(&self.bound);
        // A failure is reported by the first call, which tries it again.
        self.lane.begin(move || drop(bound.loaded.code()));
    }
}

#[async_trait]
impl Cleaner for WasmCleaner {
    async fn clean(&self, documents: &[Bytes]) -> Result<Cleaned, Fault> {
        let (bound, documents) = (Arc::clone(&self.bound), documents.to_vec());
        let given = documents.iter().map(Bytes::len).sum();
        let cleaned = self.lane.run(Need::of_call(self.bound.loaded.limits(), given), move || bound.clean(&documents));
        cleaned.await.unwrap_or_else(|panic| Err(host_fault(panic)))
    }
}

impl Bound {
    fn clean(&self, documents: &[Bytes]) -> Result<Cleaned, Fault> {
        let projected = self.projection.project(documents)?;
        if projected.documents.is_empty() {
            let rows = RecordBatch::new_empty(Arc::clone(&self.schema));
            return Ok(Cleaned { rows, row_of: Vec::new(), rejects: projected.rejects, skips: Vec::new() });
        }
        let Code { callable, exports } = self.loaded.code()?;
        let returned = callable.call(projected.documents.len(), |store, instance| {
            let guest = exports.load(&mut *store, instance)?;
            guest.sluicebox_plugin_clean().call_clean(&mut *store, &projected.batch)
        })?;
        let limits = self.loaded.limits();
        let checked = check_rows(u64::from(returned.value.rows.rows), limits)
            .and_then(|()| conserved(&returned.value, &projected.documents))
            .and_then(|()| check_rows_of(&returned.value.row_of, limits, |index| named(&projected.documents, *index)))
            .and_then(|()| self.cleaned(returned.value, &projected.documents, projected.rejects));
        checked.map_err(|fault| Fault { log: returned.log, ..fault })
    }

    /// From the guest's indices to the caller's.
    fn cleaned(&self, cleaned: wit::Cleaned, documents: &[usize], mut rejects: Vec<Reject>) -> Result<Cleaned, Fault> {
        let rows = record_batch(cleaned.rows, &self.loaded.descriptor.output, &self.schema)?;
        let document = |index: u32| documents.get(index as usize).copied().unwrap_or_default();
        let row_of = cleaned.row_of.into_iter().map(document).collect();
        let by_plugin = |note: wit::Note| Reject {
            index: document(note.index),
            reason: words(&note.reason),
            by: RejectedBy::Plugin,
        };
        rejects.extend(cleaned.rejects.into_iter().map(by_plugin));
        rejects.sort_by_key(|reject| reject.index);
        let mut skips: Vec<Note> = cleaned
            .skips
            .into_iter()
            .map(|note| Note { index: document(note.index), reason: words(&note.reason) })
            .collect();
        skips.sort_by_key(|skip| skip.index);
        Ok(Cleaned { rows, row_of, rejects, skips })
    }
}

/// The caller's index of a document that the guest names.
fn named(documents: &[usize], index: u32) -> usize {
    documents.get(index as usize).copied().unwrap_or(index as usize)
}

/// The outcome of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Missing,
    Rows,
    Rejected,
    Skipped,
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Fate::Missing => "nowhere",
            Fate::Rows => "the rows",
            Fate::Rejected => "the rejects",
            Fate::Skipped => "the skips",
        }
    }
}

/// Every document is in exactly one of rows (once or more), rejects and skips, and the rows are in the documents' order.
fn conserved(cleaned: &wit::Cleaned, documents: &[usize]) -> Result<(), Fault> {
    if cleaned.row_of.len() != cleaned.rows.rows as usize {
        let message =
            format!("plugin returned {} entries in `row-of` for {} rows", cleaned.row_of.len(), cleaned.rows.rows);
        return Err(bad_output("P130", message));
    }
    let mut fates = vec![Fate::Missing; documents.len()];
    let mut last = 0;
    for (row, index) in cleaned.row_of.iter().copied().enumerate() {
        if index < last {
            let (document, before) = (named(documents, index), named(documents, last));
            let message = format!(
                "plugin returned row {row} of document {document} behind one of document {before}, expected them in order"
            );
            return Err(bad_output("P131", message));
        }
        last = index;
        settle(&mut fates, documents, index, Fate::Rows)?;
    }
    for note in &cleaned.rejects {
        settle(&mut fates, documents, note.index, Fate::Rejected)?;
    }
    for note in &cleaned.skips {
        settle(&mut fates, documents, note.index, Fate::Skipped)?;
    }
    let missing = fates.iter().filter(|fate| **fate == Fate::Missing).count();
    match documents.iter().zip(&fates).find(|(_, fate)| **fate == Fate::Missing) {
        Some((document, _)) => {
            let (count, found) = (documents.len(), documents.len() - missing);
            Err(bad_output(
                "P130",
                format!(
                    "plugin returned results for {found} of {count} documents: document {document} is in none of rows, rejects and skips"
                ),
            ))
        }
        None => Ok(()),
    }
}

fn settle(fates: &mut [Fate], documents: &[usize], index: u32, fate: Fate) -> Result<(), Fault> {
    let count = documents.len();
    let (Some(slot), Some(document)) = (fates.get_mut(index as usize), documents.get(index as usize)) else {
        let message = format!("plugin named document {index} in {}, but the batch has {count} documents", fate.name());
        return Err(bad_output("P131", message));
    };
    match *slot {
        Fate::Missing => *slot = fate,
        Fate::Rows if fate == Fate::Rows => {}
        before if before == fate => {
            return Err(bad_output("P131", format!("plugin named document {document} twice in {}", fate.name())));
        }
        before => {
            let message = format!(
                "plugin named document {document} in {} and in {}, expected exactly one",
                before.name(),
                fate.name()
            );
            return Err(bad_output("P131", message));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "cleaner_tests.rs"]
mod tests;
