//! Time that stands still until a test moves it.
//!
//! Does not touch tokio's own timers: code under test that sleeps other than through the engine's clock sleeps for real.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use seams::clock::Clock;
use tokio::sync::oneshot;

/// How often a step yields, so that tasks which were woken can run and go to sleep again before the next step.
const YIELDS: usize = 32;

/// [`Clock`] that a test moves.
#[derive(Debug)]
pub struct SimClock(Mutex<State>);

#[derive(Debug)]
struct State {
    now: DateTime<Utc>,
    /// By instant, then by order of arrival.
    sleepers: BTreeMap<(DateTime<Utc>, u64), oneshot::Sender<()>>,
    /// Sleeps so far; shows whether anything happened.
    arrivals: u64,
}

impl SimClock {
    /// A clock that shows `instant`, RFC 3339.
    ///
    /// # Panics
    /// If `instant` is not an RFC 3339 instant.
    #[must_use]
    pub fn at(instant: &str) -> Arc<Self> {
        let now = instant.parse().unwrap_or_else(|error| panic!("`{instant}` is no instant: {error}"));
        Arc::new(SimClock(Mutex::new(State { now, sleepers: BTreeMap::new(), arrivals: 0 })))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `span` pass. Sleepers wake in the order of their instants, each at its own, and may sleep again within the span.
    pub async fn advance(&self, span: Duration) {
        let until = self.state().now + TimeDelta::from_std(span).expect("a span that chrono can hold");
        settle().await;
        while self.wake_next(until) {
            settle().await;
        }
        self.jump(until);
        settle().await;
    }

    /// Sets the clock, forwards or backwards, and wakes the sleepers that are due, as a corrected system clock does.
    pub fn jump(&self, instant: DateTime<Utc>) {
        let mut state = self.state();
        state.now = instant;
        let later = state.sleepers.split_off(&(instant + TimeDelta::nanoseconds(1), 0));
        for (_, sleeper) in std::mem::replace(&mut state.sleepers, later) {
            let _ = sleeper.send(());
        }
    }

    /// How many tasks sleep now.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        let mut state = self.state();
        state.sleepers.retain(|_, sleeper| !sleeper.is_closed());
        state.sleepers.len()
    }

    /// Until the guard is dropped, time leaps to the next sleeper whenever for `quiet` of real time no task went to
    /// sleep or woke. Work on other threads must be faster than `quiet`, or time passes under it.
    #[must_use]
    pub fn run_freely(self: &Arc<Self>, quiet: Duration) -> FreeRun {
        let clock = Arc::clone(self);
        FreeRun(tokio::spawn(async move {
            let mut seen = None;
            loop {
                tokio::time::sleep(quiet).await;
                let sleepers = clock.sleepers();
                let now = (clock.state().arrivals, sleepers);
                if seen == Some(now) && clock.wake_next(DateTime::<Utc>::MAX_UTC) {
                    seen = None;
                } else {
                    seen = Some(now);
                }
            }
        }))
    }

    /// Moves to the next sleeper's instant, unless that is after `until`, and wakes that sleeper alone.
    fn wake_next(&self, until: DateTime<Utc>) -> bool {
        let mut state = self.state();
        state.sleepers.retain(|_, sleeper| !sleeper.is_closed());
        let Some(entry) = state.sleepers.first_entry().filter(|entry| entry.key().0 <= until) else { return false };
        let ((instant, _), sleeper) = entry.remove_entry();
        state.now = state.now.max(instant);
        let _ = sleeper.send(());
        true
    }
}

impl Default for SimClock {
    /// Shows 2026-01-01T03:00:00Z.
    fn default() -> Self {
        let now = "2026-01-01T03:00:00Z".parse().expect("an instant");
        SimClock(Mutex::new(State { now, sleepers: BTreeMap::new(), arrivals: 0 }))
    }
}

/// Time runs freely while this lives.
#[derive(Debug)]
pub struct FreeRun(tokio::task::JoinHandle<()>);

impl Drop for FreeRun {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn settle() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
    // Tasks on other threads do not run while this one yields: leave them a moment of real time.
    if tokio::runtime::Handle::current().runtime_flavor() != tokio::runtime::RuntimeFlavor::CurrentThread {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> DateTime<Utc> {
        self.state().now
    }

    async fn sleep_until(&self, instant: DateTime<Utc>) {
        let woken = {
            let mut state = self.state();
            if instant <= state.now {
                return;
            }
            state.arrivals += 1;
            let key = (instant, state.arrivals);
            let (sleeper, woken) = oneshot::channel();
            state.sleepers.insert(key, sleeper);
            woken
        };
        // An error would mean that the clock is gone, and with it every instant to wait for.
        let _ = woken.await;
    }
}
