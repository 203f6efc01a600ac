//! Worker processes: the same program started again to compile a component, or to run one plugin, in a process that can be lost.
//!
//! A worker has no environment, no credentials, no files and no handles but stdin and stdout, limits of its own on memory, processor time
//! and core dumps, and, on Linux, before the first instruction of a plugin or of the compiler, no system call but the few of a list.
//! Host and worker speak in frames over stdin and stdout; if a worker dies, the call that it was running fails.
//!
//! Does not decide which plugin runs in a worker: `[limits] isolation` does. Is no defence against a plugin that merely computes nonsense.

mod compile;
mod compiler;
mod frames;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod lockdown;
mod pool;
mod probe;
mod program;
mod remote;
mod serve;
mod wire;

use std::ffi::OsString;

pub(crate) use compile::{Caps, compile, not_compiled};
pub(crate) use lockdown::lock;
pub use program::WorkerProgram;
pub(crate) use remote::Remote;

/// Runs as a worker until there is no more work. Returns the exit code.
///
/// `args`: `compile SECONDS BYTES` compiles one component, `serve` runs one plugin, `probe` locks itself down and prints
/// what it can still do.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<String> = args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["compile", seconds, bytes] => match (seconds.parse(), bytes.parse()) {
            (Ok(seconds), Ok(bytes)) => compiler::serve(seconds, bytes),
            _ => 2,
        },
        ["serve"] => serve::serve(),
        ["probe"] => probe::probe(),
        _ => 2,
    }
}
