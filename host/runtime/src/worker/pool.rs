//! The workers of one plugin: started when they are needed, kept while they live, replaced when they die.
//!
//! Does not try a call again: a worker's death is the fault of the call that it was running.

use std::io;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pipeline::plan::Limits;
use seams::plugin::{Descriptor, Digest, Fault, FaultKind, LoadError};
use tokio::sync::Semaphore;

use super::frames;
use super::program::{WorkerProgram, ending};
use super::wire::{Load, Output, Ready, Reply, Request, unlike};
use crate::descriptor::MAX_DESCRIPTION;
use crate::fault::{bytes, fault, host_fault, refused};
use crate::log::{self, Told};

/// Most workers of one plugin at once.
const MOST: usize = 4;
/// The time that a worker gets beyond its plugin's own deadlines before it counts as hung.
const GRACE: Duration = Duration::from_secs(10);

/// One plugin's workers.
pub(super) struct Pool {
    program: WorkerProgram,
    load: Load,
    code: Vec<u8>,
    digest: Digest,
    /// For log lines.
    name: String,
    idle: Mutex<Vec<Worker>>,
    /// One for each call that may run.
    pub(super) permits: Semaphore,
}

struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already; waiting leaves nothing of it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The reason for a missing answer.
enum Lost {
    /// The time is over.
    Hung(Duration),
    /// The process ended, as described.
    Ended(String),
    /// It sent what no worker sends.
    Nonsense(io::Error),
}

impl Pool {
    /// Starts the first worker, which returns the plugin's description.
    pub(super) fn start(program: WorkerProgram, load: Load, code: Vec<u8>) -> Result<(Self, Descriptor), LoadError> {
        let digest = Digest::of(&load.component);
        let (worker, descriptor) = Worker::start(&program, &load, &code)?;
        let name = seams::plugin::plugin_name(&descriptor.name, digest.as_str());
        let (idle, permits) = (Mutex::new(vec![worker]), Semaphore::new(MOST));
        Ok((Pool { program, load, code, digest, name, idle, permits }, descriptor))
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// One call. Blocks: must be called on a guest thread, by a holder of a permit.
    pub(super) fn call(&self, request: &Request) -> Result<Output, Fault> {
        let mut worker = self.worker()?;
        let limits = &self.load.limits;
        let most = limits.output.saturating_mul(2).saturating_add(16 << 20);
        let answered = worker.exchange::<_, Reply>(request, None, limits.deadline.saturating_add(GRACE), most);
        let reply = match answered {
            Ok(reply) => reply,
            Err(lost) => return Err(lost.fault(limits.deadline, most)),
        };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        self.tell(reply.told);
        reply.outcome.map_err(Fault::from)
    }

    /// Passes on a worker's log, as long as it is no longer than a healthy worker's.
    fn tell(&self, all: Vec<Told>) {
        let mut left = usize::try_from(self.load.limits.log).unwrap_or(usize::MAX).saturating_add(64 << 10);
        for told in all.into_iter().map(Told::inert) {
            let Some(rest) = left.checked_sub(told.len() + 1) else { break };
            left = rest;
            log::tell(&self.name, self.digest.as_str(), told);
        }
    }

    /// The limits of its calls.
    pub(super) fn limits(&self) -> &Limits {
        &self.load.limits
    }

    /// A live worker: an idle one, or a new one.
    fn worker(&self) -> Result<Worker, Fault> {
        while let Some(mut worker) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            if worker.child.try_wait().is_ok_and(|status| status.is_none()) {
                return Ok(worker);
            }
        }
        let started = Worker::start(&self.program, &self.load, &self.code);
        started.map(|(worker, _)| worker).map_err(|error| host_fault(format!("cannot start a worker process: {error}")))
    }
}

impl Worker {
    fn start(program: &WorkerProgram, load: &Load, code: &[u8]) -> Result<(Self, Descriptor), LoadError> {
        let broken = |why: String| refused("P900", format!("cannot start a worker process: {why}"), "");
        let spawned = program.command("serve").stderr(Stdio::null()).spawn();
        let mut child = spawned.map_err(|error| broken(error.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(broken("it has no stdin or stdout".to_owned()));
        };
        let mut worker = Worker { child, input, output };
        // It describes the plugin twice, and configures it.
        let limit = load.limits.deadline * 4 + GRACE;
        let most = 2 * MAX_DESCRIPTION as u64;
        let ready = worker.exchange::<_, Ready>(load, Some(code), limit, most).map_err(|lost| match lost {
            Lost::Hung(limit) => broken(format!("it was not ready within {limit:?}")),
            Lost::Ended(how) => refused("P180", format!("worker process {how} while it loaded the plugin"), ""),
            Lost::Nonsense(error) => broken(error.to_string()),
        })?;
        Ok((worker, ready.loaded(load.world)?))
    }

    /// Sends one frame, and a second one with bytes if there are `more`, and waits for one, at most `limit`; then it kills the worker.
    fn exchange<Q, A>(&mut self, request: &Q, more: Option<&[u8]>, limit: Duration, most: u64) -> Result<A, Lost>
    where
        Q: serde::Serialize,
        A: serde::de::DeserializeOwned,
    {
        let Worker { child, input, output } = self;
        let (done, waiting) = channel::<()>();
        let (answered, hung) = std::thread::scope(|scope| {
            let child = &mut *child;
            let guard = scope.spawn(move || {
                let late = waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
                late && child.kill().is_ok()
            });
            let sent = frames::write(input, request)
                .and_then(|()| more.map_or(Ok(()), |bytes| frames::write_bytes(input, bytes)));
            let answered = sent.and_then(|()| frames::read::<A>(output, most));
            drop(done);
            (answered, guard.join().unwrap_or(false))
        });
        match answered {
            _ if hung => Err(Lost::Hung(limit)),
            Ok(Some(answer)) => Ok(answer),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge) => {
                Err(Lost::Nonsense(error))
            }
            // Both its ends are closed, so it has ended or is about to.
            Ok(None) | Err(_) => Err(Lost::Ended(child.wait().map_or_else(|error| error.to_string(), ending))),
        }
    }
}

impl Lost {
    fn fault(self, deadline: Duration, most: u64) -> Fault {
        match self {
            Lost::Hung(used) => {
                let message = format!(
                    "plugin went over its limit: deadline {deadline:?}, its worker process did not answer within {used:?}"
                );
                fault(FaultKind::Deadline, "P104", message)
            }
            Lost::Ended(how) => {
                fault(FaultKind::Trap, "P180", format!("worker process {how} in the middle of the call"))
            }
            Lost::Nonsense(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                unlike(&format!("more than {}", bytes(most)))
            }
            Lost::Nonsense(error) => unlike(&error.to_string()),
        }
    }
}
