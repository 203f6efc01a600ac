//! The worker that compiles one component: caps itself, takes the component, gives up its rights, and writes the code to stdout.
//!
//! Does not write anything anywhere else, nor keep the code.

use std::io::Write;

use pipeline::plan::Limits;
use seams::foreign::words;

use super::compile::Job;
use super::{frames, lockdown};
use crate::engines::Engines;
use crate::kept::Kept;

/// The worker's side: caps first, then the component, then no rights any more, then the compiler.
pub(super) fn serve(seconds: u64, memory: u64) -> u8 {
    if let Err(error) = lockdown::cap(Some(seconds), memory) {
        return failed(&format!("cannot cap itself: {error}"));
    }
    make_way();
    let most = Limits::MAX_COMPONENT + (64 << 10);
    let job = match frames::read::<Job>(&mut std::io::stdin().lock(), most) {
        Ok(Some(job)) => job,
        Ok(None) => return failed("there is nothing to compile"),
        Err(error) => return failed(&error.to_string()),
    };
    let engine = match Engines::new(Kept::default(), 1, None).get(job.kind) {
        Ok(engine) => engine,
        Err(error) => return failed(&format!("{error:#}")),
    };
    if let Err(error) = lockdown::lock() {
        return failed(&format!("cannot lock itself down: {error}"));
    }
    let code = match engine.precompile_component(&job.component) {
        Ok(code) => code,
        Err(error) => return failed(&format!("{error:#}")),
    };
    let mut out = std::io::stdout().lock();
    // The host is gone: there is nowhere to report it.
    if out.write_all(&code).and_then(|()| out.flush()).is_ok() { 0 } else { 2 }
}

/// Plugins that serve go before one that may serve next: frequent publishing must not hold up work. Still far from the lowest
/// priority, so that the compiler finishes on a busy machine.
fn make_way() {
    #[cfg(unix)]
    {
        const NICENESS: i32 = 10;
        // If the system refuses, it competes like all others.
        let _ = rustix::process::setpriority_process(None, NICENESS);
    }
}

/// Writes the reason to stdout, briefly.
fn failed(why: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(words(why).as_bytes()).and_then(|()| out.flush());
    1
}
