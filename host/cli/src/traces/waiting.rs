//! The spans that have ended and wait to be sent, up to a maximum.
//!
//! Does not send them.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

/// Spans in one document.
const AT_ONCE: usize = 512;
/// The most spans that wait to be sent: further spans are dropped and counted.
const MOST_WAITING: usize = 16 * AT_ONCE;

/// Spans that have ended and are not sent yet.
#[derive(Default)]
pub(super) struct Waiting {
    spans: Mutex<(Vec<Value>, u64)>,
    enough: Notify,
}

impl Waiting {
    /// Adds a span; if there are too many, it is dropped and counted.
    pub(super) fn push(&self, span: Value) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.0.len() < MOST_WAITING {
            spans.0.push(span);
        } else {
            spans.1 += 1;
        }
        if spans.0.len() == AT_ONCE {
            self.enough.notify_one();
        }
    }

    /// The next spans, and how many were dropped since the last call.
    pub(super) fn take(&self) -> (Vec<Value>, u64) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let some = spans.0.len().min(AT_ONCE);
        (spans.0.drain(..some).collect(), std::mem::take(&mut spans.1))
    }

    /// Puts spans that could not be sent back at the front.
    pub(super) fn put_back(&self, spans: Vec<Value>) {
        let mut waiting = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.0.splice(0..0, spans);
    }

    /// Waits until there are enough for one document.
    pub(super) async fn enough(&self) {
        self.enough.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_beyond_the_most_are_dropped_and_counted_and_those_put_back_come_first() {
        let waiting = Waiting::default();
        (0..MOST_WAITING + 3).for_each(|number| waiting.push(number.into()));
        let (some, dropped) = waiting.take();
        assert_eq!((some.len(), dropped), (AT_ONCE, 3));
        waiting.put_back(some);
        assert_eq!(waiting.take().0[0], 0);
    }
}
