//! The aggregate role of one pipeline: Silver, the Gold tables, and what makes them.
//!
//! Does none of its work: the files beside this one do.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lake::Lake;
use lake::silver::Silver;

use super::table::GoldTable;
use crate::progress::Progress;

/// The aggregate role of one pipeline.
#[derive(Debug)]
pub struct Aggregate {
    /// Where plugins are kept.
    pub lake: Lake,
    /// The keyed table.
    pub silver: Silver,
    /// The Gold tables, each with its plugin.
    pub tables: Vec<GoldTable>,
    /// Buckets folded at once.
    pub concurrency: NonZeroUsize,
    /// Counters.
    pub progress: Arc<Progress>,
}

impl Aggregate {
    /// The same plugins at the beginning of new generations.
    #[must_use]
    pub fn next_generation(&self) -> Self {
        let again = |table: &GoldTable| table.with(Arc::clone(&table.plugin), table.config.clone(), table.gold.clone());
        self.with(self.silver.clone(), self.tables.iter().map(again).collect())
    }

    /// The same role with other tables, made from `silver`.
    #[must_use]
    pub fn with(&self, silver: Silver, tables: Vec<GoldTable>) -> Self {
        let (lake, progress) = (self.lake.clone(), Arc::clone(&self.progress));
        Aggregate { lake, silver, tables, concurrency: self.concurrency, progress }
    }
}
