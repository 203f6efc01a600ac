//! SIGINT and SIGTERM as a stop that drains; the second signal ends the process at once.
//!
//! Does not know what is drained.

use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::exit::ExitCode;

/// A token that the first signal cancels.
pub(crate) fn stop_on_signal(context: &Context) -> CancellationToken {
    let stop = CancellationToken::new();
    let (stopped, output) = (stop.clone(), context.output.clone());
    tokio::spawn(async move {
        signal().await;
        let _ =
            output.notice("stopping: finishing what is under way (again to stop at once; nothing is lost either way)");
        stopped.cancel();
        signal().await;
        std::process::exit(i32::from(ExitCode::Interrupted.number()));
    });
    stop
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
