//! Faults around any adapter, on a schedule that its seed reproduces.
//!
//! Does not make up behaviour: a call is passed on unchanged, or fails before it took effect, or after it did (the reply is lost).

mod http;
mod queue;
mod store;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::seams::clock::Clock;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on.
    Pass,
    /// It fails and nothing happened.
    FailBefore,
    /// It happens, and the caller is told that it failed.
    FailAfter,
}

/// When calls fail, and how.
#[derive(Debug)]
pub struct Faults {
    script: Mutex<VecDeque<Fate>>,
    random: Option<Random>,
    delay: Option<(Arc<dyn Clock>, Duration)>,
    stopped: AtomicBool,
    calls: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug)]
struct Random {
    dice: Mutex<StdRng>,
    before: f64,
    after: f64,
}

impl Faults {
    fn with(script: VecDeque<Fate>, random: Option<Random>) -> Self {
        Faults {
            script: Mutex::new(script),
            random,
            delay: None,
            stopped: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// The first calls end as written here; all others pass.
    #[must_use]
    pub fn script(fates: impl IntoIterator<Item = Fate>) -> Self {
        Faults::with(fates.into_iter().collect(), None)
    }

    /// Every call fails before its effect with probability `before`, after it with `after`. The seed is printed, so that a failed
    /// test can be run again with it.
    ///
    /// # Panics
    /// When the probabilities are no probabilities.
    #[must_use]
    pub fn seeded(seed: u64, before: f64, after: f64) -> Self {
        assert!(
            before >= 0.0 && after >= 0.0 && before + after <= 1.0,
            "`before` and `after` are probabilities with a sum of at most 1"
        );
        eprintln!("faults: seed {seed}, before {before}, after {after}");
        Faults::with(VecDeque::new(), Some(Random { dice: Mutex::new(StdRng::seed_from_u64(seed)), before, after }))
    }

    /// Lets every call wait for `span` on `clock` first.
    #[must_use]
    pub fn delayed(mut self, clock: Arc<dyn Clock>, span: Duration) -> Self {
        self.delay = Some((clock, span));
        self
    }

    /// From now on every call passes.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// From now on calls fail again.
    pub fn resume(&self) {
        self.stopped.store(false, Ordering::SeqCst);
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Calls that were made to fail so far: a test about faults should see some.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }

    /// The fate of the next call, after its delay.
    async fn next(&self) -> Fate {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.stopped.load(Ordering::SeqCst) {
            return Fate::Pass;
        }
        if let Some((clock, span)) = &self.delay {
            clock.sleep(*span).await;
        }
        let fate = self.draw();
        if fate != Fate::Pass {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
        fate
    }

    fn draw(&self) -> Fate {
        let scripted = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match (scripted, &self.random) {
            (Some(fate), _) => fate,
            (None, None) => Fate::Pass,
            (None, Some(random)) => {
                let throw: f64 = random.dice.lock().unwrap_or_else(PoisonError::into_inner).random();
                if throw < random.before {
                    Fate::FailBefore
                } else if throw < random.before + random.after {
                    Fate::FailAfter
                } else {
                    Fate::Pass
                }
            }
        }
    }
}

/// An adapter whose calls fail as [`Faults`] say. Wraps `dyn Queue`, `dyn Http` and `dyn ObjectStore`.
#[derive(Debug)]
pub struct Faulty<T: ?Sized> {
    faults: Arc<Faults>,
    inner: Arc<T>,
}

impl<T: ?Sized> Faulty<T> {
    /// Wraps `inner`. Several adapters may share one schedule.
    #[must_use]
    pub fn new(inner: Arc<T>, faults: Arc<Faults>) -> Arc<Self> {
        Arc::new(Faulty { faults, inner })
    }

    /// Makes a call, or a failure of it. An error of the call itself is passed on whatever its fate.
    async fn call<R, E>(&self, call: impl Future<Output = Result<R, E>>, failure: impl Fn(&str) -> E) -> Result<R, E> {
        match self.faults.next().await {
            Fate::Pass => call.await,
            Fate::FailBefore => Err(failure("injected before the effect")),
            Fate::FailAfter => {
                call.await?;
                Err(failure("injected after the effect: the reply is lost"))
            }
        }
    }
}
