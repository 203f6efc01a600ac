//! Time as it is: these tests wait for services.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use seams::clock::Clock;

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct RealClock;

#[async_trait]
impl Clock for RealClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep_until(&self, instant: DateTime<Utc>) {
        let left = (instant - self.now()).to_std().unwrap_or_default();
        tokio::time::sleep(left.saturating_add(Duration::from_millis(1))).await;
    }
}
