//! From Bronze documents to the columns that a cleaner asked for, read natively and lazily: a document's other fields are skipped.
//!
//! Does not validate what it skips, nor what follows the last field it needs: the host validated each document when it wrote
//! it. A document that is not JSON as far as it is read is refused, like one with a wrong field. If a key occurs twice, the
//! first counts.

mod builder;
mod paths;
mod value;

use std::borrow::Cow;

use bytes::Bytes;
use seams::foreign::words;
use seams::plugin::{Fault, FaultKind, InputField, Reject, RejectedBy};

use crate::bindings::wit;
use crate::fault::{bytes, fault};
use builder::ColumnBuilder;
use paths::Paths;

/// Which fields to read.
#[derive(Debug)]
pub(crate) struct Projection {
    fields: Vec<InputField>,
    paths: Paths,
    /// Most bytes of a batch, since the guest's memory must hold it. One value may be used for many columns.
    most: u64,
}

/// A batch for the guest, and its documents.
pub(crate) struct Projected {
    pub(crate) batch: wit::Batch,
    /// For each row of the batch, the index of its document; ascending.
    pub(crate) documents: Vec<usize>,
    /// Documents that are not in the batch.
    pub(crate) rejects: Vec<Reject>,
}

/// Why a document cannot be in the batch.
enum Unfit {
    /// It is not what the descriptor asks for.
    Document(String),
    /// The batch is full: no document after this one fits either.
    Full(Fault),
}

impl Projection {
    /// Reads `fields`, whose pointers have been checked, for a guest of `memory` bytes.
    pub(crate) fn new(fields: Vec<InputField>, memory: u64) -> Self {
        let paths = Paths::new(fields.iter().map(|field| field.pointer.as_str()));
        Projection { fields, paths, most: memory }
    }

    /// Reads the fields of each document. `Err` only if the batch is too large to be passed at all.
    pub(crate) fn project(&self, documents: &[Bytes]) -> Result<Projected, Fault> {
        let mut columns: Vec<ColumnBuilder> =
            self.fields.iter().map(|field| ColumnBuilder::new(field.ty, documents.len())).collect();
        let (mut taken, mut rejects) = (Vec::with_capacity(documents.len()), Vec::new());
        let mut found = vec![None; self.fields.len()];
        let mut size = 0_u64;
        for (index, document) in documents.iter().enumerate() {
            let read = self.read(document, &mut found, &mut columns);
            size = found.iter().flatten().fold(size, |size, raw: &Cow<'_, str>| size.saturating_add(raw.len() as u64));
            if size > self.most {
                return Err(larger_than(self.most));
            }
            match read {
                Ok(()) => taken.push(index),
                Err(Unfit::Document(reason)) => rejects.push(Reject { index, reason, by: RejectedBy::Projection }),
                Err(Unfit::Full(fault)) => return Err(fault),
            }
        }
        let rows = u32::try_from(taken.len()).map_err(|_| too_large("rows"))?;
        Ok(Projected { batch: builder::batch(rows, columns), documents: taken, rejects })
    }

    /// Adds one row, or leaves the columns as they were.
    fn read<'d>(
        &self,
        document: &'d Bytes,
        found: &mut [Option<Cow<'d, str>>],
        columns: &mut [ColumnBuilder],
    ) -> Result<(), Unfit> {
        found.fill(None);
        self.paths.find(document, found).map_err(Unfit::Document)?;
        let wanted = found.iter().flatten().fold(0_u64, |size, raw| size.saturating_add(raw.len() as u64));
        if wanted > self.most {
            return Err(Unfit::Full(larger_than(self.most)));
        }
        for (done, (field, raw)) in self.fields.iter().zip(found.iter()).enumerate() {
            let Some(column) = columns.get_mut(done) else { break };
            if let Err(refused) = column.push(raw.as_deref(), field.nullable) {
                columns.iter_mut().take(done).for_each(ColumnBuilder::pop);
                return Err(match refused {
                    builder::Refused::Value(found) => Unfit::Document(mismatch(field, &found)),
                    builder::Refused::Full => Unfit::Full(too_large(&format!("bytes in column `{}`", field.name))),
                });
            }
        }
        Ok(())
    }
}

fn mismatch(field: &InputField, found: &str) -> String {
    let form = value::form(field.ty).map(|form| format!("; {form}")).unwrap_or_default();
    words(&format!("field `{}` ({}): expected {}, found {found}{form}", field.name, field.pointer, field.ty))
}

fn larger_than(memory: u64) -> Fault {
    let message = format!("fields that the plugin reads take more than its memory cap {}", bytes(memory));
    fault(FaultKind::Memory, "P110", message)
}

fn too_large(what: &str) -> Fault {
    fault(FaultKind::Memory, "P110", format!("batch has more {what} than a 32-bit guest can address"))
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;
