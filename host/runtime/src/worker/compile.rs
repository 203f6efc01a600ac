//! Compiling in a process of its own, with caps on time and memory: a crash of the compiler only ends the worker.
//!
//! The host's side. Does not compile (`compiler` does, in the worker), and does not know what is kept: the caller does.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use pipeline::plan::Limits;
use seams::foreign::words;
use seams::plugin::LoadError;
use serde::{Deserialize, Serialize};

use super::frames;
use super::program::{WorkerProgram, ending};
use crate::engines::Kind;
use crate::fault::{bytes, refused};

/// How much longer by the clock than by the processor's time: on a busy machine a worker waits its turn.
const PATIENCE: u32 = 10;
/// Most bytes that are read of a worker's message.
const MAX_SAID: u64 = 16 << 10;
/// How often a worker is checked.
const LOOK: Duration = Duration::from_millis(2);

/// The caps of compiling.
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

/// The component to compile, and its kind of engine.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) component: Vec<u8>,
}

/// The code that `component` compiles to, made in a process of its own.
///
/// # Errors
/// P011 the compiler refuses it, P014 it takes more than `caps`, P900 no worker can be started.
pub(crate) fn compile(program: &WorkerProgram, kind: Kind, caps: Caps, component: &[u8]) -> Result<Vec<u8>, LoadError> {
    let started = Instant::now();
    let seconds = caps.time.as_millis().div_ceil(1_000).max(1);
    let mut command = program.command("compile");
    command.arg(seconds.to_string()).arg(caps.memory.to_string()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| broken(&error))?;
    let job = Job { kind, component: component.to_vec() };
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (ended, said) = std::thread::scope(|scope| {
        // A worker that dies does not read to the end; what it ends with says why.
        scope.spawn(move || input.map(|mut input| frames::write(&mut input, &job)));
        // Its output cannot exceed its cap on memory.
        let said = scope.spawn(move || read(output, caps.memory));
        (wait(&mut child, started + caps.time * PATIENCE), said.join().unwrap_or_default())
    });
    let complaint = text(child.stderr.take());
    let status = ended.map_err(|error| broken(&error))?;
    match status {
        Some(status) if status.success() => Ok(said),
        Some(status) if status.code() == Some(1) => Err(not_compiled(&words(&String::from_utf8_lossy(&said)))),
        status => Err(too_costly(caps, started.elapsed(), status.map(ending), complaint.trim())),
    }
}

fn broken(error: &std::io::Error) -> LoadError {
    refused("P900", format!("cannot start a worker to compile in: {error}"), "")
}

/// The error of a component that the compiler refuses.
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
    String::from_utf8_lossy(&read(from, MAX_SAID)).into_owned()
}

/// All of it, up to that many bytes. A read error ends it silently.
fn read(from: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.map(|from| from.take(most).read_to_end(&mut bytes));
    bytes
}
