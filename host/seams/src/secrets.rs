//! Secrets by reference: from where `pipeline.toml` says to a value that does not print itself.
//!
//! Does not put a secret into a request: that is `roles::enrich::gateway`.

use async_trait::async_trait;
pub use pipeline::plan::SecretRef;
pub use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// Why a secret cannot be read. All three pause the consumer: no record is quarantined because a secret cannot be read.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The place can be read and holds no such secret.
    #[error("secret `{0}` is missing")]
    Missing(SecretRef),
    /// The place refuses to show it.
    #[error("secret `{0}` may not be read: {1}")]
    Denied(SecretRef, String),
    /// The place does not answer, or this host has no adapter for it.
    #[error("secret `{0}` cannot be read now: {1}")]
    Unavailable(SecretRef, String),
}

/// Reads secrets.
///
/// # Contract
/// * A missing secret, a refused one and an unreachable place are three different errors.
/// * `get` may answer from a cache; `refresh` never does, and replaces what the cache holds.
/// * No error text holds a secret.
#[async_trait]
pub trait Secrets: Send + Sync + std::fmt::Debug {
    /// The secret's value, perhaps from a cache.
    async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError>;

    /// The secret's value as it is at its place now: asked for once after a service has refused the old one.
    async fn refresh(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.get(reference).await
    }
}
