//! The spans that have ended and wait to be sent, and how many of them there may be.
//!
//! Does not send them.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

/// Spans in one document.
const AT_ONCE: usize = 512;
/// Spans that wait to be sent, at most: what comes beyond is dropped and counted.
const MOST_WAITING: usize = 16 * AT_ONCE;

/// Spans that have ended and were not sent yet.
#[derive(Default)]
pub(super) struct Waiting {
    spans: Mutex<(Vec<Value>, u64)>,
    enough: Notify,
}

impl Waiting {
    /// Adds a span, or counts it as dropped when there are too many.
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

    /// Some of them, and how many were dropped since it was last asked.
    pub(super) fn take(&self) -> (Vec<Value>, u64) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let some = spans.0.len().min(AT_ONCE);
        (spans.0.drain(..some).collect(), std::mem::take(&mut spans.1))
    }

    /// Puts spans that could not be sent before all others.
    pub(super) fn put_back(&self, spans: Vec<Value>) {
        let mut waiting = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.0.splice(0..0, spans);
    }

    /// Waits until there are as many as one document takes.
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
