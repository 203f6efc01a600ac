//! Golden cases: a plugin's input with the expected output, run in the real sandbox under the real limits.
//!
//! Does not decide what follows from a difference: `commands::plugin::test` does.

pub(crate) mod aggregator;
pub(crate) mod case;
pub(crate) mod cleaner;
pub(crate) mod difference;
pub(crate) mod enricher;
pub(crate) mod exact;
