//! Pauses: one message is kept in hand and tried again, or none is, until the way is free. Each pause has an end, and ends early when there
//! is reason to try again.
//!
//! Does not decide that there is a pause: the class of a failure does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use lake::failure::Failure;
use lake::waiting::{self, Waiting};
use seams::backoff;
use seams::queue::Delivery;
use seams::spans::InHand;
use tokio_util::sync::CancellationToken;

use super::in_hand::Consumer;
use super::settling::FIRST_DELAY;
use crate::drivers::gate::Gate;

/// How often a suspended stage checks whether it may go on.
pub(super) const LOOK_FOR_LIFT: Duration = Duration::from_secs(3);
/// A wait that is over sooner is not noted in the lake.
const NOTED_AFTER: Duration = Duration::from_secs(3);
/// Longest time between two looks at a lake that is not as expected.
const LONGEST_ASIDE: Duration = Duration::from_secs(60);

impl Consumer {
    /// Takes nothing for a while, or until another version serves: the lake is not as this host expects it, but may be as other hosts do.
    /// So no message stays in hand.
    pub(super) async fn stand_aside(&self, reason: String, version: u64, gate: &Gate, stop: &CancellationToken) {
        let pause = backoff::delay(FIRST_DELAY, gate.astray(), LONGEST_ASIDE, &[self.stage.as_bytes()]);
        tracing::error!(reason, ?pause, "the lake is not as it has to be, looking again after a pause");
        self.progress.set_waiting_for(Some(reason));
        tokio::select! {
            () = self.rest(pause, stop) => {}
            () = self.work.renewed(version) => {}
        }
        if stop.is_cancelled() {
            // The reason for the wait stays known: a function delays its messages by it.
            return;
        }
        self.progress.set_waiting_for(None);
        gate.resume();
    }

    /// Keeps one delivery in hand through a pause and tries it again at its end, until it meets no pause: then all go on. However long
    /// that takes, the message is received once.
    pub(super) async fn probe(
        &self,
        delivery: &Delivery,
        span: &InHand,
        (mut pause, mut reason): (Duration, String),
        gate: &Gate,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let hand = std::slice::from_ref(delivery);
        let mut first = true;
        let noted = AtomicBool::new(false);
        loop {
            // However long a pause a service or a plugin asks for, it is tried again after a while.
            let bounded = backoff::bounded(pause);
            let until = self.clock.now() + TimeDelta::from_std(bounded).unwrap_or_default();
            if bounded < pause {
                reason =
                    format!("{reason} (asked for {} s, tried again after {} s)", pause.as_secs(), bounded.as_secs());
            }
            if std::mem::take(&mut first) {
                tracing::warn!(reason, pause = ?bounded, %until, "paused");
            } else {
                tracing::debug!(reason, pause = ?bounded, %until, "still paused");
            }
            self.progress.set_waiting_for(Some(reason.clone()));
            self.holding(&self.queue.live, hand, self.wait_out(bounded, &reason, &noted, stop)).await;
            if stop.is_cancelled() {
                self.settled(self.queue.live.release(&delivery.receipt, Duration::ZERO).await, delivery);
                if noted.into_inner() {
                    self.end_note().await;
                }
                return Ok(());
            }
            let version = self.work.version();
            match self.take(hand, span, stop).await.pop() {
                Some(Err(Failure::Pause { pause: again, reason: why })) => (pause, reason) = (again, why),
                result => {
                    self.progress.set_waiting_for(None);
                    if noted.into_inner() {
                        self.end_note().await;
                    }
                    let settled = self.settle(delivery, version, result.unwrap_or(Ok(())), gate).await;
                    gate.resume();
                    return settled;
                }
            }
        }
    }

    /// Waits for `pause`, or until the stop, until another version serves or until an operator says that the stage goes on.
    async fn wait_out(&self, pause: Duration, reason: &str, noted: &AtomicBool, stop: &CancellationToken) {
        let version = self.work.version();
        let waited = async {
            let mut left = pause;
            // Counts steps and does not compare with the clock, which may be set meanwhile.
            let short = left.min(NOTED_AFTER);
            self.clock.sleep(short).await;
            left -= short;
            if left.is_zero() {
                return;
            }
            let is_noted = self.note_wait(reason, left).await;
            noted.fetch_or(is_noted, Ordering::Relaxed);
            if !is_noted {
                return self.clock.sleep(left).await;
            }
            while !left.is_zero() {
                let step = left.min(LOOK_FOR_LIFT);
                self.clock.sleep(step).await;
                left -= step;
                if self.is_told_to_go_on().await {
                    tracing::info!(reason, "told to go on, tried again");
                    return;
                }
            }
        };
        tokio::select! {
            () = waited => {}
            () = stop.cancelled() => {}
            () = self.work.renewed(version) => tracing::info!(reason, "another version serves, tried again"),
        }
    }

    /// Notes in the lake that the stage waits. Returns whether it is noted. If it cannot be written, the stage waits all the same.
    async fn note_wait(&self, reason: &str, span: Duration) -> bool {
        let Some(lake) = self.work.notes_waits_in() else { return false };
        let since = self.clock.now();
        let until = since + TimeDelta::from_std(span).unwrap_or_default();
        let wait = Waiting { stage: self.stage.to_owned(), reason: reason.to_owned(), since, until };
        let noted = waiting::note(&lake, &wait).await;
        if let Err(error) = &noted {
            tracing::debug!(stage = self.stage, %error, "cannot note in the lake what is waited for");
        }
        noted.is_ok()
    }

    /// Whether the note is gone: an operator has said that the stage goes on.
    async fn is_told_to_go_on(&self) -> bool {
        match self.work.notes_waits_in() {
            Some(lake) => matches!(waiting::is_noted(&lake, self.stage).await, Ok(false)),
            None => false,
        }
    }

    /// Removes the note: the wait is over.
    async fn end_note(&self) {
        let Some(lake) = self.work.notes_waits_in() else { return };
        if let Err(error) = waiting::end(&lake, self.stage).await {
            tracing::debug!(stage = self.stage, %error, "cannot take away what is noted of the wait");
        }
    }
}
