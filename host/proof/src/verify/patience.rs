//! How often a plugin that breaks is called: a verification ends, whatever the plugins of the lake do.
//!
//! Does not bound a call: the limits of the pipeline file do. Recorded failures do not count against it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lake::generations::Generation;
use seams::plugin::{Fault, FaultKind};

/// After so many calls past their deadline a plugin is not called any more: each costs the whole deadline.
const MOST_DEADLINES: usize = 3;
/// The same for calls that broke in another way, without a record of it.
const MOST_FAULTS: usize = 50;

/// The failures of a lake's plugins so far.
#[derive(Debug, Default)]
pub(super) struct Patience {
    met: Mutex<BTreeMap<(&'static str, u32), Met>>,
    /// Held while documents are tried one by one: those of many objects at once would cost as many deadlines.
    pub(super) alone: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Met {
    deadlines: usize,
    others: usize,
    last: String,
}

impl Patience {
    /// Counts that a plugin broke on a document without a record of it.
    pub(super) fn met(&self, stage: &'static str, by: &Generation, fault: &Fault, source: &str) {
        let mut all = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let met = all.entry((stage, by.number)).or_default();
        match fault.kind {
            FaultKind::Deadline => met.deadlines += 1,
            _ => met.others += 1,
        }
        met.last = format!("{} on `{source}`: {}", fault.code, fault.message);
    }

    /// Why the plugin is not called any more, if so.
    pub(super) fn is_spent(&self, stage: &'static str, by: &Generation) -> Option<String> {
        let all = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let met = all.get(&(stage, by.number))?;
        (met.deadlines >= MOST_DEADLINES || met.others >= MOST_FAULTS).then(|| {
            let times = met.deadlines + met.others;
            format!(
                "{} broke {times} times where it is not recorded to have, the last time {}; it is not asked any more",
                by.plugin, met.last
            )
        })
    }
}
