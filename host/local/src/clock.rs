//! The machine's clock.
//!
//! Does not make time monotonic: the engine's contract allows jumps, and this clock follows them.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use seams::clock::Clock;
use tokio::time::Instant;

/// The longest single sleep. The timer below does not count the time that a laptop was suspended, and does not notice a wall clock
/// that was set, so a long wait looks at the clock again this often.
const LONGEST_NAP: Duration = Duration::from_secs(10);

/// [`Clock`] on the system's UTC time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep_until(&self, instant: DateTime<Utc>) {
        while let Ok(left) = (instant - self.now()).to_std() {
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_NAP)).await;
        }
    }

    async fn sleep(&self, span: Duration) {
        // By the timer, which cannot be set; and by the clock, which goes on while a laptop is suspended.
        let begun = Instant::now();
        let until = self.now().checked_add_signed(TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX));
        let until = until.unwrap_or(DateTime::<Utc>::MAX_UTC);
        loop {
            let left = span.saturating_sub(begun.elapsed());
            if left.is_zero() || self.now() >= until {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_NAP)).await;
        }
    }
}
