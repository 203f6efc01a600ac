//! The stop as deep work sees it: a rest in the middle of a delivery's work ends with it. Work that goes on has some time to finish.
//!
//! Does not stop anything.

use std::time::Duration;

use lake::failure::Failure;
use seams::clock::Clock;
use tokio_util::sync::CancellationToken;

/// How long work may go on after the stop. Orchestrators kill a process 30 s after they asked it to stop, and what was not given back by
/// then is hidden in the queue until its visibility ends.
const LAST_WORK: Duration = Duration::from_secs(10);

tokio::task_local! {
    static STOP: CancellationToken;
}

/// Work in which [`stopped`] returns with `stop`.
pub(crate) async fn under<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> T {
    STOP.scope(stop.clone(), work).await
}

/// Returns when the work is to end; never, where no stop was set.
pub(crate) async fn stopped() {
    match STOP.try_with(Clone::clone) {
        Ok(stop) => stop.cancelled().await,
        Err(_) => std::future::pending().await,
    }
}

/// Returns when the work has used its time after the stop; never, where no stop was set.
pub(crate) async fn overdue(clock: &dyn Clock) {
    stopped().await;
    clock.sleep(LAST_WORK).await;
}

/// The failure of work whose rest was ended: nothing came of it, and it costs nothing.
pub(crate) fn failure() -> Failure {
    Failure::Pause { pause: Duration::ZERO, reason: "the process is being stopped".to_owned() }
}
