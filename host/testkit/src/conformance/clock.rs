//! The clauses of the clock's contract.
//!
//! Does not check accuracy: a clock may be late, only never early.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::FutureExt;
use seams::clock::Clock;

use super::PassTime;

/// A clock under test.
pub struct ClockRig {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Lets time pass on it.
    pub pass: PassTime,
    /// Kept until the clause is over.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// Makes a test of every clause; the argument is an async closure that returns a [`ClockRig`].
#[macro_export]
macro_rules! clock_conformance {
    ($rig:expr) => {
        $crate::conformance_tests!(clock, $rig;
            an_instant_that_has_come_is_not_waited_for,
            nobody_wakes_before_the_instant,
            sleepers_wake_in_the_order_of_their_instants,
            an_endless_sleep_does_not_return,
        );
    };
}

/// An instant in the past, or now, returns at once.
pub async fn an_instant_that_has_come_is_not_waited_for(rig: ClockRig) {
    let now = rig.clock.now();
    for instant in [now, now - TimeDelta::seconds(1), chrono::DateTime::<chrono::Utc>::MIN_UTC] {
        assert!(rig.clock.sleep_until(instant).now_or_never().is_some(), "{instant} has come at {now}");
    }
}

/// A sleeper that wakes reads at least the instant that it waited for.
pub async fn nobody_wakes_before_the_instant(rig: ClockRig) {
    let until = rig.clock.now() + TimeDelta::milliseconds(120);
    let clock = Arc::clone(&rig.clock);
    let sleeper = tokio::spawn(async move {
        clock.sleep_until(until).await;
        clock.now()
    });
    (rig.pass)(Duration::from_millis(40)).await;
    assert!(!sleeper.is_finished(), "woke 80 ms early");
    (rig.pass)(Duration::from_millis(120)).await;
    let woke = tokio::time::timeout(Duration::from_secs(10), sleeper).await.expect("it wakes in the end").unwrap();
    assert!(woke >= until, "woke at {woke}, before {until}");
}

/// Of several sleepers the one with the earlier instant wakes first, even if it began to sleep later.
pub async fn sleepers_wake_in_the_order_of_their_instants(rig: ClockRig) {
    let start = rig.clock.now();
    let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
    for millis in [300, 100, 200] {
        let (clock, sender) = (Arc::clone(&rig.clock), sender.clone());
        tokio::spawn(async move {
            clock.sleep_until(start + TimeDelta::milliseconds(millis)).await;
            sender.send(millis).unwrap();
        });
    }
    // All of them are asleep before time passes.
    tokio::time::sleep(Duration::from_millis(20)).await;
    for _ in 0..4 {
        (rig.pass)(Duration::from_millis(100)).await;
    }
    let mut woken = Vec::new();
    for _ in 0..3 {
        woken.push(tokio::time::timeout(Duration::from_secs(10), order.recv()).await.expect("all wake").unwrap());
    }
    assert_eq!(woken, [100, 200, 300]);
}

/// A span that no calendar holds is a sleep without end, not an error or a sleep of nothing.
pub async fn an_endless_sleep_does_not_return(rig: ClockRig) {
    let clock = Arc::clone(&rig.clock);
    let sleeper = tokio::spawn(async move { clock.sleep(Duration::MAX).await });
    (rig.pass)(Duration::from_millis(50)).await;
    assert!(!sleeper.is_finished());
    sleeper.abort();
}
