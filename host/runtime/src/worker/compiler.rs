//! The worker that compiles one component: caps itself, takes the component, gives up its rights, and hands the code over on its stdout.
//!
//! Does not write anything anywhere else, nor keep what it has made.

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
    // There is nobody left to tell.
    if out.write_all(&code).and_then(|()| out.flush()).is_ok() { 0 } else { 2 }
}

/// What serves goes before what may serve next: somebody who publishes again and again must not hold up work. Still far from the lowest
/// priority, so that the compiler comes to its end on a busy machine.
fn make_way() {
    #[cfg(unix)]
    {
        const NICENESS: i32 = 10;
        // Where the system does not let it, it is as fast as the rest.
        let _ = rustix::process::setpriority_process(None, NICENESS);
    }
}

/// Says why on stdout, in few words.
fn failed(why: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(words(why).as_bytes()).and_then(|()| out.flush());
    1
}
