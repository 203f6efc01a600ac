//! Work on the file system, off the reactor.
//!
//! Does not limit how much of it runs at once: each caller waits for its own.

use object_store::{Error, Result};

/// Runs file-system work off the reactor.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|source| Error::JoinError { source })?
}
