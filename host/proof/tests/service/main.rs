//! A whole pipeline in one process: closure plugins, a scripted service, a simulated clock, queues and stores in memory.
//!
//! Does not test an adapter or a real plugin: `local`, `runtime` and `tests/e2e` do.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod answers;
mod breaker;
mod columns;
mod deaths;
mod echoes;
mod edited;
mod ends;
mod fault_table;
mod faults;
mod forget;
mod in_step;
mod lifecycle;
mod outage;
mod outcomes;
mod pages;
mod pauses;
mod receiving;
mod replay;
mod requests;
mod schedule;
mod source_lines;
mod swap;
mod tree;
mod unreadable;
mod verify;
mod watermarks;
mod world;
