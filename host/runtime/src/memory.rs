//! Memory for guests: one limit for the whole process, out of which each call takes its most before it begins.
//!
//! A call that finds no room waits on its guest thread, and fails for nothing. While the process as a whole stands near its limit, calls go
//! one at a time: whatever else has grown, what is under way comes to an end.
//!
//! Does not bound what the host keeps of what calls have made: the engine bounds that, by documents, rows and commits. Knows no single
//! plugin.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::pipeline::plan::Limits;

use crate::descriptor::MAX_DESCRIPTION;

/// How often a call that waits for the process to shrink looks again.
const LOOK: Duration = Duration::from_millis(20);
/// For how long a size that was read is believed.
const FRESH: Duration = Duration::from_millis(10);

/// Bytes that a job may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need(u64);

impl Need {
    /// Nothing to speak of.
    #[cfg(test)]
    pub(crate) const NOTHING: Need = Need(0);

    /// For loading a plugin: what it takes to start, and what it says.
    pub(crate) fn of_load(limits: &Limits) -> Self {
        Need(limits.memory.saturating_add(4 * MAX_DESCRIPTION as u64))
    }

    /// For a call that is given so many bytes: the guest's memory, what it returns as it comes and as it is kept, and what it is given in
    /// two forms.
    pub(crate) fn of_call(limits: &Limits, given: usize) -> Self {
        let given = u64::try_from(given).unwrap_or(u64::MAX);
        let returned = limits.output.saturating_mul(2);
        Need(limits.memory.saturating_add(returned).saturating_add(given.saturating_mul(2)))
    }
}

/// The room that there is.
#[derive(Debug)]
pub(crate) struct Room {
    /// Bytes that guests may have together.
    guests: u64,
    /// Bytes of the whole process from which on calls go one at a time.
    high: u64,
    taken: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: u64,
    jobs: usize,
    /// The process's size, and when it was read.
    size: Option<(u64, Instant)>,
}

impl Taken {
    /// Whether the process is larger than `high`.
    fn is_high(&mut self, high: u64) -> bool {
        let known = self.size.filter(|(_, read)| read.elapsed() < FRESH);
        let size = known.map_or_else(resident, |(size, _)| Some(size));
        if known.is_none() {
            self.size = size.map(|size| (size, Instant::now()));
        }
        size.is_some_and(|size| size > high)
    }
}

impl Room {
    /// Room in a process of at most `limit` bytes: three quarters for guests, the rest for the host.
    pub(crate) fn within(limit: u64) -> Self {
        let (guests, high) = (limit / 4 * 3, limit / 8 * 7);
        Room { guests, high, taken: Mutex::default(), freed: Condvar::new() }
    }

    /// Takes what is needed, as soon as it is there. A job that needs more than there is in all has it when it is alone. Blocks.
    pub(crate) fn take(self: &Arc<Self>, need: Need) -> Held {
        let bytes = need.0.min(self.guests);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > 0 {
            while taken.jobs > 0 && (taken.bytes.saturating_add(bytes) > self.guests || taken.is_high(self.high)) {
                taken = self.freed.wait_timeout(taken, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            }
            taken.bytes = taken.bytes.saturating_add(bytes);
            taken.jobs += 1;
        }
        Held { room: Arc::clone(self), bytes }
    }
}

/// Room that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    room: Arc<Room>,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.bytes = taken.bytes.saturating_sub(self.bytes);
        taken.jobs = taken.jobs.saturating_sub(1);
        drop(taken);
        self.room.freed.notify_all();
    }
}

/// Bytes of memory that this process has now.
#[cfg(target_os = "linux")]
fn resident() -> Option<u64> {
    kib_of("/proc/self/status", "VmRSS:")
}

/// Bytes that a line of a file of the kernel's says, in KiB.
#[cfg(target_os = "linux")]
fn kib_of(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// Not known here: what guests may take is all that counts.
#[cfg(not(target_os = "linux"))]
fn resident() -> Option<u64> {
    None
}

/// Three quarters of the memory that there is for this process: of its control groups' limits, or of the machine's. `u64::MAX` where neither
/// can be known.
pub(crate) fn default_limit() -> u64 {
    of_groups().into_iter().chain(of_machine()).min().map_or(u64::MAX, |bytes| bytes / 4 * 3)
}

#[cfg(target_os = "linux")]
fn of_machine() -> Option<u64> {
    kib_of("/proc/meminfo", "MemTotal:")
}

#[cfg(not(target_os = "linux"))]
fn of_machine() -> Option<u64> {
    None
}

/// The limits of this process's control group and of those around it, of either version of control groups.
fn of_groups() -> Vec<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = |line: &str| line.rsplit(':').next().map(|path| path.trim_start_matches('/').to_owned());
    let (mut second, mut first) = (Some(String::new()), None);
    for line in own.lines() {
        if line.starts_with("0::") {
            second = path(line);
        } else if line.split(':').nth(1).is_some_and(|kinds| kinds.split(',').any(|kind| kind == "memory")) {
            first = path(line);
        }
    }
    let around = |root: &str, group: Option<String>, file: &str| {
        let mut at = std::path::Path::new(root).join(group.unwrap_or_default());
        let mut found = Vec::new();
        loop {
            let limit = std::fs::read_to_string(at.join(file)).ok();
            found.extend(limit.and_then(|text| text.trim().parse::<u64>().ok()));
            if at == std::path::Path::new(root) || !at.pop() {
                return found;
            }
        }
    };
    let mut all = around("/sys/fs/cgroup", second, "memory.max");
    all.extend(around("/sys/fs/cgroup/memory", first, "memory.limit_in_bytes"));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    #[test]
    fn calls_wait_for_room_and_never_have_more_than_there_is() {
        let room = Arc::new(Room { high: u64::MAX, ..Room::within(400) });
        let (now, most, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let held = room.take(Need(100));
                        most.fetch_max(now.fetch_add(100, Ordering::SeqCst) + 100, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(100, Ordering::SeqCst);
                        drop(held);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 160);
        assert!(most.load(Ordering::SeqCst) <= 300);
    }

    #[test]
    fn a_call_that_needs_more_than_there_is_has_it_alone() {
        let room = Arc::new(Room::within(400));
        let held = room.take(Need(u64::MAX));
        assert_eq!(held.bytes, 300);
        drop(held);
        drop(room.take(Need::NOTHING));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_is_too_large_goes_on_one_call_at_a_time() {
        let room = Arc::new(Room { guests: 1 << 40, high: 1, ..Room::within(0) });
        let first = room.take(Need(1));
        let (began, begins) = std::sync::mpsc::channel();
        let second = std::thread::spawn({
            let room = Arc::clone(&room);
            move || began.send(room.take(Need(1)).bytes).unwrap()
        });
        assert!(begins.recv_timeout(Duration::from_millis(100)).is_err(), "it waits");
        drop(first);
        assert_eq!(begins.recv(), Ok(1));
        second.join().unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_machine_says_what_there_is() {
        assert!(default_limit() < u64::MAX && default_limit() > 64 << 20);
        assert!(resident().is_some_and(|bytes| bytes > 1 << 16));
    }
}
