//! Compiling in a process of its own, with caps on time and memory: what takes the compiler down takes the worker down.
//!
//! The worker writes into the compile cache that the host reads from, so that no machine code goes another way than wasmtime's own.
//! Does not look for it there: the caller knows whether it has been compiled before.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use engine::pipeline::plan::Limits;
use engine::seams::plugin::LoadError;
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;

use super::{WorkerProgram, ending, frames, lockdown};
use crate::engines::{Engines, Kind};
use crate::fault::bytes;
use crate::inspect::refused;

/// How much longer by the clock than by the processor's time: on a busy machine a worker waits its turn.
const PATIENCE: u32 = 10;
/// Bytes of what a worker says that are read.
const MAX_SAID: u64 = 16 << 10;
/// How often a worker is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What compiling may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    time: Duration,
    memory: u64,
}

impl Caps {
    pub(crate) fn of(limits: &Limits) -> Self {
        Caps { time: limits.compile_time, memory: limits.compile_memory }
    }
}

#[derive(Serialize, Deserialize)]
struct Job {
    cache: PathBuf,
    kind: Kind,
    component: Vec<u8>,
}

/// Compiles `component` into the cache, in a process of its own.
///
/// # Errors
/// P011 the compiler refuses it, P014 it takes more than `caps`, P900 there is no worker to be had.
pub(crate) fn compile(
    program: &WorkerProgram,
    cache: &Path,
    kind: Kind,
    caps: Caps,
    component: &[u8],
) -> Result<(), LoadError> {
    let started = Instant::now();
    let seconds = caps.time.as_millis().div_ceil(1_000).max(1);
    let mut command = program.command("compile");
    command.arg(seconds.to_string()).arg(caps.memory.to_string()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| broken(&error))?;
    let job = Job { cache: cache.to_owned(), kind, component: component.to_vec() };
    let input = child.stdin.take();
    let ended = std::thread::scope(|scope| {
        // A worker that dies does not read to the end; what it ends with says why.
        scope.spawn(move || input.map(|mut input| frames::write(&mut input, &job)));
        wait(&mut child, started + caps.time * PATIENCE)
    });
    let (said, complaint) = (text(child.stdout.take()), text(child.stderr.take()));
    let status = ended.map_err(|error| broken(&error))?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) if status.code() == Some(1) => Err(not_compiled(&said)),
        status => Err(too_costly(caps, started.elapsed(), status.map(ending), complaint.trim())),
    }
}

fn broken(error: &std::io::Error) -> LoadError {
    refused("P900", format!("cannot start a worker to compile in: {error}"), "")
}

/// The error of a component that the compiler does not take.
pub(crate) fn not_compiled(why: &str) -> LoadError {
    // wasmtime counts instances, tables and memories when it has all modules together, and says so in this error alone.
    if why.contains("exceeds the configured maximum") {
        let message =
            format!("component needs more than a plugin may have: {}", why.replace(" in the pooling allocator", ""));
        return refused("P012", message, "link it from fewer modules: `sluicebox plugin build` makes one");
    }
    let hint = "it may use a WebAssembly feature that plugins must not use";
    refused("P011", format!("component cannot be compiled: {why}"), hint)
}

fn too_costly(caps: Caps, used: Duration, ending: Option<String>, complaint: &str) -> LoadError {
    let ending = ending.unwrap_or_else(|| "was still at it".to_owned());
    let mut message = format!(
        "component costs too much to compile: limits {:?} of processor time and {}, the compiler {ending} after {used:.2?}",
        caps.time,
        bytes(caps.memory)
    );
    if let Some(line) = complaint.lines().next() {
        message.push_str(&format!(" ({line})"));
    }
    let hint = "leave out what the plugin does not use, or raise `compile_time` or `compile_memory` under `[limits]`";
    refused("P014", message, hint)
}

/// `None` if it had to be ended.
fn wait(child: &mut Child, until: Instant) -> std::io::Result<Option<std::process::ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

fn text(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // Whatever cannot be read is not said.
    let _ = from.map(|from| from.take(MAX_SAID).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The worker's side: caps first, then the component.
pub(super) fn serve(seconds: u64, memory: u64) -> u8 {
    if let Err(error) = lockdown::cap(Some(seconds), memory) {
        return failed(&format!("cannot cap itself: {error}"));
    }
    let most = Limits::MAX_COMPONENT + (64 << 10);
    let job = match frames::read::<Job>(&mut std::io::stdin().lock(), most) {
        Ok(Some(job)) => job,
        Ok(None) => return failed("there is nothing to compile"),
        Err(error) => return failed(&error.to_string()),
    };
    let engines = Engines::new(Some(job.cache), 1, None);
    let engine = match engines.and_then(|engines| engines.get(job.kind)) {
        Ok(engine) => engine,
        Err(error) => return failed(&format!("{error:#}")),
    };
    match Component::from_binary(&engine, &job.component) {
        Ok(_) => 0,
        Err(error) => failed(&format!("{error:#}")),
    }
}

/// Says why on stdout, which is read only after the end: no more than a pipe takes.
fn failed(why: &str) -> u8 {
    let end = why.floor_char_boundary(4096);
    let _ = std::io::stdout().lock().write_all(why.get(..end).unwrap_or_default().as_bytes());
    1
}
