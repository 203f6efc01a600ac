//! How much memory a call may take, and how much there is for this process.
//!
//! Does not make a job wait: `turns` does.

use pipeline::plan::Limits;

use crate::descriptor::MAX_DESCRIPTION;

/// Bytes that a job may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need(u64);

impl Need {
    /// A negligible amount.
    pub(crate) const NOTHING: Need = Need(0);

    /// That many bytes.
    #[cfg(test)]
    pub(crate) const fn of_bytes(bytes: u64) -> Self {
        Need(bytes)
    }

    pub(crate) fn bytes(self) -> u64 {
        self.0
    }

    /// For loading a plugin: its start, and its description.
    pub(crate) fn of_load(limits: &Limits) -> Self {
        Need(limits.memory.saturating_add(4 * MAX_DESCRIPTION as u64))
    }

    /// For a call with that many bytes of input: the guest's memory, its output as received and as kept, and its input in
    /// two forms.
    pub(crate) fn of_call(limits: &Limits, given: usize) -> Self {
        Need::of(limits, given, 2)
    }

    /// For a call in a worker: the same there, and input and output in the forms that they have in transit.
    pub(crate) fn of_remote_call(limits: &Limits, given: usize) -> Self {
        Need::of(limits, given, 5)
    }

    fn of(limits: &Limits, given: usize, forms: u64) -> Self {
        let handed = limits.output.saturating_add(u64::try_from(given).unwrap_or(u64::MAX));
        Need(limits.memory.saturating_add(handed.saturating_mul(forms)))
    }
}

/// Bytes of memory that this process has now.
#[cfg(target_os = "linux")]
pub(crate) fn resident() -> Option<u64> {
    kib_of("/proc/self/status", "VmRSS:")
}

/// The size in bytes that a line of a kernel file reports in KiB.
#[cfg(target_os = "linux")]
fn kib_of(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// Not known here: only the guests' limits count.
#[cfg(not(target_os = "linux"))]
pub(crate) fn resident() -> Option<u64> {
    None
}

/// Three quarters of the memory for this process: of its control groups' limits, or of the machine's memory. `u64::MAX` if neither
/// is known.
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

    #[test]
    #[cfg(target_os = "linux")]
    fn the_machine_says_what_there_is() {
        assert!(default_limit() < u64::MAX && default_limit() > 64 << 20);
        assert!(resident().is_some_and(|bytes| bytes > 1 << 16));
    }
}
