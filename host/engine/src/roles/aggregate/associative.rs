//! Holds a plugin to its contract on real data: however partial results are merged, they make the same table.
//!
//! Does not prove it: of what is there it tries one other grouping (is `merge` associative?) and one other order, last first (is it
//! commutative?).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use lake::silver::SilverVersion;
use seams::plugin::{Aggregator, Fault, FaultKind};
use seams::spans;

use super::tree::FAN_OUT;
use crate::difference::first_different_row;
use crate::roles::breaker::Suspension;

/// The most partial results that a plugin is tried on: the first ones. Enough for each level of a tree, and no more than a call can take.
const TRIED_AT_MOST: usize = (FAN_OUT * FAN_OUT) as usize;

/// How long a plugin that was too slow is left alone.
const SLOW_RESTS: TimeDelta = TimeDelta::minutes(10);

/// How far a table's plugin has been tried, in this process.
#[derive(Debug, Default)]
pub struct Tried {
    /// On how many partial results its `merge` was tried.
    partials: AtomicUsize,
    /// How many of its latest attempts in a row ran past a deadline.
    deadlines: AtomicUsize,
    /// Whether it was tried although it is noted to fail.
    all_the_same: AtomicBool,
}

impl Tried {
    /// Tries the plugin on these partial results, those of all buckets in their order: the first time, and again when there are twice as many.
    ///
    /// # Errors
    /// As [`try_on`]. It is tried again the next time.
    pub(super) async fn on(&self, plugin: &dyn Aggregator, partials: &[Bytes]) -> Result<(), Fault> {
        let before = self.partials.load(Ordering::Relaxed);
        let there = partials.len().min(TRIED_AT_MOST);
        if there == 0 || (before > 0 && there < before.saturating_mul(2)) {
            return Ok(());
        }
        spans::called(spans::call(plugin, "merge", there), try_on(plugin, partials)).await?;
        self.partials.store(there, Ordering::Relaxed);
        Ok(())
    }

    /// Whether to try a plugin that is noted to fail all the same: once a process if Silver has changed since the note. One that was too
    /// slow is also tried on the same Silver, and again after a while.
    pub(super) fn is_due(&self, note: &Suspension, silver: &SilverVersion, now: DateTime<Utc>) -> bool {
        let behind = note.behind.as_ref();
        let too_slow = behind.is_some_and(|behind| behind.too_slow);
        let same = !too_slow && behind.is_some_and(|behind| behind.tried == *silver);
        let rested = too_slow && (now - note.at).abs() >= SLOW_RESTS;
        rested || (!same && !self.all_the_same.load(Ordering::Relaxed))
    }

    /// As `is_due`, and notes that the plugin is tried now.
    pub(super) fn begin(&self, note: &Suspension, silver: &SilverVersion, now: DateTime<Utc>) -> bool {
        let due = self.is_due(note, silver, now);
        self.all_the_same.fetch_or(due, Ordering::Relaxed);
        due
    }

    /// The plugin was tried and failed: this process does not try it again.
    pub(super) fn failed(&self) {
        self.all_the_same.store(true, Ordering::Relaxed);
    }

    /// Counts an attempt that ended at a deadline; any other end sets the count to zero.
    pub(super) fn ended(&self, at_a_deadline: bool) {
        if at_a_deadline {
            self.deadlines.fetch_add(1, Ordering::Relaxed);
        } else {
            self.deadlines.store(0, Ordering::Relaxed);
        }
    }

    /// How many of the latest attempts in a row ended at a deadline.
    pub(super) fn deadlines(&self) -> usize {
        self.deadlines.load(Ordering::Relaxed)
    }
}

/// Tries a plugin's `merge` on the first of these partial results.
///
/// # Errors
/// `P141`, with the first row that differs, if merging in groups or last first gives another table than merging one by one.
pub(crate) async fn try_on(plugin: &dyn Aggregator, partials: &[Bytes]) -> Result<(), Fault> {
    let partials = partials.get(..TRIED_AT_MOST).unwrap_or(partials);
    if partials.len() < 2 {
        return Ok(());
    }
    let each = partials.len().div_ceil(2).clamp(1, FAN_OUT as usize);
    let one_by_one = plugin.finish(partials).await?;
    let backwards: Vec<Bytes> = partials.iter().rev().cloned().collect();
    let backwards = plugin.finish(&backwards).await?;
    let mut groups = Vec::new();
    for group in partials.chunks(each) {
        groups.push(plugin.merge(group).await?);
    }
    let grouped = plugin.finish(&groups).await?;
    let count = partials.len();
    same(&one_by_one, &grouped, || {
        let way = format!("merged in {} groups first", groups.len());
        let hint = "add up whole numbers, such as cents, where sums of float64 depend on their order";
        ("associative", count, way, hint)
    })?;
    same(&one_by_one, &backwards, || {
        let hint = "keep of two states what does not depend on which came first, and let `finish` sort by what no two rows share";
        ("commutative", count, "merged last first".to_owned(), hint)
    })
}

fn same(
    one_by_one: &RecordBatch,
    other: &RecordBatch,
    told: impl FnOnce() -> (&'static str, usize, String, &'static str),
) -> Result<(), Fault> {
    let Some((_, difference)) = first_different_row(one_by_one, other) else { return Ok(()) };
    let (what, count, way, hint) = told();
    let message = format!(
        "`merge` is not {what}: {count} partial results merged one by one make another table than {way}: {difference}\n\
         hint: {hint}; `sluicebox plugin test` tries it on your cases"
    );
    Err(Fault { kind: FaultKind::BadOutput, code: "P141", message, backtrace: None, log: Vec::new() })
}
