//! The engine of Sluicebox: from `pipeline.toml` to a plan, and from a plan through four roles to Gold.
//!
//! Knows no WebAssembly runtime, no cloud, no file system, no environment and no wall clock: all of them enter through [`seams`].

pub mod backoff;
pub mod contract;
pub mod drivers;
pub mod failure;
pub mod lake;
pub mod pipeline;
pub mod progress;
pub mod roles;
pub mod seams;
pub mod status;
