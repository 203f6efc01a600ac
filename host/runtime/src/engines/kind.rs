//! The differences between engines: how much stack their guests have, whether fuel is counted, and, in a benchmark, whether anything is guarded.
//!
//! Does not make one: `engines` does.

use pipeline::plan::Limits;
use seams::plugin::LoadError;
use serde::{Deserialize, Serialize};

use crate::fault::{bytes, refused};

/// The largest stack that a guest may be given; the guest threads have room for it.
pub(crate) const MAX_STACK: usize = Limits::MAX_STACK as usize;

/// The settings of an engine for all its guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Kind {
    /// Bytes of stack.
    pub(super) stack: usize,
    /// Whether fuel is counted: compiled into every block of code, so that only plugins that use it pay for it.
    pub(super) fuel: bool,
}

impl Kind {
    /// The kind that plugins under these limits need; `None` if the stack is zero or larger than any guest's may be.
    fn of(limits: &Limits) -> Option<Self> {
        let stack = usize::try_from(limits.stack).ok().filter(|stack| (1..=MAX_STACK).contains(stack))?;
        Some(Kind { stack, fuel: limits.fuel.is_some() })
    }
}

/// Whether guests have limits at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Guards {
    /// Always, in the program.
    #[default]
    On,
    /// For the benchmark that measures what they cost: no deadline, no caps, NaNs as the processor makes them.
    #[cfg(feature = "unguarded")]
    Off,
}

impl Guards {
    pub(crate) fn are_on(self) -> bool {
        self == Guards::On
    }
}

/// The kind of engine that these limits need.
pub(crate) fn kind_of(limits: &Limits) -> Result<Kind, LoadError> {
    Kind::of(limits).ok_or_else(|| {
        let message = format!("stack limit is {}, expected 1 byte to {}", bytes(limits.stack), bytes(MAX_STACK as u64));
        refused("P012", message, "set `stack` under `[limits]` in `pipeline.toml`")
    })
}
