//! What the tests of the engine and of its adapters share: a clock that they move, plugins from closures, a scripted HTTP, secrets
//! in a map, a queue in memory, a store that counts, one that ages, faults on a seeded schedule, and one conformance suite for each seam.
//!
//! Does not test anything by itself, and is in no binary: here a broken expectation panics.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test support: a broken expectation is a failed test"
)]

pub mod clock;
pub mod conformance;
pub mod counting;
pub mod dated;
pub mod faulty;
pub mod http;
pub mod leap;
pub mod plugins;
pub mod queue;
pub mod rows;
pub mod secrets;

pub use clock::SimClock;
pub use counting::{Asked, Counting, Requests, Verb};
pub use dated::Dated;
pub use faulty::{Chances, Fate, Faults, Faulty, Trouble};
pub use http::ScriptedHttp;
pub use leap::LeapClock;
pub use plugins::{ClosureAggregator, ClosureCleaner, ClosureEnricher, ClosurePlugins};
pub use queue::{MemoryQueue, MemoryQueueOptions};
pub use secrets::MapSecrets;
