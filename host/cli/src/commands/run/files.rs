//! How many files this process may have open: as many as the system allows, since a lake, its queue and its services need several at once.
//!
//! Does not count them.

use crate::context::Context;

/// No pipeline needs more, and some libraries walk through all possible file numbers.
const ENOUGH: u64 = 1 << 16;
/// With fewer there is a warning that a pipeline may rest for want of them.
const FEW: u64 = 256;
/// One file in so many may go to connections at `--listen`, within these bounds.
const SHARE: u64 = 8;
const ASKERS: (u64, u64) = (4, 64);

/// Raises the limit to what the system allows, and warns if that is little.
pub(super) fn keep_some(context: &Context) -> anyhow::Result<()> {
    let Some(most) = raise() else { return Ok(()) };
    if most < FEW {
        context.output.notice(&format!(
            "warning: this process may have {most} files open, a busy pipeline takes up to {FEW}: without one left it rests\n  hint: raise \
             the hard limit of open files (`ulimit -Hn`, `LimitNOFILE`, `nofile`)"
        ))?;
    }
    Ok(())
}

/// How many connections may be open at once at `--listen`: the pipelines cannot have those files.
pub(super) fn askers() -> usize {
    let most = limit().map_or(ASKERS.1, |most| (most / SHARE).clamp(ASKERS.0, ASKERS.1));
    usize::try_from(most).unwrap_or(usize::MAX)
}

#[cfg(unix)]
fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if now.current.is_some_and(|current| current < wanted) {
        // If the system refuses, the present limit has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum });
    }
    limit()
}

#[cfg(unix)]
fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(unix))]
fn raise() -> Option<u64> {
    None
}

#[cfg(not(unix))]
fn limit() -> Option<u64> {
    None
}
