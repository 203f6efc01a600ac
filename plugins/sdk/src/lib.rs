//! What the author of a Sluicebox plugin imports: plain structs become columns, pure functions
//! become a plugin.
//!
//! - a cleaner: [`cleaner!`], [`Input`], [`Output`], [`Verdict`]
//! - an enricher: [`enricher!`], [`Step`], [`Request`], [`Answer`]
//! - an aggregator: [`aggregator!`], [`Aggregate`], [`Groups`]
//! - for all: [`Config`], [`Refusal`], [`log`], and the values [`Date`], [`Timestamp`], [`Json`]
//!
//! A plugin crate is two files: `src/lib.rs` with one of the macros, and `src/rules.rs` with the
//! functions, which `cargo test` tests natively. Deliberately not here: clocks, randomness, files
//! and sockets, which a plugin does not have; and any rule of a pipeline.

extern crate self as sluicebox_sdk;

pub mod aggregator;
#[doc(hidden)]
pub mod bindings;
pub mod cleaner;
pub mod columns;
pub mod config;
mod date;
pub mod enricher;
mod groups;
mod json;
#[doc(hidden)]
pub mod lifecycle;
pub mod log;
mod refusal;
mod timestamp;
#[doc(hidden)]
pub mod trap;

pub use aggregator::Aggregate;
pub use cleaner::Verdict;
pub use columns::{Input, List, Output};
pub use config::{Config, NoConfig};
pub use date::Date;
pub use enricher::{Answer, Request, Step};
pub use groups::Groups;
pub use json::{Json, JsonRef};
pub use refusal::Refusal;
pub use sluicebox_sdk_macros::{Input, Output};
pub use timestamp::Timestamp;

/// For the macros of this crate.
#[doc(hidden)]
pub mod __private {
    pub use sluicebox_sdk_macros::__bindings;
    pub use wit_bindgen;
}
