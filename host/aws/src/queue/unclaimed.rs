//! What a receive has taken while it goes on taking. If it is dropped in the middle, it gives the messages back, so that no consumer waits for
//! the end of their visibility.
//!
//! Does not receive.

use seams::clock::Clock;
use seams::queue::Delivery;

use super::batches::{Batches, Settle};
use super::leases::Leases;

/// Deliveries that no caller has received yet.
pub(super) struct Unclaimed<'q> {
    clock: &'q dyn Clock,
    leases: &'q Leases,
    changes: &'q Batches,
    deliveries: Vec<Delivery>,
}

impl<'q> Unclaimed<'q> {
    /// These deliveries, of the queue with these leases; `changes` makes them visible again.
    pub(super) fn of(
        clock: &'q dyn Clock,
        leases: &'q Leases,
        changes: &'q Batches,
        deliveries: Vec<Delivery>,
    ) -> Self {
        Unclaimed { clock, leases, changes, deliveries }
    }

    /// Adds more.
    pub(super) fn add(&mut self, more: Vec<Delivery>) {
        self.deliveries.extend(more);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.deliveries.len()
    }

    /// Hands them over.
    pub(super) fn claim(mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }
}

impl Drop for Unclaimed<'_> {
    fn drop(&mut self) {
        let now = self.clock.now();
        for delivery in self.deliveries.drain(..) {
            // A message whose time is over is SQS's again already.
            if self.leases.take(&delivery.receipt, now).is_ok() {
                self.changes.settle_unheard(&delivery.receipt, Settle::Invisible(0));
            }
        }
    }
}
