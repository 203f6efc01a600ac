//! Faults around any adapter, on a schedule that its seed reproduces.
//!
//! Does not break a contract: a call is passed on unchanged, or fails before it took effect, or after it did (the reply is lost), or
//! does something odd that the seam's contract allows, or is the last one that its host makes.

mod http;
mod queue;
mod secrets;
mod store;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use seams::clock::Clock;
use seams::store::NotDurable;
use tokio::sync::Notify;

/// The fate of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on.
    Pass,
    /// It fails and nothing happened.
    FailBefore,
    /// It happens, and the caller gets an error.
    FailAfter,
    /// It does something rare that callers must bear. Each seam has its own: see the modules.
    Odd,
    /// The host dies over it: it never returns, and [`Faults::death`] does.
    Die {
        /// Whether it still takes effect.
        after: bool,
    },
}

/// A fault of the machine below a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No room on the disk.
    Full,
    /// Mounted read-only.
    ReadOnly,
    /// Too many open files.
    TooManyFiles,
    /// A sync failed: what was written may not be there after a loss of power.
    NotDurable,
}

impl Trouble {
    fn cause(self) -> Box<dyn std::error::Error + Send + Sync> {
        match self {
            Trouble::Full => io::Error::from(io::ErrorKind::StorageFull).into(),
            Trouble::ReadOnly => io::Error::from(io::ErrorKind::ReadOnlyFilesystem).into(),
            Trouble::TooManyFiles => io::Error::from_raw_os_error(24).into(),
            Trouble::NotDurable => NotDurable(io::Error::from_raw_os_error(5).into()).into(),
        }
    }
}

/// How often calls fail, each way a probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Chances {
    /// The chance of a failure before the effect.
    pub before: f64,
    /// The chance of a lost reply.
    pub after: f64,
    /// The chance of something odd.
    pub odd: f64,
}

/// When calls fail, and how.
#[derive(Debug)]
pub struct Faults {
    script: Mutex<VecDeque<Fate>>,
    random: Option<Random>,
    delay: Option<(Arc<dyn Clock>, Duration)>,
    /// The longest of the random delays.
    slow: Option<(Arc<dyn Clock>, Duration)>,
    last_call: Option<u64>,
    trouble: Option<Trouble>,
    death: Notify,
    stopped: AtomicBool,
    calls: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug)]
struct Random {
    dice: Mutex<StdRng>,
    chances: Chances,
}

impl Random {
    fn throw(&self) -> f64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}

impl Faults {
    fn with(script: VecDeque<Fate>, random: Option<Random>) -> Self {
        Faults {
            script: Mutex::new(script),
            random,
            delay: None,
            slow: None,
            last_call: None,
            trouble: None,
            death: Notify::new(),
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
    /// If a probability is not between 0 and 1.
    #[must_use]
    pub fn seeded(seed: u64, before: f64, after: f64) -> Self {
        eprintln!("faults: seed {seed}, before {before}, after {after}");
        Faults::drawn(seed, Chances { before, after, odd: 0.0 })
    }

    /// Every call ends as `chances` say. Prints nothing: the caller that drew the seed prints it.
    ///
    /// # Panics
    /// If a probability is not between 0 and 1.
    #[must_use]
    pub fn drawn(seed: u64, chances: Chances) -> Self {
        let Chances { before, after, odd } = chances;
        assert!(
            before >= 0.0 && after >= 0.0 && odd >= 0.0 && before + after + odd <= 1.0,
            "the chances are probabilities with a sum of at most 1"
        );
        Faults::with(VecDeque::new(), Some(Random { dice: Mutex::new(StdRng::seed_from_u64(seed)), chances }))
    }

    /// Lets every call wait for a random time on `clock` first, at most `longest`. For faults that have a seed.
    #[must_use]
    pub fn slow(mut self, clock: Arc<dyn Clock>, longest: Duration) -> Self {
        self.slow = Some((clock, longest));
        self
    }

    /// The host dies over call number `call`, from 1, before or after its effect.
    #[must_use]
    pub fn dying_at(mut self, call: u64) -> Self {
        self.last_call = Some(call);
        self
    }

    /// A store fails with this cause, and only when it is written to.
    #[must_use]
    pub fn with_trouble(mut self, trouble: Trouble) -> Self {
        self.trouble = Some(trouble);
        self
    }

    /// Returns when the host has died: its driver then drops all its futures.
    pub async fn death(&self) {
        self.death.notified().await;
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
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if self.stopped.load(Ordering::SeqCst) {
            return Fate::Pass;
        }
        if self.last_call.is_some_and(|last| call >= last) {
            self.failed.fetch_add(1, Ordering::SeqCst);
            return Fate::Die { after: self.random.as_ref().is_some_and(|random| random.throw() < 0.5) };
        }
        if let (Some((clock, longest)), Some(random)) = (&self.slow, &self.random) {
            clock.sleep(longest.mul_f64(random.throw())).await;
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
                let Chances { before, after, odd } = random.chances;
                match random.throw() {
                    throw if throw < before => Fate::FailBefore,
                    throw if throw < before + after => Fate::FailAfter,
                    throw if throw < before + after + odd => Fate::Odd,
                    _ => Fate::Pass,
                }
            }
        }
    }

    /// A number below `bound` from the schedule's dice, 0 without any: how odd something is.
    fn pick(&self, bound: usize) -> usize {
        let throw = self.random.as_ref().map_or(0.0, Random::throw);
        (throw * bound as f64) as usize
    }

    /// The end of the host that made a call: it never returns.
    async fn die<R>(&self) -> R {
        self.death.notify_one();
        std::future::pending().await
    }
}

/// An adapter whose calls fail as [`Faults`] say. Wraps `dyn Queue`, `dyn Http`, `dyn Secrets` and `dyn ObjectStore`.
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
        self.end(self.faults.next().await, call, failure).await
    }

    /// A call of that fate.
    async fn end<R, E>(
        &self,
        fate: Fate,
        call: impl Future<Output = Result<R, E>>,
        failure: impl Fn(&str) -> E,
    ) -> Result<R, E> {
        match fate {
            Fate::Pass | Fate::Odd => call.await,
            Fate::FailBefore => Err(failure("injected before the effect")),
            Fate::FailAfter => {
                call.await?;
                Err(failure("injected after the effect: the reply is lost"))
            }
            Fate::Die { after } => {
                if after {
                    let _ = call.await;
                }
                self.faults.die().await
            }
        }
    }
}
