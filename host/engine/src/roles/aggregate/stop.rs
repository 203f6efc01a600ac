//! Why a table is not made.
//!
//! Does not say what follows: `GoldTable` does.

use lake::TableError;
use lake::failure::Failure;
use seams::plugin::Fault;

/// Why a table is not made.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    /// Its plugin broke.
    Fault(Fault),
    /// Something else.
    Failure(Failure),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failure(failure)
    }
}

impl From<TableError> for Stop {
    fn from(error: TableError) -> Self {
        Stop::Failure(error.into())
    }
}
