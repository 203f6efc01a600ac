//! V6: every reference leads to something that is there: receipts to objects, lines to refusals and answers, refusals to
//! lines.
//!
//! Does not look into tables: `tables` does.

use std::collections::{BTreeMap, BTreeSet};

use engine::census::Fate;
use lake::bronze;
use lake::quarantine::{Refused, RefusedAt};
use lake::receipts::Receipt;

use super::{Checker, Invariant};

impl Checker<'_> {
    /// Receipts and refusals.
    pub(super) fn receipts(&mut self) {
        let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
        for place in &self.evidence.places {
            *lines.entry(place.object.as_ref()).or_default() += 1;
        }
        let mut found = Vec::new();
        for receipt in self.evidence.receipts.values() {
            found.extend(wrong(receipt, lines.get(receipt.object.as_str()).copied()).map(|what| (receipt, what)));
        }
        for (receipt, what) in found {
            self.report.find(Invariant::V6, format!("receipt of {}", receipt.object), what);
        }
        self.refusals();
    }

    fn refusals(&mut self) {
        self.report.checked(Invariant::V6, self.refused.len());
        let held = |fate: &Fate| match fate {
            Fate::Quarantined { id } => Some(id.clone()),
            _ => None,
        };
        let held: BTreeSet<String> = self.fates.iter().filter_map(held).collect();
        let mut records = BTreeMap::new();
        for place in &self.evidence.places {
            records.insert(place.source(), &place.meta.record);
        }
        for (id, refused) in &self.refused {
            if *id != refused.id || refused.id != Refused::id_of(refused.stage, &refused.input, refused.generation) {
                self.report.find(Invariant::V6, id, "its id does not belong to its stage, input and generation");
            }
            if refused.stage == RefusedAt::Ingest || bronze::place(&refused.input).is_none() {
                continue;
            }
            match records.get(&refused.input) {
                None => self.report.find(Invariant::V6, id, format!("its input `{}` is not in bronze", refused.input)),
                Some(record) if **record != refused.record => {
                    self.report.find(Invariant::V6, id, format!("its record is not that of `{}`", refused.input));
                }
                Some(_) if !held.contains(id.as_str()) => {
                    let message = format!(
                        "`{}` is not refused any more, and still is in quarantine: any replay takes it away",
                        refused.input
                    );
                    self.report.find(Invariant::V1, id, message);
                }
                Some(_) => {}
            }
        }
    }
}

/// What is wrong with a receipt, if anything.
fn wrong(receipt: &Receipt, lines: Option<usize>) -> Option<String> {
    let Some(lines) = lines else { return Some("the object is not in bronze".to_owned()) };
    let counted = receipt.cleaned + receipt.skipped.len() + receipt.quarantined.len() + receipt.superseded.len();
    if receipt.lines != lines {
        return Some(format!("it speaks of {} lines, the object has {lines}", receipt.lines));
    }
    (counted != lines).then(|| format!("its parts add up to {counted}, not to its {lines} lines"))
}
