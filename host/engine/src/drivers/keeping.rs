//! Keeping house: what a table's old versions need is deleted once they are older than the retention.
//!
//! Does not know what may be deleted: that is `lake::delta`. Stops nothing when it fails; the next run does what was left.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lake::TableError;
use lake::delta::Tidied;
use seams::clock::Clock;

use crate::roles::aggregate::Aggregate;

/// How often tables are tidied up, at most.
const EVERY: TimeDelta = TimeDelta::hours(1);

/// How long old versions are kept, and when the tables were last tidied up.
#[derive(Debug)]
pub struct Keeping {
    retention: Duration,
    last: Mutex<Option<DateTime<Utc>>>,
}

impl Keeping {
    /// Keeps old versions for `retention`.
    #[must_use]
    pub fn new(retention: Duration) -> Self {
        Keeping { retention, last: Mutex::default() }
    }

    /// Tidies up Silver and every Gold table, unless that was done within the last hour; logs what was deleted.
    pub async fn tidy(&self, aggregate: &Aggregate, clock: &dyn Clock) {
        if !self.is_due(clock.now()) {
            return;
        }
        tell("silver", aggregate.silver.tidy(self.retention).await);
        for table in &aggregate.tables {
            tell(&table.name, table.gold.tidy(self.retention).await);
        }
    }

    /// Whether it is time; then not again for an hour.
    fn is_due(&self, now: DateTime<Utc>) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not put it off for longer than the hour.
        let due = last.is_none_or(|last| (now - last).abs() >= EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}

fn tell(table: &str, outcome: Result<Tidied, TableError>) {
    match outcome {
        Ok(done) if done.is_nothing() => tracing::debug!(table, "nothing to tidy up"),
        Ok(Tidied { files, bytes, log_entries }) => tracing::debug!(table, files, bytes, log_entries, "tidied up"),
        Err(error) => tracing::warn!(table, %error, "tidying up failed, the next time does it"),
    }
}
