//! What is left to do: what a sweep finds missing in the lake, what keeps the rest from being done, and how a run ended.
//!
//! Does not look for it: `drivers::sweep` does.

use std::collections::BTreeMap;

use super::look::Look;
use crate::progress::Outage;
use crate::roles::ingest::Fired;

/// What a sweep found not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// Messages without a Bronze object.
    pub messages: usize,
    /// Records in them.
    pub records: usize,
    /// Bronze objects without a receipt.
    pub objects: usize,
    /// Gold tables older than Silver, or made by another plugin.
    pub tables: usize,
    /// Notes of rows that were taken back, while older versions of their keys are not offered again yet.
    pub retracted: usize,
}

impl Missing {
    /// Whether all is done.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Missing::default()
    }

    /// Adds what is missing of a tick.
    pub(super) fn add(&mut self, look: &Look) {
        self.messages += look.missing();
        self.records += look.snapshots.iter().map(|snapshot| snapshot.missing_records).sum::<usize>();
        self.objects += look.unseen().count();
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Missing { messages, records, objects, tables, retracted } = self;
        write!(
            f,
            "{records} records in {messages} messages have no object in bronze, {objects} objects are not cleaned, {tables} gold tables are not made from what silver is, {retracted} notes of rows taken back are open"
        )
    }
}

/// What is left when work ends.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Left {
    /// What is still not done.
    pub missing: Missing,
    /// Messages that are still queued, given up or in a worker's hands: the lake does not know what is to be done again.
    pub queued: u64,
    /// Why the work did not wait longer.
    pub waiting_for: Option<String>,
    /// The stages that are suspended, and why. Their messages stay queued.
    pub suspended: BTreeMap<&'static str, String>,
    /// The Gold tables that keep their last good version because their plugin fails, and why.
    pub tables_behind: BTreeMap<String, String>,
    /// The services that are down, by endpoint.
    pub outages: BTreeMap<String, Outage>,
}

impl Left {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.missing.is_nothing() && self.queued == 0 && self.suspended.is_empty() && self.tables_behind.is_empty()
    }
}

/// How a run ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Ended {
    /// What the tick did.
    pub fired: Fired,
    /// What is still not done: nothing, unless the run was stopped or had to wait too long.
    #[serde(flatten)]
    pub left: Left,
}
