//! The seams' contracts, one function a clause, named as the sentence that it checks.
//!
//! Does not know any adapter: each brings a rig, a new one for every clause. One macro for each suite makes a test of every clause:
//!
//! ```ignore
//! testkit::queue_conformance!(async || rig().await);
//! ```

pub mod clock;
pub mod http;
pub mod loopback;
pub mod queue;
pub mod secrets;
pub mod store;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use seams::clock::Clock;

use crate::SimClock;

/// Lets time pass for the adapter under test: moves a simulated clock, or really waits.
pub type PassTime = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// Time that passes by moving `clock`.
#[must_use]
pub fn simulated(clock: &Arc<SimClock>) -> PassTime {
    let clock = Arc::clone(clock);
    Arc::new(move |span| {
        let clock = Arc::clone(&clock);
        Box::pin(async move { clock.advance(span).await })
    })
}

/// Time that passes by waiting for it on `clock`.
#[must_use]
pub fn waited(clock: Arc<dyn Clock>) -> PassTime {
    Arc::new(move |span| {
        let clock = Arc::clone(&clock);
        Box::pin(async move { clock.sleep(span).await })
    })
}

/// Makes a test of each clause: `conformance_tests!(suite, rig; clause, clause, …)`. For the suites' own macros.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($suite:ident, $rig:expr; $($clause:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $clause() {
                $crate::conformance::$suite::$clause(($rig)().await).await;
            }
        )*
    };
}
