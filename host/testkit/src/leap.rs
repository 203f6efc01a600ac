//! Time that leaps: when every task of a runtime waits, it is at once the instant for which the first of them waits.
//!
//! Does not measure anything, and needs tokio's paused time (`start_paused`, a runtime of one thread): a sleep that does not go through
//! this clock leaps with it. Work on the runtime's blocking threads holds time still.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use seams::clock::Clock;
use tokio::sync::watch;
use tokio::time::Instant;

/// [`Clock`] on tokio's paused time, which can be set as a wall clock can.
#[derive(Debug)]
pub struct LeapClock {
    start: Instant,
    /// What the clock shows at `start`; changed by a jump.
    shown: watch::Sender<DateTime<Utc>>,
}

impl LeapClock {
    /// A clock that shows `instant`, RFC 3339, now.
    ///
    /// # Panics
    /// If `instant` is not an RFC 3339 instant, or outside of a tokio runtime.
    #[must_use]
    pub fn at(instant: &str) -> Arc<Self> {
        let instant = instant.parse().unwrap_or_else(|error| panic!("`{instant}` is no instant: {error}"));
        Arc::new(LeapClock { start: Instant::now(), shown: watch::Sender::new(instant) })
    }

    /// Sets the clock forwards or backwards, also for tasks that wait for an instant of it.
    pub fn jump(&self, by: TimeDelta) {
        self.shown.send_modify(|shown| *shown += by);
    }

    /// How long the clock has run, jumps not counted.
    fn passed(&self) -> TimeDelta {
        TimeDelta::from_std(self.start.elapsed()).unwrap_or(TimeDelta::MAX)
    }
}

#[async_trait]
impl Clock for LeapClock {
    fn now(&self) -> DateTime<Utc> {
        *self.shown.borrow() + self.passed()
    }

    async fn sleep_until(&self, instant: DateTime<Utc>) {
        let mut jumps = self.shown.subscribe();
        while let Ok(left) = (instant - self.now()).to_std() {
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = jumps.changed() => {}
            }
        }
    }

    async fn sleep(&self, span: Duration) {
        let until = self.now().checked_add_signed(TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX));
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            () = self.sleep_until(until.unwrap_or(DateTime::<Utc>::MAX_UTC)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn hours_pass_at_once_and_in_order() {
        let clock = LeapClock::at("2026-01-01T03:00:00Z");
        let (early, late) = (clock.clone(), clock.clone());
        let late = tokio::spawn(async move {
            late.sleep(Duration::from_secs(7200)).await;
            late.now()
        });
        let early = tokio::spawn(async move {
            early.sleep(Duration::from_secs(3600)).await;
            early.now()
        });
        assert_eq!(early.await.unwrap().to_rfc3339(), "2026-01-01T04:00:00+00:00");
        assert_eq!(late.await.unwrap().to_rfc3339(), "2026-01-01T05:00:00+00:00");
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_forwards_wakes_and_one_backwards_makes_wait() {
        let clock = LeapClock::at("2026-01-01T03:00:00Z");
        let sleeper = |hours| {
            let clock = clock.clone();
            tokio::spawn(async move {
                let before = Instant::now();
                clock.sleep_until("2026-01-01T05:00:00Z".parse().unwrap()).await;
                (hours, before.elapsed().as_secs())
            })
        };
        let woken = sleeper(0);
        tokio::task::yield_now().await;
        clock.jump(TimeDelta::hours(2));
        assert_eq!(woken.await.unwrap(), (0, 0));
        clock.jump(-TimeDelta::hours(3));
        assert_eq!(sleeper(3).await.unwrap(), (3, 3 * 3600));
        // A jump does not change a span.
        let begun = Instant::now();
        let rests = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        clock.jump(-TimeDelta::hours(1));
        rests.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 60);
    }
}
