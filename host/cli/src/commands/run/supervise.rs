//! Several pipelines in one process: each is served on a thread of its own, and one that ends is reported at once and restarted,
//! later and later, while the others continue.
//!
//! Does not serve: the engine does. Does not end the process: its caller does.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::drivers::serving::Serving;
use futures::FutureExt as _;
use seams::backoff;
use seams::foreign::panic_text;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::in_a_line;

/// How long a pipeline rests after it has ended: at first (doubled each time), and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// After so long a service the next rest is the first one again.
const CALM: Duration = Duration::from_secs(300);
/// As much stack as a program's first thread has.
const STACK: usize = 8 << 20;

/// The state of a pipeline in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// It is made ready for the first time.
    Start,
    /// It serves.
    Serve,
    /// It has ended, and will be restarted.
    Rest,
}

/// A pipeline of this process.
struct One {
    name: String,
    does: Does,
    ended: u64,
    /// The pipeline that serves, or served last.
    serving: Option<Arc<Serving>>,
}

/// Which pipelines of this process serve.
#[derive(Clone, Default)]
pub(super) struct Health(Arc<Mutex<Vec<One>>>);

/// A pipeline as the monitoring sees it.
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) does: Does,
    /// How often it has ended.
    pub(super) ended: u64,
    pub(super) serving: Option<Arc<Serving>>,
}

impl Health {
    fn all(&self) -> MutexGuard<'_, Vec<One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These pipelines are to serve.
    pub(super) fn expect<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let start = |name: &str| One { name: name.to_owned(), does: Does::Start, ended: 0, serving: None };
        *self.all() = names.map(start).collect();
    }

    /// Pipeline `number` serves.
    pub(super) fn serves(&self, number: usize, serving: &Arc<Serving>) {
        if let Some(one) = self.all().get_mut(number) {
            (one.does, one.serving) = (Does::Serve, Some(Arc::clone(serving)));
        }
    }

    /// Pipeline `number` has ended, or could not start. Returns how often that has happened.
    fn ends(&self, number: usize) -> u64 {
        let mut all = self.all();
        let Some(one) = all.get_mut(number) else { return 0 };
        one.does = Does::Rest;
        one.ended += 1;
        one.ended
    }

    /// The present state of the pipelines.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let all = self.all();
        let seen = all.iter().map(|one| Seen {
            name: one.name.clone(),
            does: one.does,
            ended: one.ended,
            serving: one.serving.clone(),
        });
        seen.collect()
    }
}

/// Serves a pipeline until `stop`: `once` composes and serves it, and returns without an error only at the stop. After any other end, also a
/// panic, the reason is logged, and the pipeline restarted after a rest.
pub(super) async fn keep(
    (number, name): (usize, &str),
    health: &Health,
    stop: &CancellationToken,
    mut once: impl AsyncFnMut() -> anyhow::Result<()>,
) {
    let mut tries = 0;
    loop {
        let begun = Instant::now();
        let ended = AssertUnwindSafe(once()).catch_unwind().await;
        let reason = match ended {
            Ok(Ok(())) if stop.is_cancelled() => return,
            Ok(Ok(())) => "it has ended without a reason".to_owned(),
            Ok(Err(error)) => in_a_line(&error),
            Err(panic) => format!("a bug of the host: it panicked: {}", panic_text(&*panic)),
        };
        if begun.elapsed() >= CALM {
            tries = 0;
        }
        let rest = backoff::doubled(REST.0, tries, REST.1);
        tries += 1;
        let times = health.ends(number);
        tracing::error!(
            pipeline = name,
            reason,
            times,
            ?rest,
            "the pipeline has ended, it is begun again after a rest"
        );
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Runs work on a thread of its own, so that it delays no other pipeline. Returns when the work is done or has panicked.
///
/// # Errors
/// Fails if the machine has no thread to spare.
pub(super) fn on_own_thread<F: Future<Output = ()>>(
    work: impl FnOnce() -> F + Send + 'static,
) -> std::io::Result<tokio::sync::oneshot::Receiver<()>> {
    let (done, ended) = tokio::sync::oneshot::channel();
    let reactor = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("sluicebox-serves".into()).stack_size(STACK).spawn(move || {
        reactor.block_on(work());
        let _ = done.send(());
    })?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_that_ends_or_panics_is_begun_again_later_and_later_until_it_is_stopped() {
        let health = Health::default();
        health.expect(["a", "b"].into_iter());
        let (stop, mut begun, mut times) = (CancellationToken::new(), Instant::now(), Vec::new());
        let once = async || {
            times.push(begun.elapsed().as_secs());
            begun = Instant::now();
            match times.len() {
                1 => anyhow::bail!("the disk is gone"),
                2 => panic!("index out of bounds"),
                3..=9 => anyhow::bail!("it goes on"),
                10 => {
                    tokio::time::sleep(CALM).await;
                    anyhow::bail!("after a while")
                }
                _ => {
                    stop.cancel();
                    Ok(())
                }
            }
        };
        keep((0, "a"), &health, &stop, once).await;
        assert_eq!(times, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 301]);
        let seen = health.seen();
        assert_eq!((seen[0].does, seen[0].ended), (Does::Rest, 10));
        assert_eq!((seen[1].does, seen[1].ended), (Does::Start, 0), "its neighbour is not touched");
    }
}
