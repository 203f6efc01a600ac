//! The threads that guests run on: a fixed number, apart from the reactor, with stacks large enough for any guest's.
//!
//! A call that turns out to be a long one steps back: its thread goes to the lowest priority and another one takes its place, so that
//! a plugin that spins takes neither processors nor threads from its neighbours. One of a plugin in disgrace goes behind everything: it
//! runs where a processor has nothing else to do. Priorities cannot be raised again, so that thread ends with the call. Only Linux has
//! priorities of single threads; elsewhere such a call keeps its own, and takes no thread.
//!
//! Does not interrupt a job: a guest's own deadline does. A job that nobody waits for any more is not begun.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::memory::{Need, Room};

type Job = Box<dyn FnOnce() + Send>;

/// The host's frames below and above a guest's: generous, because running out of it ends the process.
const HOST_STACK: usize = 4 << 20;

/// A handle on the threads; they end when the last one is gone.
#[derive(Debug)]
pub(crate) struct Threads {
    jobs: Sender<Job>,
    room: Arc<Room>,
}

/// What the threads share.
#[derive(Debug)]
struct Crew {
    queue: Mutex<Receiver<Job>>,
    count: usize,
    stack: usize,
    /// How many have stepped back and are still at work: never more than `count`.
    back: AtomicUsize,
    started: AtomicUsize,
}

/// What a thread of the crew knows of itself.
struct Place {
    crew: Arc<Crew>,
    stepped_back: bool,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Who goes before a job that has stepped back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Whoever is of ordinary priority. It still gets some of the processor where all are busy, as a long call that is in order must.
    Others,
    /// Everybody. A call that is woken takes the processor from it at once, which Linux does not do to one that is merely of low
    /// priority and has just begun: many short calls of the lowest priority would hold up their neighbours, each a little.
    Everything,
}

/// Others go before the job on this thread from now on. Does nothing on a thread that is not of a crew, and where as many as the crew
/// has threads have stepped back already.
pub(crate) fn step_back(behind: Behind) {
    PLACE.with_borrow_mut(|place| {
        let Some(place) = place.as_mut().filter(|place| !place.stepped_back) else { return };
        let crew = Arc::clone(&place.crew);
        let room = |back: usize| (back < crew.count).then_some(back + 1);
        if crew.back.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_err() {
            return;
        }
        // Its successor first: a thread inherits the priority of the one that starts it.
        place.stepped_back = crew.join().is_ok();
        if place.stepped_back {
            lower_priority(behind);
        } else {
            crew.back.fetch_sub(1, Ordering::AcqRel);
        }
    });
}

/// Whether the job on this thread has stepped back, and waits for its turn since.
pub(crate) fn is_behind() -> bool {
    PLACE.with_borrow(|place| place.as_ref().is_some_and(|place| place.stepped_back))
}

/// The processor's time that this thread has had. `None` where threads do not step back in priority either.
#[cfg(target_os = "linux")]
pub(crate) fn processor_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).ok()
}

/// Priorities are of processes here, so that nobody waits for his turn.
#[cfg(not(target_os = "linux"))]
pub(crate) fn processor_time() -> Option<Duration> {
    None
}

/// Gives this thread the lowest priority, or that of idle work, for good. Where the system does not let it, the thread has a successor
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

/// Priorities are of processes here.
#[cfg(not(target_os = "linux"))]
fn lower_priority(_: Behind) {}

impl Crew {
    /// Starts one more thread.
    fn join(self: &Arc<Self>) -> std::io::Result<()> {
        let crew = Arc::clone(self);
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::Builder::new().name(format!("guest-{number}")).stack_size(self.stack + HOST_STACK);
        thread.spawn(move || crew.work()).map(drop)
    }

    fn work(self: Arc<Self>) {
        PLACE.set(Some(Place { crew: Arc::clone(&self), stepped_back: false }));
        while let Some(job) = self.next() {
            job();
            if is_behind() {
                self.back.fetch_sub(1, Ordering::AcqRel);
                return;
            }
        }
    }

    fn next(&self) -> Option<Job> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }
}

impl Threads {
    /// Starts `count` threads for guests of at most `guest_stack` bytes of stack. With those that have stepped back there are never
    /// more than twice as many.
    pub(crate) fn start(count: usize, guest_stack: usize, room: Room) -> std::io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (back, started) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let crew = Arc::new(Crew { queue: Mutex::new(queue), count, stack: guest_stack, back, started });
        for _ in 0..count {
            crew.join()?;
        }
        Ok(Threads { jobs, room: Arc::new(room) })
    }

    /// Has `work` run on one of the threads, and waits for nothing.
    pub(crate) fn begin(&self, work: impl FnOnce() + Send + 'static) {
        let span = tracing::Span::current();
        let job = move || drop(span.in_scope(|| catch_unwind(AssertUnwindSafe(work))));
        // Without threads whoever calls next will be told.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Runs `work` on one of the threads, once there is room for what it needs, and waits for it. `Err` holds the text of a panic.
    pub(crate) async fn run<T, F>(&self, need: Need, work: F) -> Result<T, String>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let (span, room) = (tracing::Span::current(), Arc::clone(&self.room));
        let job = Box::new(move || {
            if done.is_closed() {
                return;
            }
            let held = room.take(need);
            let outcome =
                span.in_scope(|| catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panic_text(&*payload)));
            drop(held);
            // Nobody may be waiting any more; then the result is of no use to anybody.
            drop(done.send(outcome));
        });
        if self.jobs.send(job).is_err() {
            return Err("the guest threads are gone".to_owned());
        }
        result.await.unwrap_or_else(|_| Err("the guest thread is gone".to_owned()))
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(count: usize) -> Threads {
        Threads::start(count, 1 << 20, Room::within(u64::MAX)).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_reported_and_the_thread_goes_on() {
        let threads = started(1);
        let lost: Result<(), String> = threads.run(Need::NOTHING, || panic!("oh no")).await;
        assert_eq!(lost, Err("oh no".to_owned()));
        assert_eq!(threads.run(Need::NOTHING, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn jobs_run_on_threads_of_their_own_and_in_their_callers_span() {
        let threads = started(2);
        let name = threads.run(Need::NOTHING, || std::thread::current().name().map(str::to_owned)).await.unwrap();
        assert!(name.is_some_and(|name| name.starts_with("guest-")));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_long_job_makes_way_and_its_thread_is_not_used_again() {
        let threads = Arc::new(started(1));
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
        // The only thread is busy, and yet there is one for the next job, as fast as the first was.
        assert_eq!(threads.run(Need::NOTHING, niceness).await, Ok(ordinary));
        release.send(()).unwrap();
        long.await.unwrap().unwrap();
        for _ in 0..10 {
            assert_eq!(threads.run(Need::NOTHING, niceness).await, Ok(ordinary));
        }
    }
}
