//! What a receive has taken while it goes on taking: if it is dropped in the middle, it is given back, and nobody has to wait for the end of its
//! visibility.
//!
//! Does not receive.

use seams::queue::Delivery;

use super::SqsQueue;
use super::batches::Settle;

/// Deliveries that nobody has been handed yet.
pub(super) struct Unclaimed<'q> {
    queue: &'q SqsQueue,
    deliveries: Vec<Delivery>,
}

impl<'q> Unclaimed<'q> {
    /// These.
    pub(super) fn of(queue: &'q SqsQueue, deliveries: Vec<Delivery>) -> Self {
        Unclaimed { queue, deliveries }
    }

    /// Adds more.
    pub(super) fn add(&mut self, more: Vec<Delivery>) {
        self.deliveries.extend(more);
    }

    /// How many they are.
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
        let now = self.queue.clock.now();
        for delivery in self.deliveries.drain(..) {
            // One whose time is over is SQS's again already.
            if self.queue.leases.take(&delivery.receipt, now).is_ok() {
                self.queue.changes.settle_unheard(&delivery.receipt, Settle::Invisible(0));
            }
        }
    }
}
