//! The six seams through which the outside world enters the engine: one trait, its error and its contract a file.
//!
//! Does not hold any adapter: `local` has those of a laptop, `testkit` those of a test, `runtime` the plugins.

pub mod backoff;
pub mod clock;
pub mod foreign;
pub mod http;
pub mod plugin;
pub mod queue;
pub mod secrets;
pub mod spans;
pub mod store;
