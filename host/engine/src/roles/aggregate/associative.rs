//! Holds a plugin to its contract on real data: merged one by one or in groups, partial results make the same table.
//!
//! Does not prove it: it tries one other grouping of what is there. Does not ask for commutativity, which the contract does not: the order
//! stays.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::tree::FAN_OUT;
use crate::difference::first_different_row;
use crate::seams::plugin::{Aggregator, Fault, FaultKind};
use crate::spans;

/// Of so many partial results a plugin is tried at most: the first ones. Enough for each level of a tree, and no more than a call can take.
const TRIED_AT_MOST: usize = (FAN_OUT * FAN_OUT) as usize;

/// How far a table's plugin has been tried, in this process.
#[derive(Debug, Default)]
pub struct Tried(AtomicUsize);

impl Tried {
    /// Tries the plugin on these partial results, those of all buckets in their order: the first time, and again when there are twice as many.
    ///
    /// # Errors
    /// `P141` if merging in groups gives another table than merging one by one, with the first row that differs. It is tried again the next time.
    pub(super) async fn on(&self, plugin: &dyn Aggregator, partials: &[Bytes]) -> Result<(), Fault> {
        let partials = partials.get(..TRIED_AT_MOST).unwrap_or(partials);
        let before = self.0.load(Ordering::Relaxed);
        if partials.is_empty() || (before > 0 && partials.len() < before.saturating_mul(2)) {
            return Ok(());
        }
        spans::called(spans::call(plugin, "merge", partials.len()), try_on(plugin, partials)).await?;
        self.0.store(partials.len(), Ordering::Relaxed);
        Ok(())
    }
}

async fn try_on(plugin: &dyn Aggregator, partials: &[Bytes]) -> Result<(), Fault> {
    let each = partials.len().div_ceil(2).clamp(1, FAN_OUT as usize);
    let mut groups = Vec::new();
    for group in partials.chunks(each) {
        groups.push(plugin.merge(group).await?);
    }
    let (one_by_one, grouped) = (plugin.finish(partials).await?, plugin.finish(&groups).await?);
    let Some((_, difference)) = first_different_row(&one_by_one, &grouped) else { return Ok(()) };
    let message = format!(
        "`merge` is not associative: {} partial results merged one by one make another table than merged in {} groups first: {difference}\n\
         hint: add up whole numbers, such as cents, where sums of float64 depend on their order; `sluicebox plugin test` tries it on your cases",
        partials.len(),
        groups.len(),
    );
    Err(Fault { kind: FaultKind::BadOutput, code: "P141", message, backtrace: None, log: Vec::new() })
}
