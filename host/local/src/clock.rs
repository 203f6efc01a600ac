//! The machine's clock.
//!
//! Does not make time monotonic: the engine's contract allows jumps, and this clock follows them.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use engine::seams::clock::Clock;

/// The longest single sleep. The timer below does not count the time that a laptop was suspended and knows nothing of a wall clock
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
}
