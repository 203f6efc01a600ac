//! The threads that guests run on: a fixed number, apart from the reactor, with stacks large enough for any guest's.
//!
//! A call that turns out to be a long one steps back: its thread goes to the lowest priority and another thread takes its place, so that
//! a plugin that spins takes neither processors nor threads from its neighbours. A call of a plugin in disgrace goes behind everything: it
//! runs where a processor has nothing else to do. Priorities cannot be raised again, so that thread ends with the call. Only Linux has
//! priorities of single threads; elsewhere such a call keeps its own, and takes no thread.
//!
//! Does not interrupt a job: a guest's own deadline does. A job without a waiting caller is not begun.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use seams::foreign::panic_text;
use tokio::sync::oneshot;

use crate::memory::Need;
use crate::turns::{LaneId, Turns};

/// The host's frames below and above a guest's: generous, because running out of it ends the process.
const HOST_STACK: usize = 4 << 20;

/// A job that takes longer is slow, even if it runs in another process and does not step back here.
const LONG: Duration = Duration::from_millis(100);

/// The wait before a thread that the system refused is requested again.
const AGAIN: Duration = Duration::from_millis(100);

/// A handle on the threads; they end when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Threads {
    crew: Arc<Crew>,
}

/// A plugin's way to the threads. Its jobs wait behind each other, and never behind those of a plugin that has more of them.
#[derive(Debug)]
pub(crate) struct Lane {
    threads: Arc<Threads>,
    id: LaneId,
}

/// What the threads share.
#[derive(Debug)]
struct Crew {
    turns: Turns,
    count: usize,
    stack: usize,
    /// How many have stepped back, are still at work, and have a successor: never more than `count`.
    back: AtomicUsize,
    /// How many extra threads there are: never more than `count`.
    extra: AtomicUsize,
    started: AtomicUsize,
    foreman: Sender<Hand>,
}

/// How many threads there may be for each requested one.
pub(crate) const MOST_FOR_EACH: usize = 3;

/// Which jobs a thread of the crew takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    /// Any job.
    Regular,
    /// Jobs of lanes that run nothing, until there are none.
    Extra,
}

/// What a thread of the crew knows of itself.
struct Place {
    crew: Arc<Crew>,
    stepped_back: bool,
    has_successor: bool,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// What goes before a job that has stepped back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Work of ordinary priority. The job still gets some processor time if all processors are busy: a healthy long call must.
    Others,
    /// All other work. A call that is woken takes the processor from it at once, which Linux does not do to one that is merely of low
    /// priority and has just begun: many short calls of the lowest priority would hold up their neighbours, each a little.
    Everything,
}

/// Others go before the job on this thread from now on. Does nothing on a thread outside a crew. If as many as the crew has
/// threads have stepped back already, another thread takes this one's place only when its job is done.
pub(crate) fn step_back(behind: Behind) {
    PLACE.with_borrow_mut(|place| {
        let Some(place) = place.as_mut().filter(|place| !place.stepped_back) else { return };
        let room = |back: usize| (back < place.crew.count).then_some(back + 1);
        place.stepped_back = true;
        place.has_successor = place.crew.back.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_ok();
        if place.has_successor {
            place.crew.ask_for(Hand::Regular);
        }
        lower_priority(behind);
    });
}

/// Whether the job on this thread has stepped back, and has waited for its turn since.
pub(crate) fn is_behind() -> bool {
    PLACE.with_borrow(|place| place.as_ref().is_some_and(|place| place.stepped_back))
}

/// The processor time of this thread. `None` where threads do not step back in priority either.
#[cfg(target_os = "linux")]
pub(crate) fn processor_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).ok()
}

/// Here only processes have priorities, so no job waits for its turn.
#[cfg(not(target_os = "linux"))]
pub(crate) fn processor_time() -> Option<Duration> {
    None
}

