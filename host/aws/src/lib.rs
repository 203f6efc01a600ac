//! Adapters over the SDKs of AWS: objects in S3, queues in SQS, secrets in Secrets Manager, all with one chain of credentials; and the
//! Runtime API of Lambda, with the events that it delivers. And what a pipeline is there, as a template (the crate `deploy`).
//!
//! Does not decide anything, and makes no bucket, queue or secret: the operator does, with the template or without. [`doctor`] checks them.
#![allow(clippy::disallowed_methods, reason = "these are adapters through which the environment enters")]

pub mod cloud;
pub mod doctor;
pub mod events;
mod failure;
pub mod lambda;
mod news;
mod notified;
pub mod queue;
pub mod secrets;
pub mod store;

pub use cloud::{Cloud, CloudError};
pub use failure::CallError;
pub use news::NewsQueue;
pub use notified::NotifiedQueue;
pub use queue::{SqsOptions, SqsQueue, open_stage, unopened_stage};
pub use secrets::ManagerSecrets;
pub use store::{S3Options, S3Store};
