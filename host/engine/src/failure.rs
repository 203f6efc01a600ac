//! What a failure means for the work in hand. Every error of a role ends in one of these classes, and the class alone decides what the
//! queue does.
//!
//! Does not hold refusals of single records: those are results, and go to quarantine.

use std::time::Duration;

use thiserror::Error;

use crate::lake::{LakeError, TableError};
use crate::seams::plugin::Fault;
use crate::seams::queue::QueueError;
use crate::seams::secrets::SecretError;
use crate::seams::store::StoreError;

/// Why a unit of work is not done.
#[derive(Debug, Error)]
pub enum Failure {
    /// It may succeed later: give it back with a growing delay, and after `max_receives` put its records into quarantine.
    #[error("{0}")]
    Transient(String),
    /// The way is blocked for everybody (quota, throttling, a missing secret): give it back and rest for a while.
    #[error("{reason}")]
    Pause {
        /// How long to rest.
        pause: Duration,
        /// Why.
        reason: String,
    },
    /// The host cannot go on without a person: stop, acknowledge nothing.
    #[error("{0}")]
    Fatal(String),
}

/// How long a consumer rests for a secret that cannot be had.
const SECRET_PAUSE: Duration = Duration::from_secs(30);

/// How long a consumer rests whose plugin is older than the one that makes the lake.
const OUTDATED_PAUSE: Duration = Duration::from_secs(60);

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        Failure::Pause { pause: SECRET_PAUSE, reason: error.to_string() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Transient(format!("store failed: {error}"))
    }
}

impl From<LakeError> for Failure {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Store(error) => error.into(),
            LakeError::Table(error) => error.into(),
            LakeError::Corrupt { .. } => Failure::Fatal(error.to_string()),
        }
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        if let TableError::Outdated { .. } = error {
            return Failure::Pause { pause: OUTDATED_PAUSE, reason: error.to_string() };
        }
        if error.is_transient() { Failure::Transient(error.to_string()) } else { Failure::Fatal(error.to_string()) }
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Expired | QueueError::Backend(_) => Failure::Transient(error.to_string()),
            QueueError::TooLarge { .. } => Failure::Fatal(error.to_string()),
        }
    }
}

impl From<Fault> for Failure {
    /// A fault that is not one record's: an aggregate's. It is tried again, for a deadline may have been the machine's fault.
    fn from(fault: Fault) -> Self {
        Failure::Transient(format!("plugin failed [{}]: {fault}", fault.code))
    }
}