/// Gives this thread the lowest priority, or that of idle work, for good. If the system refuses, the thread has a successor
/// all the same.
#[cfg(target_os = "linux")]
fn lower_priority(behind: Behind) {
    use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};
    let policy = match behind {
        Behind::Others => NormalThreadSchedulePolicy::Other,
        Behind::Everything => NormalThreadSchedulePolicy::Idle,
    };
    let thread = thread_priority::thread_native_id();
    let policy = ThreadSchedulePolicy::Normal(policy);
    if thread_priority::set_thread_priority_and_policy(thread, ThreadPriority::Min, policy).is_err() {
        // A worker may ask for nothing but this.
        let _ = rustix::process::setpriority_process(None, 19);
    }
}

/// Here only processes have priorities.
#[cfg(not(target_os = "linux"))]
fn lower_priority(_: Behind) {}

impl Crew {
    /// Requests one more thread, if the system allows it. The calling thread does not start it: a thread inherits the priority of the one that
    /// starts it.
    fn ask_for(&self, hand: Hand) {
        if hand == Hand::Extra {
            let room = |extra: usize| (extra < self.count).then_some(extra + 1);
            if self.extra.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_err() {
                return;
            }
        }
        let _ = self.foreman.send(hand);
    }

    fn join(self: &Arc<Self>, hand: Hand) -> std::io::Result<()> {
        let crew = Arc::clone(self);
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::Builder::new().name(format!("guest-{number}")).stack_size(self.stack + HOST_STACK);
        thread.spawn(move || crew.work(hand)).map(drop)
    }

    fn work(self: Arc<Self>, hand: Hand) {
        PLACE.set(Some(Place { crew: Arc::clone(&self), stepped_back: false, has_successor: false }));
        while let Some(turn) = self.turns.next(hand == Hand::Extra) {
            let begun = Instant::now();
            (turn.job)();
            self.turns.end(&turn.taken, is_behind() || begun.elapsed() >= LONG);
            if is_behind() {
                break;
            }
        }
        let has_successor = PLACE.with_borrow(|place| place.as_ref().is_some_and(|place| place.has_successor));
        if has_successor {
            self.back.fetch_sub(1, Ordering::AcqRel);
        }
        match hand {
            Hand::Extra => drop(self.extra.fetch_sub(1, Ordering::AcqRel)),
            // It cannot raise its priority again: another thread goes on in its place.
            Hand::Regular if is_behind() && !has_successor => self.ask_for(Hand::Regular),
            Hand::Regular => {}
        }
    }
}

/// Starts the requested threads, until the crew is gone.
fn foreman(crew: &Weak<Crew>, asked: &Receiver<Hand>) {
    for hand in asked {
        loop {
            let Some(crew) = crew.upgrade() else { return };
            match (crew.join(hand), hand) {
                (Ok(()), _) => break,
                (Err(_), Hand::Extra) => {
                    crew.extra.fetch_sub(1, Ordering::AcqRel);
                    break;
                }
                // A thread that is missing for good would slow down every later call.
                (Err(error), Hand::Regular) => tracing::warn!(%error, "no thread for plugins, asking again"),
            }
            drop(crew);
            std::thread::sleep(AGAIN);
        }
    }
}

impl Threads {
    /// Starts `count` threads for guests of at most `guest_stack` bytes of stack. With those that have stepped back, and extra ones for
    /// lanes that would wait for others, there are never more than [`MOST_FOR_EACH`] times as many.
    pub(crate) fn start(count: usize, guest_stack: usize, turns: Turns) -> std::io::Result<Self> {
        let (foreman, asked) = channel();
        let zero = AtomicUsize::default;
        let crew = Crew { turns, count, stack: guest_stack, foreman, back: zero(), extra: zero(), started: zero() };
        let crew = Arc::new(crew);
        let weak = Arc::downgrade(&crew);
        let thread = std::thread::Builder::new().name("guest-foreman".to_owned());
        thread.spawn(move || self::foreman(&weak, &asked))?;
        for _ in 0..count {
            crew.join(Hand::Regular)?;
        }
        Ok(Threads { crew })
    }

