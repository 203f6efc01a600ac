//! Silver and Gold as Delta tables: what they promise, compared with a sequential model, in memory, on disk, under faults, and by other
//! engines.
//!
//! Does not run roles or plugins.
#![allow(
    clippy::disallowed_methods,
    reason = "the disk tests need a disk, the readers of other makers a process, and a race a stopwatch"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken expectation is a failed test"
)]

mod evolution;
mod faults;
mod gold;
mod history;
mod interop;
mod large;
mod model;
mod opening;
mod partials;
mod silver;
mod support;
mod tidy;
mod writers;
