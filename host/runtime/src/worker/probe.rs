//! The worker that locks itself down and prints what it can still do: a line for each attempt, with its result.
//!
//! Does not judge the results. Other systems than Linux have only the caps: there is nothing to try.

use std::io::{self, Write as _};

#[cfg(target_os = "linux")]
use super::lockdown::{cap, lock};

/// The same on every processor; not every library has a name for it.
#[cfg(target_os = "linux")]
const FCHMODAT2: i64 = 452;
/// A call that Linux does not have yet.
#[cfg(target_os = "linux")]
const OF_THE_FUTURE: i64 = 4_000;

/// Locks itself down, tries what no worker may do, and prints a line for each attempt, with its result.
#[cfg(target_os = "linux")]
pub(super) fn probe() -> u8 {
    let mut out = io::stdout().lock();
    let capped = cap(None, 1 << 30).map(|()| handles());
    let handles = match capped.and_then(|handles| lock().map(|()| handles)) {
        Ok(handles) => handles,
        Err(error) => {
            let _ = writeln!(out, "lock: {error}");
            return 1;
        }
    };
    let _ = writeln!(out, "handles of the host: {handles}");
    let got = |result: io::Result<()>| result.map_or_else(|error| error.to_string(), |()| "DONE".to_owned());
    for (what, result) in tried().into_iter().chain(calls()) {
        let _ = writeln!(out, "{what}: {}", got(result));
    }
    0
}

/// Attempts through the library.
#[cfg(target_os = "linux")]
fn tried() -> [(&'static str, io::Result<()>); 8] {
    [
        ("connect", std::net::TcpStream::connect("127.0.0.1:9").map(drop)),
        ("listen", std::net::TcpListener::bind("127.0.0.1:0").map(drop)),
        ("read a file", std::fs::File::open("/etc/passwd").map(drop)),
        ("write a file", std::fs::write("worker-was-here", "")),
        ("remove a file", std::fs::remove_file("worker-was-here")),
        ("list a folder", std::fs::read_dir("/").map(drop)),
        ("run a program", std::process::Command::new("/bin/true").spawn().map(drop)),
        ("start a thread", std::thread::Builder::new().spawn(|| ()).map(|thread| drop(thread.join()))),
    ]
}

/// Attempts through the kernel itself.
#[cfg(target_os = "linux")]
fn calls() -> [(&'static str, io::Result<()>); 18] {
    let code = libc::PROT_READ | libc::PROT_EXEC;
    [
        ("tgkill", asked(libc::SYS_tgkill, [0; 6])),
        ("kill", asked(libc::SYS_kill, [0; 6])),
        ("rt_sigqueueinfo", asked(libc::SYS_rt_sigqueueinfo, [0; 6])),
        ("rt_tgsigqueueinfo", asked(libc::SYS_rt_tgsigqueueinfo, [0; 6])),
        ("fchmodat2", asked(FCHMODAT2, [0; 6])),
        ("utimensat", asked(libc::SYS_utimensat, [0; 6])),
        ("setxattr", asked(libc::SYS_setxattr, [0; 6])),
        ("ptrace", asked(libc::SYS_ptrace, [0; 6])),
        ("process_vm_writev", asked(libc::SYS_process_vm_writev, [0; 6])),
        ("io_uring_setup", asked(libc::SYS_io_uring_setup, [0; 6])),
        ("bpf", asked(libc::SYS_bpf, [0; 6])),
        ("userfaultfd", asked(libc::SYS_userfaultfd, [0; 6])),
        ("memfd_create", asked(libc::SYS_memfd_create, [0; 6])),
        ("ioctl", asked(libc::SYS_ioctl, [0; 6])),
        ("a call of the future", asked(OF_THE_FUTURE, [0; 6])),
        (
            "map code",
            asked(libc::SYS_mmap, [0, 4_096, code.into(), (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS).into(), -1, 0]),
        ),
        ("make data code", asked(libc::SYS_mprotect, [0, 0, code.into(), 0, 0, 0])),
        ("make data code, by key", asked(libc::SYS_pkey_mprotect, [0, 0, code.into(), -1, 0, 0])),
    ]
}

/// Handles that are open beside stdin, stdout and stderr.
#[cfg(target_os = "linux")]
fn handles() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // The folder that is being listed is one itself.
    numbers.filter(|number| *number > 2).count().saturating_sub(1)
}

/// Asks the kernel for something directly.
#[cfg(target_os = "linux")]
fn asked(call: i64, arguments: [i64; 6]) -> io::Result<()> {
    let [a, b, c, d, e, f] = arguments;
    #[allow(unsafe_code, reason = "to see what the kernel refuses one has to ask for it")]
    // SAFETY: no argument is an address of anything: null pointers and empty ranges are refused or do nothing, and memory that would be
    // mapped belongs to no object.
    let answer = unsafe { libc::syscall(call, a, b, c, d, e, f) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// There is nothing to try: other systems have only the caps.
#[cfg(not(target_os = "linux"))]
pub(super) fn probe() -> u8 {
    let _ = writeln!(io::stdout().lock(), "this system has no filter on system calls");
    1
}
