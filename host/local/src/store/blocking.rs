//! Work on the file system, off the reactor.
//!
//! Does not bound how much of it there is at once: the callers wait for theirs.

use object_store::{Error, Result};

/// Runs file-system work off the reactor.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|source| Error::JoinError { source })?
}
