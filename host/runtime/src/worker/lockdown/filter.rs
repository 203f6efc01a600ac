//! The filter on system calls: what a locked worker may still ask the kernel for.
//!
//! Does not say when it is installed: `lockdown` does.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

/// Calls that pass with any arguments.
const ALLOWED: &[i64] = &[
    // Memory. Executable memory is checked, see `install`.
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

/// Installs the filter, for all threads and for good.
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
    // A filter cannot see what `clone3` makes. If that call is missing, the C library makes threads with `clone`.
    allowed.insert(libc::SYS_clone3, Vec::new());
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    apply(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), absent, SeccompAction::Allow)?;
    // Last: after this no filter can be installed, either.
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
