//! The threads that guests run on: a fixed number, apart from the reactor, with stacks large enough for any guest's.
//!
//! Does not interrupt a job: a guest's own deadline does. A job that nobody waits for any more is not begun.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The host's frames below and above a guest's: generous, because running out of it ends the process.
const HOST_STACK: usize = 4 << 20;

/// A handle on the threads; they end when the last one is gone.
#[derive(Debug)]
pub(crate) struct Threads {
    jobs: Sender<Job>,
}

impl Threads {
    /// Starts `count` threads for guests of at most `guest_stack` bytes of stack.
    pub(crate) fn start(count: usize, guest_stack: usize) -> std::io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name(format!("guest-{number}")).stack_size(guest_stack + HOST_STACK).spawn(
                move || {
                    while let Some(job) = next(&queue) {
                        job()
                    }
                },
            )?;
        }
        Ok(Threads { jobs })
    }

    /// Runs `work` on one of the threads and waits for it. `Err` holds the text of a panic.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, String>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let span = tracing::Span::current();
        let job = Box::new(move || {
            if done.is_closed() {
                return;
            }
            let outcome =
                span.in_scope(|| catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panic_text(&*payload)));
            // Nobody may be waiting any more; then the result is of no use to anybody.
            drop(done.send(outcome));
        });
        if self.jobs.send(job).is_err() {
            return Err("the guest threads are gone".to_owned());
        }
        result.await.unwrap_or_else(|_| Err("the guest thread is gone".to_owned()))
    }
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_and_the_thread_goes_on() {
        let threads = Threads::start(1, 1 << 20).unwrap();
        let lost: Result<(), String> = threads.run(|| panic!("oh no")).await;
        assert_eq!(lost, Err("oh no".to_owned()));
        assert_eq!(threads.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn jobs_run_on_threads_of_their_own_and_in_their_callers_span() {
        let threads = Threads::start(2, 1 << 20).unwrap();
        let name = threads.run(|| std::thread::current().name().map(str::to_owned)).await.unwrap();
        assert!(name.is_some_and(|name| name.starts_with("guest-")));
    }
}
