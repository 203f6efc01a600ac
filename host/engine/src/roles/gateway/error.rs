//! Why a request has no answer.
//!
//! Does not decide what becomes of the record: `roles::enrich` does, and of the work: the class of the failure does.

use lake::failure::Failure;
use thiserror::Error;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The plugin asked for something that it may not have, or the answer is one that no retry will mend: the record's fault.
    #[error("{reason}")]
    Refused {
        /// Stable code.
        code: &'static str,
        /// What was asked for, and what is allowed.
        reason: String,
    },
    /// Not the record's fault.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// The fault of a record.
pub(super) fn refused(code: &'static str, reason: String) -> GatewayError {
    GatewayError::Refused { code, reason }
}
