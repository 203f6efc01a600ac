//! What a lake's age costs: nothing. Requests, bytes and memory of a tick and of a sweep, counted over many ticks; and what a sweep does before a
//! backlog that is blocked.
//!
//! The short form runs always. `GROWTH_TICKS=1000 GROWTH_RECORDS=1000` is the long one, and prints the curve.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "tests"
)]

mod backlog;
mod closing;
mod curve;
mod year;

#[path = "../service/world.rs"]
mod world;
