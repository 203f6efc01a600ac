//! The stop as deep work sees it: whoever rests in the middle of a delivery's work ends the rest with it.
//!
//! Does not stop anything, and does not end work that goes on: what is under way is finished.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

tokio::task_local! {
    static STOP: CancellationToken;
}

/// Work in which [`stopped`] returns with `stop`.
pub(crate) async fn under<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> T {
    STOP.scope(stop.clone(), work).await
}

/// Returns when the work is to end; never, where nobody has said what stops it.
pub(crate) async fn stopped() {
    match STOP.try_with(Clone::clone) {
        Ok(stop) => stop.cancelled().await,
        Err(_) => std::future::pending().await,
    }
}

/// What has become of work whose rest was ended: nothing, and it costs nothing.
pub(crate) fn failure() -> Failure {
    Failure::Pause { pause: Duration::ZERO, reason: "the process is being stopped".to_owned() }
}
