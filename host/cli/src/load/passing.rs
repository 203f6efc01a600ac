//! Whether an error may pass soon.
//!
//! Does not retry anything.

use lake::{LakeError, TableError};
use seams::store::StoreError;

/// Whether an error is a store's that may pass soon.
pub(crate) fn passes(error: &anyhow::Error) -> bool {
    let of_store = |error: &StoreError| matches!(error, StoreError::Generic { .. });
    let of_lake = |error: &LakeError| match error {
        LakeError::Store(error) => of_store(error),
        LakeError::Table(error) => error.is_transient(),
        LakeError::Corrupt { .. } | LakeError::TakenBack { .. } => false,
    };
    error.chain().any(|cause| {
        cause.downcast_ref().is_some_and(of_store)
            || cause.downcast_ref().is_some_and(of_lake)
            || cause.downcast_ref().is_some_and(TableError::is_transient)
    })
}
