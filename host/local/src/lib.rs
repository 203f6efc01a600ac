//! Adapters that need only this machine: one for each seam of the engine, except plugins.
//!
//! Does not decide anything: where a request may go, when a message is poison and what an object is called is up to the engine.
#![allow(clippy::disallowed_methods, reason = "these are the adapters through which time, environment and files enter")]

pub mod clock;
pub mod http;
pub mod otlp;
pub mod outside;
pub mod queue;
pub mod secrets;
pub mod store;
pub mod watch;

pub use clock::SystemClock;
pub use http::{HttpOptions, Proxies, ReqwestHttp};
pub use queue::{ClosedQueue, QueueOptions, QueueView, SqliteQueue, SqliteQueues};
pub use secrets::LocalSecrets;
pub use store::{ClosedStore, DirStore, Durability, ViewStore};
pub use watch::FileWatch;
