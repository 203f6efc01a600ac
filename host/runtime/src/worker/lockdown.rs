//! What a worker takes away from itself: room first, and rights as soon as it needs them no more.
//!
//! On Linux a filter on system calls denies whatever opens, creates, connects, starts, traces or kills; threads and memory stay. On other
//! systems there are only the caps. Does not hide what the worker has open already: stdin, stdout and stderr.

use std::io::{self, Write};

/// Caps on memory that can be written to and on processor time; no core dumps, which would hold what the plugin was given.
#[cfg(unix)]
pub(super) fn cap(seconds: Option<u64>, memory: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
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

/// Gives up every right that a worker does not need to compute and to answer. For good, and for all its threads.
pub(super) fn lock() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: Some(0) })?;
    }
    #[cfg(target_os = "linux")]
    filter::install()?;
    Ok(())
}

#[cfg(target_os = "linux")]
mod filter {
    use std::collections::BTreeMap;
    use std::io;

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        apply_filter_all_threads,
    };

    /// Whatever opens, creates, connects, starts, traces, mounts, loads or reaches into another process.
    const DENIED: &[i64] = &[
        // The network, and what would carry one.
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
        // Files.
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_unlinkat,
        libc::SYS_renameat,
        libc::SYS_renameat2,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_truncate,
        libc::SYS_ftruncate,
        libc::SYS_chdir,
        libc::SYS_fchdir,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_memfd_create,
        libc::SYS_inotify_init1,
        libc::SYS_fanotify_init,
        // Other processes, and other programs in this one.
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_prlimit64,
        libc::SYS_shmget,
        libc::SYS_msgget,
        libc::SYS_semget,
        libc::SYS_mq_open,
        // The kernel's wider doors.
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setresuid,
        libc::SYS_capset,
    ];

    /// The same under their older names, which newer architectures have not.
    #[cfg(target_arch = "x86_64")]
    const DENIED_OLD: &[i64] = &[
        libc::SYS_open,
        libc::SYS_creat,
        libc::SYS_unlink,
        libc::SYS_rmdir,
        libc::SYS_rename,
        libc::SYS_mkdir,
        libc::SYS_mknod,
        libc::SYS_link,
        libc::SYS_symlink,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_lchown,
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_inotify_init,
    ];
    #[cfg(not(target_arch = "x86_64"))]
    const DENIED_OLD: &[i64] = &[];

    pub(super) fn install() -> io::Result<()> {
        let process = SeccompCmpOp::MaskedEq(libc::CLONE_THREAD.unsigned_abs().into());
        let process = SeccompCondition::new(0, SeccompCmpArgLen::Dword, process, 0).map_err(io::Error::other)?;
        let mut denied: BTreeMap<i64, Vec<SeccompRule>> =
            DENIED.iter().chain(DENIED_OLD).map(|call| (*call, Vec::new())).collect();
        // `clone` makes threads, too: only processes are denied.
        denied.insert(libc::SYS_clone, vec![SeccompRule::new(vec![process]).map_err(io::Error::other)?]);
        apply(denied, libc::EPERM)?;
        // What `clone3` makes cannot be seen by a filter; told that there is none, the C library makes threads by `clone`.
        apply(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
    }

    fn apply(calls: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> io::Result<()> {
        let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
        let answer = SeccompAction::Errno(errno.unsigned_abs());
        let filter = SeccompFilter::new(calls, SeccompAction::Allow, answer, arch).map_err(io::Error::other)?;
        let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
        apply_filter_all_threads(&program).map_err(io::Error::other)
    }
}

/// Locks itself down, tries what no worker may, and prints a line for each: what it tried, and what it got.
pub(super) fn probe() -> u8 {
    let mut out = io::stdout().lock();
    if let Err(error) = lock() {
        let _ = writeln!(out, "lock: {error}");
        return 1;
    }
    let got = |result: io::Result<()>| result.map_or_else(|error| error.to_string(), |()| "DONE".to_owned());
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
    for (what, result) in tried {
        let _ = writeln!(out, "{what}: {result}");
    }
    0
}
