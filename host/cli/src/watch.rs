//! Long reads of a lake, with a bar on a terminal's stderr: which part is under way, and how far it is.
//!
//! Does not read the lake itself.

use std::future::Future;
use std::time::Duration;

use engine::progress::Steps;

use crate::context::Context;

const REDRAW: Duration = Duration::from_millis(100);

/// Runs `work`, which steps through `steps`, and shows how far it has come.
pub(crate) async fn watch<T>(steps: &Steps, context: &Context, work: impl Future<Output = T>) -> T {
    let bar = context.output.bar(Some(0), "");
    let mut work = std::pin::pin!(work);
    loop {
        let (what, done, total) = steps.now();
        bar.set_message(what);
        bar.set_length(total);
        bar.set_position(done.min(total));
        tokio::select! {
            result = &mut work => {
                bar.finish_and_clear();
                return result;
            }
            () = tokio::time::sleep(REDRAW) => {}
        }
    }
}
