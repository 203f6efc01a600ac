//! What a replay is asked for, and what it will do.
//!
//! Does not choose, and does not do it.

use std::collections::{BTreeMap, BTreeSet};

use lake::quarantine::{Refused, RefusedAt};
use records::keys::{Key, Tick};
use serde::Serialize;

/// Which records.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of what state.
    pub which: Which,
    /// Only records of these keys; all if there are none.
    pub keys: BTreeSet<Key>,
    /// Only those of one tick.
    pub run: Option<Tick>,
    /// Whether services may be asked for answers that are not kept.
    pub fetch: bool,
}

impl Selection {
    /// Whether it leaves out no record.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.which == Which::All && self.keys.is_empty() && self.run.is_none()
    }
}

/// Records of what state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    #[default]
    All,
    /// Those that another plugin or configuration has made.
    Stale,
    /// Those in quarantine: all, or these ids.
    Quarantined(Option<BTreeSet<String>>),
}

/// What a replay will do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Planned {
    /// Records to be enriched again, by object.
    pub enrich: BTreeMap<String, Vec<usize>>,
    /// Records to be cleaned again, by object.
    pub clean: BTreeMap<String, Vec<usize>>,
    /// Refused when the source was read: to be given a key again.
    pub ingest: Vec<String>,
    /// Refused as messages: to be received again.
    pub messages: Vec<String>,
    /// Record versions that are still to be cleaned for the first time: left to that.
    pub underway: usize,
    /// Refused records, by object, that a service would have to be asked for again, while no service may be.
    pub unanswered: BTreeMap<String, Vec<usize>>,
    /// Refusals that were chosen and stay.
    pub stuck: Vec<Stuck>,
    /// Keys that were chosen and that no record has.
    pub unknown_keys: Vec<UnknownKey>,
    /// Record versions that were read.
    pub looked_at: usize,
    /// Refusals of lines that are no longer refused: the worker that processed them died before it removed the refusal.
    pub settled: Vec<String>,
    #[serde(skip)]
    pub(super) refused: Vec<Refused>,
    #[serde(skip)]
    pub(super) taken: BTreeSet<(Tick, Key)>,
    pub(super) again: bool,
    pub(super) fetch: bool,
}

impl Planned {
    /// How many refused records would have to be asked for again.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered.values().map(Vec::len).sum()
    }

    /// How many record versions the replay covers; one that is both enriched and cleaned again counts once.
    #[must_use]
    pub fn records(&self) -> usize {
        let lines = |all: &BTreeMap<String, Vec<usize>>| -> BTreeSet<(String, usize)> {
            all.iter().flat_map(|(object, lines)| lines.iter().map(|line| (object.clone(), *line))).collect()
        };
        let mut all = lines(&self.enrich);
        all.append(&mut lines(&self.clean));
        all.len() + self.ingest.len() + self.messages.len()
    }
}

/// A refusal that stays, whatever is replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stuck {
    /// Its id in quarantine.
    pub id: String,
    /// Where it was refused.
    pub stage: RefusedAt,
    /// Why nothing can be made of it.
    pub why: &'static str,
}

/// A key that no record has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownKey {
    /// As it was asked for.
    pub key: String,
    /// The key of a record that was most likely meant.
    pub near: Option<String>,
}
