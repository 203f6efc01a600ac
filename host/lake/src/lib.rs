//! The lake: three layers of objects and tables, and the names under which the engine keeps things in them.
//!
//! Does not decide what is written when: that is `roles`. Does not open stores: a composition root hands them in.

use std::num::NonZeroU32;

use seams::store::{Store, StoreError};
use thiserror::Error;

pub mod answers;
pub mod bronze;
pub mod chain;
pub mod closed;
pub mod components;
pub mod conditions;
mod csv;
pub mod decimal;
pub mod delta;
pub mod events;
pub mod failure;
pub mod generations;
pub mod gold;
pub mod identity;
pub mod instants;
pub mod kept_out;
pub mod open;
pub mod quarantine;
pub mod receipts;
pub mod retracted;
pub mod silver;
pub mod swaps;
pub mod sweeping;
pub mod taken;
pub mod ticks;
pub mod waiting;

pub use delta::TableError;

/// One store for each layer.
#[derive(Clone, Debug)]
pub struct Lake {
    /// Raw documents, kept answers, quarantine.
    pub bronze: Store,
    /// The keyed table, its receipts and the history of clean plugins.
    pub silver: Store,
    /// The aggregates' tables, exports and partial results.
    pub gold: Store,
    /// Into how many buckets a new Silver table is divided.
    pub buckets: NonZeroU32,
}

/// Why the lake could not be read or written.
#[derive(Debug, Error)]
pub enum LakeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// An object of ours does not hold what we write there: it was edited, or comes from another version.
    #[error("object `{path}` is not valid: {reason}")]
    Corrupt {
        /// The object, and line if there is one.
        path: String,
        /// Expected against found.
        reason: String,
    },
    /// A plugin that was taken back was about to serve again: this process has not heard of it yet.
    #[error(
        "stage `{stage}`: `{plugin}` was taken back, `{serves}` serves in its place\nhint: a process that serves goes on with it by itself; `sluicebox plugin history` says why"
    )]
    TakenBack {
        /// The stage.
        stage: String,
        /// The plugin that was taken back.
        plugin: String,
        /// The one that serves in its place.
        serves: String,
    },
}

impl LakeError {
    /// The error for an object at `path` that cannot be read as what it should be.
    pub fn corrupt(path: impl std::fmt::Display, reason: impl std::fmt::Display) -> Self {
        LakeError::Corrupt { path: path.to_string(), reason: reason.to_string() }
    }
}