    /// A lane of its own for a plugin.
    pub(crate) fn lane(self: &Arc<Self>) -> Lane {
        Lane { threads: Arc::clone(self), id: self.crew.turns.enter() }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.crew.turns.close();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.threads.crew.turns.leave(self.id);
    }
}

impl Lane {
    /// Runs `work` on one of the threads, without waiting.
    pub(crate) fn begin(&self, work: impl FnOnce() + Send + 'static) {
        let span = tracing::Span::current();
        self.add(Need::NOTHING, move || drop(span.in_scope(|| catch_unwind(AssertUnwindSafe(work)))));
    }

    /// Runs `work` on one of the threads, once there is memory for it, and waits for it. `Err` holds the text of a panic.
    pub(crate) async fn run<T, F>(&self, need: Need, work: F) -> Result<T, String>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let span = tracing::Span::current();
        self.add(need, move || {
            if done.is_closed() {
                return;
            }
            let outcome =
                span.in_scope(|| catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(&*panic).to_owned()));
            // If the caller has stopped waiting, the result is dropped.
            drop(done.send(outcome));
        });
        result.await.unwrap_or_else(|_| Err("the guest thread is gone".to_owned()))
    }

    fn add(&self, need: Need, job: impl FnOnce() + Send + 'static) {
        let crew = &self.threads.crew;
        if crew.turns.add(self.id, need, Box::new(job)) {
            crew.ask_for(Hand::Extra);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(count: usize) -> Arc<Threads> {
        Arc::new(Threads::start(count, 1 << 20, Turns::within(u64::MAX)).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_reported_and_the_thread_goes_on() {
        let threads = started(1).lane();
        let lost: Result<(), String> = threads.run(Need::NOTHING, || panic!("oh no")).await;
        assert_eq!(lost, Err("oh no".to_owned()));
        assert_eq!(threads.run(Need::NOTHING, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn jobs_run_on_threads_of_their_own_and_in_their_callers_span() {
        let threads = started(2).lane();
        let name = threads.run(Need::NOTHING, || std::thread::current().name().map(str::to_owned)).await.unwrap();
        assert!(name.is_some_and(|name| name.starts_with("guest-")));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_long_job_makes_way_and_its_thread_is_not_used_again() {
        let threads = Arc::new(started(1).lane());
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let ordinary = threads.run(Need::NOTHING, niceness).await.unwrap();
        let (stepped, seen) = oneshot::channel();
        let (release, released) = channel::<()>();
        let long = tokio::spawn({
            let threads = Arc::clone(&threads);
            async move {
                threads
                    .run(Need::NOTHING, move || {
                        step_back(Behind::Others);
                        stepped.send(niceness()).unwrap();
                        released.recv().unwrap();
                    })
                    .await
            }
        });
        assert_eq!(seen.await, Ok(19));
        // The only thread is busy, but the next job gets one as fast as the first did.
        assert_eq!(threads.run(Need::NOTHING, niceness).await, Ok(ordinary));
        release.send(()).unwrap();
        long.await.unwrap().unwrap();
        for _ in 0..10 {
            assert_eq!(threads.run(Need::NOTHING, niceness).await, Ok(ordinary));
        }
    }

    #[tokio::test]
    async fn a_lane_that_rests_does_not_wait_for_those_that_keep_every_thread() {
        let threads = started(2);
        let (hostile, calm) = (Arc::new(threads.lane()), threads.lane());
        let (release, released) = channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let jobs: Vec<_> = (0..6)
            .map(|_| {
                let (hostile, released) = (Arc::clone(&hostile), Arc::clone(&released));
                tokio::spawn(async move { hostile.run(Need::NOTHING, move || released.lock().unwrap().recv()).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        for number in 0..20 {
            let answered = tokio::time::timeout(Duration::from_secs(5), calm.run(Need::NOTHING, move || number));
            assert_eq!(answered.await.unwrap(), Ok(number));
        }
        drop(release);
        for job in jobs {
            assert!(job.await.unwrap().unwrap().is_err());
        }
    }
}
