//! What has been handed out and for how long, as this process knows it.
//!
//! Does not know what other processes hold.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use seams::queue::{QueueError, Receipt};

use super::call::LONGEST;

/// One delivery in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    received: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Lease {
    /// `wanted`, or what is left of the twelve hours that a delivery can take.
    pub(super) fn room(&self, now: DateTime<Utc>, wanted: Duration) -> Duration {
        let left = (self.received + LONGEST - now).to_std().unwrap_or_default();
        // Rounded down: a second too many is refused.
        wanted.min(Duration::from_secs(left.as_secs()))
    }
}

/// Whole seconds, rounded up: nothing comes back before its time.
pub(crate) fn seconds(span: Duration) -> i32 {
    let whole = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
    i32::try_from(whole).unwrap_or(i32::MAX)
}

/// The deliveries in hand, and when those come back that were released with a delay.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<String, Lease>>,
    delayed: Mutex<Vec<DateTime<Utc>>>,
}

impl Leases {
    /// A delivery that has just come.
    pub(super) fn grant(&self, receipt: &str, now: DateTime<Utc>, visibility: Duration) {
        let lease = Lease { received: now, until: later(now, visibility) };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, lease| lease.until > now);
        held.insert(receipt.to_owned(), lease);
    }

    /// The delivery, as long as its time is not over.
    pub(super) fn held(&self, receipt: &Receipt, now: DateTime<Utc>) -> Result<Lease, QueueError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&receipt.0).filter(|lease| lease.until > now).copied().ok_or(QueueError::Expired)
    }

    /// The delivery, as long as its time is not over. It is then no longer in hand.
    pub(super) fn take(&self, receipt: &Receipt, now: DateTime<Utc>) -> Result<Lease, QueueError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&receipt.0).filter(|lease| lease.until > now).ok_or(QueueError::Expired)
    }

    /// A delivery that could not be settled.
    pub(super) fn give_back(&self, receipt: &Receipt, lease: Lease) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(receipt.0.clone(), lease);
    }

    /// The delivery's time now ends `by` from `now`, unless it was settled meanwhile.
    pub(super) fn extend(&self, receipt: &Receipt, now: DateTime<Utc>, by: Duration) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = held.get_mut(&receipt.0) {
            lease.until = later(now, by);
        }
    }

    /// A message that comes back `after` `now`.
    pub(super) fn delayed_until(&self, now: DateTime<Utc>, after: Duration) {
        let mut delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        delayed.retain(|ready| *ready > now);
        if !after.is_zero() {
            delayed.push(later(now, after));
        }
    }

    /// How many messages are still to come back.
    pub(super) fn delayed(&self, now: DateTime<Utc>) -> u64 {
        let delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        delayed.iter().filter(|ready| **ready > now).count() as u64
    }
}

fn later(now: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    now + TimeDelta::from_std(span).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn a_lease_ends_and_is_settled_once() {
        let (leases, receipt) = (Leases::default(), Receipt("r".into()));
        leases.grant("r", at(0), Duration::from_secs(10));
        leases.extend(&receipt, at(5), Duration::from_secs(10));
        assert!(leases.held(&receipt, at(14)).is_ok());
        assert!(matches!(leases.held(&receipt, at(15)), Err(QueueError::Expired)));
        let lease = leases.take(&receipt, at(14)).unwrap();
        assert!(matches!(leases.take(&receipt, at(14)), Err(QueueError::Expired)));
        leases.give_back(&receipt, lease);
        assert!(leases.take(&receipt, at(14)).is_ok());
    }

    #[test]
    fn a_delivery_cannot_be_held_for_more_than_twelve_hours() {
        let leases = Leases::default();
        leases.grant("r", at(0), Duration::from_secs(100_000));
        let lease = leases.held(&Receipt("r".into()), at(1)).unwrap();
        let room = |second, wanted| lease.room(at(second), Duration::from_secs(wanted)).as_secs();
        assert_eq!((room(1, 60), room(43_190, 60), room(50_000, 60)), (60, 10, 0));
    }

    #[test]
    fn seconds_are_rounded_up() {
        let spans = [0, 1, 1000, 1001].map(|millis| seconds(Duration::from_millis(millis)));
        assert_eq!(spans, [0, 1, 1, 2]);
        assert_eq!(seconds(Duration::MAX), i32::MAX);
    }

    #[test]
    fn what_was_released_counts_until_it_comes_back() {
        let leases = Leases::default();
        leases.delayed_until(at(0), Duration::ZERO);
        leases.delayed_until(at(0), Duration::from_secs(10));
        assert_eq!((leases.delayed(at(9)), leases.delayed(at(10))), (1, 0));
    }
}
