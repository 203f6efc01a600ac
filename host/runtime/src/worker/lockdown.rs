//! What a worker takes away from itself: room first, and rights before anything runs that was not written here.
//!
//! On Linux a filter lets a short list of system calls pass: memory, threads, time, and what reads and writes stdin and stdout. Every other
//! one is refused, also those that there will be. Memory cannot be made executable any more. On other systems there are only the caps.
//! Does not hide what the worker has open already: stdin, stdout and stderr.

#[cfg(target_os = "linux")]
mod filter;

use std::io;

/// Caps on memory that can be written to and on processor time; no core dumps, which would hold what the plugin was given; no handle of
/// the host's.
#[cfg(unix)]
pub(super) fn cap(seconds: Option<u64>, memory: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    #[cfg(target_os = "linux")]
    close_inherited()?;
    let set = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    set(Resource::Core, 0)?;
    set(Resource::Data, memory)?;
    set(Resource::Nofile, 64)?;
    if let Some(seconds) = seconds {
        set(Resource::Cpu, seconds)?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn cap(_seconds: Option<u64>, _memory: u64) -> io::Result<()> {
    Ok(())
}

/// Closes what the host left open by mistake: the host's own handles close when a program starts, a library's may not.
#[cfg(target_os = "linux")]
fn close_inherited() -> io::Result<()> {
    #[allow(unsafe_code, reason = "handles without an owner can be closed in no other way")]
    // SAFETY: a worker begins with this; it has opened nothing itself yet, so none of its own handles is closed here.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    match closed {
        0 => Ok(()),
        // Linux before 5.9 has no such call.
        _ => Some(io::Error::last_os_error())
            .filter(|error| error.raw_os_error() != Some(libc::ENOSYS))
            .map_or(Ok(()), Err),
    }
}

/// Gives up every right that a worker does not need to compute and to answer. For good, and for all its threads.
pub(crate) fn lock() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: Some(0) })?;
    }
    #[cfg(target_os = "linux")]
    filter::install()?;
    Ok(())
}
