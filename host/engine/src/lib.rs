//! The engine of Sluicebox: from `pipeline.toml` to a plan, and from a plan through four roles to Gold.
//!
//! Knows no WebAssembly runtime, no cloud, no file system, no environment and no wall clock: all of them enter through [`seams`].

pub mod census;
pub mod codes;
pub mod contract;
pub mod difference;
pub mod drivers;
pub mod progress;
pub mod redaction;
pub mod rehearsal;
pub mod replay;
pub mod roles;
pub mod stale;
mod stopping;
