//! Time as the engine sees it. Nothing else in the engine reads a wall clock.
//!
//! Does not know schedules or time zones: `pipeline::schedule` does.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

/// A source of time.
///
/// # Contract
/// * `now` may jump in either direction; callers must not take two readings for a duration that matters.
/// * `sleep_until` returns at once for an instant that is not in the future, and else no earlier than `instant`.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The instant it is now.
    fn now(&self) -> DateTime<Utc>;

    /// Waits until `instant`.
    async fn sleep_until(&self, instant: DateTime<Utc>);

    /// Waits for `span`. A clock that is set back meanwhile does not prolong it; one that is set forward may cut it short, as the sleep of a
    /// whole machine does.
    async fn sleep(&self, span: Duration) {
        let span = TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
        let until = self.now().checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC);
        self.sleep_until(until).await;
    }
}
