//! One endpoint as all its senders share it: its pace, its health, and which of them may ask while it is not known to be up.
//!
//! Does not send, and does not judge whether the service is down: `health` does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pipeline::plan::Endpoint;
use tokio::sync::{Notify, Semaphore};

use super::health::Health;
use super::timing::Pace;

/// One endpoint, shared by all its senders.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) endpoint: Endpoint,
    pub(super) pace: Mutex<Pace>,
    health: Mutex<Health>,
    /// Held by the sender that asks whether the service is up again.
    pub(super) probing: tokio::sync::Mutex<()>,
    /// Wakes the senders that wait for another try when the service is found to be down.
    pub(super) went_down: Notify,
    /// How many may ask at once while nothing is known to succeed.
    pub(super) unproven: Semaphore,
}

/// Requests under way at once to a service that has not answered yet, or failed the last time: if it is down, more would only cost more.
const UNPROVEN: usize = 4;

impl Gate {
    pub(super) fn of(name: &str, endpoint: &Endpoint) -> Self {
        Gate {
            endpoint: endpoint.clone(),
            pace: Mutex::new(Pace::new(endpoint.rate)),
            health: Mutex::new(Health::of(name)),
            probing: tokio::sync::Mutex::default(),
            went_down: Notify::new(),
            unproven: Semaphore::new(UNPROVEN),
        }
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
