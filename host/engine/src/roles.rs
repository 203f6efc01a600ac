//! The four roles, each from its input to a durable effect: ingest, enrich, clean, aggregate.
//!
//! Does not receive, acknowledge or repeat: `drivers` hands work in and settles it.

pub mod aggregate;
pub mod breaker;
pub mod clean;
pub mod enrich;
pub mod gateway;
pub mod ingest;
pub mod source;
