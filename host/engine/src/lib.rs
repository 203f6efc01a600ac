//! The engine of Sluicebox: from `pipeline.toml` to a plan, and from a plan through four roles to Gold.
//!
//! Knows no WebAssembly runtime, no cloud, no file system, no environment and no wall clock: all of them enter through [`seams`].

pub mod backoff;
pub mod census;
pub mod codes;
pub mod contract;
pub mod difference;
pub mod drivers;
pub mod explain;
pub mod failure;
pub mod foreign;
pub mod forget;
pub mod lake;
pub mod pipeline;
pub mod progress;
pub mod redaction;
pub mod rehearsal;
pub mod remake;
pub mod repair;
pub mod replay;
pub mod reset;
pub mod roles;
pub mod seams;
pub mod spans;
pub mod stale;
pub mod status;
mod stopping;
pub mod verify;
