//! Plugins on wasmtime: the engine's plugin seam for real components.
//!
//! A component goes through `inspect` (what it is, what it asks for), `load` (compile, describe, configure) and then any number of
//! `call`s, each in a store of its own. `project` turns JSON documents into columns before a call, `columns` turns columns into
//! Arrow after it.
//!
//! Does not fetch components, does not decide what happens to a record whose call failed, and knows no pipeline.

// The adapter needs a monotonic clock for deadlines and a directory for compiled code; what plugins compute depends on neither.
#![allow(clippy::disallowed_methods)]

mod aggregator;
mod bindings;
mod call;
mod cleaner;
mod code;
mod columns;
mod componentize;
mod descriptor;
mod engines;
mod enricher;
mod errors;
mod fault;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod inspect;
mod kept;
mod key;
mod limits;
mod load;
mod log;
mod memory;
mod native;
mod options;
mod plugins;
mod processor;
mod project;
mod store;
mod threads;
mod turns;
mod wasi;
pub mod worker;
mod world;

pub use componentize::{ComponentizeError, componentize};
pub use inspect::{Inspection, inspect};
pub use kept::list_of_shipped;
pub use options::{Cache, Options, Shipped, Trust};
pub use plugins::{SetupError, WasmPlugins};
pub use world::World;
