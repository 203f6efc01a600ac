//! The gate before a queue: whether a consumer's workers may receive, and which of them holds the probe of a pause.
//!
//! Does not settle deliveries, and does not know why it is closed.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{RwLock, RwLockReadGuard, watch};
use tokio_util::sync::CancellationToken;

/// What the workers of one consumer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Receive.
    Open,
    /// Nothing, until the worker that closed the gate has got its probe through.
    Paused,
    /// Nothing, until another plugin serves.
    Suspended,
}

/// Shared by a consumer's workers.
#[derive(Debug)]
pub(super) struct Gate {
    state: watch::Sender<State>,
    /// Held for reading by each worker that receives, so that a worker that gives a message back can wait until none does.
    receiving: RwLock<()>,
    /// How often in a row the lake was not as expected.
    astray: AtomicU32,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { state: watch::Sender::new(State::Open), receiving: RwLock::new(()), astray: AtomicU32::new(0) }
    }
}

impl Gate {
    /// Waits until messages may be received. Workers that give messages back wait for as long as the pass lives. `None` on a stop.
    pub(super) async fn pass(&self, stop: &CancellationToken) -> Option<RwLockReadGuard<'_, ()>> {
        loop {
            let mut state = self.state.subscribe();
            tokio::select! {
                // After a stop nothing more is received, even if the gate is open.
                biased;
                () = stop.cancelled() => return None,
                // The sender lives as long as the gate, so this ends only when the gate is open.
                _ = state.wait_for(|state| *state == State::Open) => {}
            }
            let pass = self.receiving.read().await;
            if self.is_open() {
                return Some(pass);
            }
        }
    }

    /// Whether messages may be received.
    pub(super) fn is_open(&self) -> bool {
        *self.state.borrow() == State::Open
    }

    /// Whether nothing will be received any more.
    pub(super) fn is_suspended(&self) -> bool {
        *self.state.borrow() == State::Suspended
    }

    /// Returns when nothing will be received any more until another plugin serves or the suspension is lifted.
    pub(super) async fn suspended(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as the gate.
        let _ = state.wait_for(|state| *state == State::Suspended).await;
    }

    /// Closes the gate for a pause. Returns whether it was open: then the caller holds the probe.
    pub(super) fn pause(&self) -> bool {
        self.change(State::Open, State::Paused)
    }

    /// Opens the gate after a pause. A gate that was suspended meanwhile stays suspended.
    pub(super) fn resume(&self) {
        self.change(State::Paused, State::Open);
    }

    /// Counts a look at a lake that is not as expected, and returns how many there were in a row before.
    pub(super) fn astray(&self) -> u32 {
        self.astray.fetch_add(1, Ordering::Relaxed)
    }

    /// The lake is as expected. Returns whether it was not so before.
    pub(super) fn is_well(&self) -> bool {
        self.astray.swap(0, Ordering::Relaxed) > 0
    }

    /// Closes the gate until another plugin serves. Returns whether it was not suspended before.
    pub(super) fn suspend(&self) -> bool {
        self.state.send_replace(State::Suspended) != State::Suspended
    }

    /// Opens a suspended gate, because another plugin serves. Returns whether it was suspended.
    pub(super) fn renew(&self) -> bool {
        self.change(State::Suspended, State::Open)
    }

    /// Waits until no worker receives: what is given back then is not received again while the gate is closed.
    pub(super) async fn quiet(&self) {
        drop(self.receiving.write().await);
    }

    fn change(&self, from: State, to: State) -> bool {
        self.state.send_if_modified(|state| {
            let changes = *state == from;
            if changes {
                *state = to;
            }
            changes
        })
    }
}
