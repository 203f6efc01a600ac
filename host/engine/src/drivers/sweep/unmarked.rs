//! Ticks without a mark: those of a lake of an earlier version, or of a host of one. Each gets a mark.
//!
//! Does not look at them: the sweep does, one after the other.

use chrono::{DateTime, NaiveDate, Utc};
use lake::{Lake, LakeError, bronze, closed, open};
use records::keys::Tick;

/// Opens every tick of the lake that is neither open nor closed; with `all`, also those that are closed.
pub(super) async fn mark(lake: &Lake, all: bool, now: DateTime<Utc>) -> Result<(), LakeError> {
    let ticks = bronze::ticks(lake).await?;
    let open = open::ticks(lake).await?;
    let mut unknown: Vec<Tick> = Vec::new();
    for ticks in ticks.chunk_by(|one, next| one.day() == next.day()) {
        let day: Option<NaiveDate> = ticks.first().map(|tick| tick.day()).filter(|_| !all);
        let closed = match day {
            Some(day) => closed::of_day(lake, day).await?,
            None => Default::default(),
        };
        unknown.extend(ticks.iter().filter(|tick| !open.contains_key(tick) && !closed.contains_key(tick)));
    }
    if !unknown.is_empty() {
        tracing::info!(ticks = unknown.len(), "ticks that nothing is known of are looked at");
    }
    open::found(lake, &unknown, now).await
}
