//! What a failure means for the work in hand. Every error of a role ends in one of these classes, and the class alone decides what the
//! queue does.
//!
//! Does not hold refusals of single records: those are results, and go to quarantine.

use std::io;
use std::time::Duration;

use seams::plugin::{Fault, FaultKind};
use seams::queue::QueueError;
use seams::secrets::SecretError;
use seams::store::{Gone, NotDurable, StoreError};
use thiserror::Error;

use crate::{LakeError, TableError};

/// Why a unit of work is not done, and so what the queue does with its message. `drivers::consumer` matches it exhaustively.
///
/// | class | what happens | costs a receive |
/// |---|---|---|
/// | (one record: refusal, trap, bad output) | no failure of the work: quarantined, the rest is committed, the message acknowledged | no |
/// | [`Plugin`](Failure::Plugin) | the stage is suspended, its messages stay queued | no: nothing is received while it lasts |
/// | [`Transient`](Failure::Transient) | given back with a growing delay; after `max_receives` given up | yes |
/// | [`Pause`](Failure::Pause) | one message is kept in hand as a probe, all others are given back at once, nothing is received | at most one a host |
/// | [`Bug`](Failure::Bug) | isolated, then as a transient one; given up with a reason that says so | yes |
/// | [`Lake`](Failure::Lake) | given back; a host that serves looks again with a growing delay, or at once when another version serves; `once` ends | yes |
/// | [`Fatal`](Failure::Fatal) | given back, and the host stops | one a start |
#[derive(Clone, Debug, Error)]
pub enum Failure {
    /// It may succeed later: a service in trouble, a time-out, a lost reply.
    #[error("{0}")]
    Transient(String),
    /// All work is blocked, not one message: quota, throttling, a missing secret.
    #[error("{reason}")]
    Pause {
        /// How long to rest.
        pause: Duration,
        /// Why.
        reason: String,
    },
    /// The plugin is at fault and no single record is: the stage must not go on with it.
    #[error("{0}")]
    Plugin(String),
    /// The host panicked over it.
    #[error("host bug: {0}")]
    Bug(String),
    /// The lake is not as this host expects it: it is damaged, or another process has changed it. A host that serves outlives that.
    #[error("{reason}")]
    Lake {
        /// What is there against what was expected, and what helps.
        reason: String,
        /// Whether all work of the stage meets it; if not, only that of one object does.
        whole: bool,
    },
    /// The host cannot go on without a person: stop, acknowledge nothing. Nothing that a plugin or data do leads here.
    #[error("{0}")]
    Fatal(String),
}

impl Failure {
    /// How grave the failure is: of several failed parts the gravest decides for the whole.
    #[must_use]
    pub fn gravity(&self) -> u8 {
        match self {
            Failure::Transient(_) => 0,
            Failure::Pause { .. } => 1,
            Failure::Bug(_) => 2,
            Failure::Plugin(_) => 3,
            Failure::Lake { .. } => 4,
            Failure::Fatal(_) => 5,
        }
    }

    /// Whether the same work may succeed later without any action.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Failure::Transient(_) | Failure::Pause { .. })
    }
}

/// How long a consumer rests for a secret that cannot be read.
const SECRET_PAUSE: Duration = Duration::from_secs(30);

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        Failure::Pause { pause: SECRET_PAUSE, reason: error.to_string() }
    }
}

/// How long a consumer rests when the machine below a store has no room, no files or no permission to write.
const MACHINE_PAUSE: Duration = Duration::from_secs(30);

/// What a store's error says of the machine below it, at any place among its causes.
fn of_machine(error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    let mut cause = Some(error);
    while let Some(now) = cause {
        if now.is::<NotDurable>() {
            return Some(Failure::Fatal(format!("store failed: {error}")));
        }
        if let Some(gone) = now.downcast_ref::<Gone>() {
            return Some(Failure::Lake { reason: gone.to_string(), whole: true });
        }
        if let Some(io) = now.downcast_ref::<io::Error>()
            && is_exhausted(io)
        {
            return Some(Failure::Pause { pause: MACHINE_PAUSE, reason: format!("store failed: {error}") });
        }
        cause = now.source();
    }
    None
}

/// Full, read-only, or out of open files: no message causes that, and a person or time must mend it.
fn is_exhausted(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    ) || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        of_machine(&error).unwrap_or_else(|| Failure::Transient(format!("store failed: {error}")))
    }
}

impl From<LakeError> for Failure {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Store(error) => error.into(),
            LakeError::Table(error) => error.into(),
            LakeError::Corrupt { .. } => Failure::Lake { reason: error.to_string(), whole: false },
            LakeError::TakenBack { .. } => Failure::Lake { reason: error.to_string(), whole: true },
        }
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        if let Some(failure) = of_machine(&error) {
            return failure;
        }
        if error.is_transient() {
            return Failure::Transient(error.to_string());
        }
        match error {
            // A bug of ours: the work is given up in the end, and the pipeline goes on with all other work.
            TableError::Input { .. } => Failure::Bug(error.to_string()),
            _ => Failure::Lake { reason: error.to_string(), whole: true },
        }
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Expired | QueueError::Backend(_) => Failure::Transient(error.to_string()),
            // The sender should have put it into the store; one message is no reason to stop all other work.
            QueueError::TooLarge { .. } => Failure::Bug(error.to_string()),
        }
    }
}

impl From<Fault> for Failure {
    /// The failure of an aggregate, which belongs to no single record. A missed deadline may be the machine's fault, so it is tried again.
    fn from(fault: Fault) -> Self {
        let told = format!("plugin failed [{}]: {fault}", fault.code);
        match fault.kind {
            FaultKind::Deadline => Failure::Transient(told),
            FaultKind::Host => Failure::Bug(told),
            FaultKind::Trap | FaultKind::Memory | FaultKind::Stack | FaultKind::BadOutput | FaultKind::Configure => {
                Failure::Plugin(told)
            }
        }
    }
}
