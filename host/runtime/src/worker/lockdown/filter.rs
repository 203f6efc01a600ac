//! The filter on system calls: what a locked worker may still ask the kernel for, and a look at what it gets.
//!
//! Does not say when it is installed: `lockdown` does.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

/// What passes whatever its arguments are.
const ALLOWED: &[i64] = &[
    // Memory. What becomes executable is looked at, see `install`.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Frames.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    // Threads, and waiting for each other.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Traps of a guest are signals that the runtime takes.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getcpu,
    libc::SYS_getrandom,
];

/// Makes the filter hold, for all threads and for good.
pub(super) fn install() -> io::Result<()> {
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let bit = |bit: i32| u64::from(bit.unsigned_abs());
    // Code has been published before: nothing else becomes code.
    let not_code = || masked(2, bit(libc::PROT_EXEC), 0);
    allowed.insert(libc::SYS_mmap, vec![not_code()?]);
    allowed.insert(libc::SYS_mprotect, vec![not_code()?]);
    // Threads, and no processes.
    allowed.insert(libc::SYS_clone, vec![masked(0, bit(libc::CLONE_THREAD), bit(libc::CLONE_THREAD))?]);
    // A thread's name.
    allowed.insert(libc::SYS_prctl, vec![rule(0, SeccompCmpOp::Eq, bit(libc::PR_SET_NAME))?]);
    // Its own priority alone, which can only become less.
    let itself = [is(0, SeccompCmpOp::Eq, 0)?, is(1, SeccompCmpOp::Eq, 0)?];
    allowed.insert(libc::SYS_setpriority, vec![SeccompRule::new(itself.into()).map_err(io::Error::other)?]);
    // What `clone3` makes cannot be seen by a filter. Told that there is none, the C library makes threads by `clone`.
    allowed.insert(libc::SYS_clone3, Vec::new());
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    apply(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), absent, SeccompAction::Allow)?;
    // Last: filters are no more to be had then, either.
    apply(allowed, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM.unsigned_abs()))
}

fn masked(argument: u8, mask: u64, value: u64) -> io::Result<SeccompRule> {
    rule(argument, SeccompCmpOp::MaskedEq(mask), value)
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompRule> {
    SeccompRule::new(vec![is(argument, operator, value)?]).map_err(io::Error::other)
}

fn is(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(io::Error::other)
}

/// `listed` is the answer to the calls that are listed, `others` to all others.
fn apply(calls: BTreeMap<i64, Vec<SeccompRule>>, listed: SeccompAction, others: SeccompAction) -> io::Result<()> {
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(calls, others, listed, arch).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    apply_filter_all_threads(&program).map_err(io::Error::other)
}

/// The same on every processor; not every library has a name for it.
const FCHMODAT2: i64 = 452;
/// A call that Linux does not have yet.
const OF_THE_FUTURE: i64 = 4_000;

/// Locks itself down, tries what no worker may, and prints a line for each: what it tried, and what it got.
pub(in crate::worker) fn probe() -> u8 {
    let mut out = io::stdout().lock();
    let capped = super::cap(None, 1 << 30).map(|()| handles());
    let handles = match capped.and_then(|handles| super::lock().map(|()| handles)) {
        Ok(handles) => handles,
        Err(error) => {
            let _ = writeln!(out, "lock: {error}");
            return 1;
        }
    };
    let got = |result: io::Result<()>| result.map_or_else(|error| error.to_string(), |()| "DONE".to_owned());
    let _ = writeln!(out, "handles of the host: {handles}");
    let tried = [
        ("connect", got(std::net::TcpStream::connect("127.0.0.1:9").map(drop))),
        ("listen", got(std::net::TcpListener::bind("127.0.0.1:0").map(drop))),
        ("read a file", got(std::fs::File::open("/etc/passwd").map(drop))),
        ("write a file", got(std::fs::write("worker-was-here", ""))),
        ("remove a file", got(std::fs::remove_file("worker-was-here"))),
        ("list a folder", got(std::fs::read_dir("/").map(drop))),
        ("run a program", got(std::process::Command::new("/bin/true").spawn().map(drop))),
        ("start a thread", got(std::thread::Builder::new().spawn(|| ()).map(|thread| drop(thread.join())))),
    ];
    let code = libc::PROT_READ | libc::PROT_EXEC;
    let calls = [
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
    ];
    for (what, result) in tried.into_iter().chain(calls.map(|(what, result)| (what, got(result)))) {
        let _ = writeln!(out, "{what}: {result}");
    }
    0
}

/// Handles that are open beside stdin, stdout and stderr.
fn handles() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // The folder that is being looked at is one itself.
    numbers.filter(|number| *number > 2).count().saturating_sub(1)
}

/// Asks the kernel for something directly.
fn asked(call: i64, arguments: [i64; 6]) -> io::Result<()> {
    let [a, b, c, d, e, f] = arguments;
    #[allow(unsafe_code, reason = "to see what the kernel refuses one has to ask for it")]
    // SAFETY: no argument is an address of anything: null pointers and empty ranges are refused or do nothing, and memory that would be
    // mapped is nobody's.
    let answer = unsafe { libc::syscall(call, a, b, c, d, e, f) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
