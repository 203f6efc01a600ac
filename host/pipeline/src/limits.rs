//! What one plugin call may use, and what it may cost to get a component ready: every limit with its default and its hard ceiling.
//!
//! Does not hold what no pipeline can change: how many tables, instances, memories and handles an instance may have are constants of
//! the runtime.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::json::as_millis;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What one plugin call may use. In `pipeline.toml` under `[limits]`, and for one plugin under `limits` of its section.
///
/// | key | bounds | default | least | most |
/// |---|---|---|---|---|
/// | `memory` | linear memory | 128 MiB | 1 MiB | 4 GiB |
/// | `deadline` | wall-clock time of a call | 5 s | 10 ms | 10 min |
/// | `fuel` | instructions of a call | off | 1 million | 1 quadrillion |
/// | `output` | bytes that a call hands over | 64 MiB | 1 KiB | 1 GiB |
/// | `rows` | rows that a call returns | 1,000,000 | 1 | 100 million |
/// | `document_rows` | rows that a cleaner makes of one document | 10,000 | 1 | 10 million |
/// | `document` | bytes of a document that an enricher makes | 4 MiB | 1 KiB | 64 MiB |
/// | `log` | bytes of log of a call | 64 KiB | 0 | 16 MiB |
/// | `stack` | call stack | 1 MiB | 64 KiB | 8 MiB |
/// | `component` | bytes of the component | 16 MiB | 1 KiB | 64 MiB |
/// | `compile_time` | processor time of compiling it | 10 s | 1 s | 5 min |
/// | `compile_memory` | memory of compiling it | 1 GiB | 256 MiB | 8 GiB |
/// | `isolation` | where calls run | `in-process` | | |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of linear memory, summed over all memories of the instance.
    pub memory: u64,
    /// Wall-clock time of one call, instantiation included. For a call that has yielded to others, processor time counts instead, and ten
    /// times as much wall-clock time ends it.
    #[serde(serialize_with = "as_millis", deserialize_with = "from_millis")]
    pub deadline: Duration,
    /// Units of fuel of one call, about one an instruction. The same call costs the same on every machine, but runs slower; `None` counts
    /// no fuel.
    pub fuel: Option<u64>,
    /// Bytes that one call may hand to the host: what it returns, its text and its log lines' text.
    pub output: u64,
    /// Rows that one call may return.
    pub rows: u64,
    /// Rows that a cleaner may make of one document.
    pub document_rows: u64,
    /// Bytes of the document that an enricher makes of one record.
    pub document: u64,
    /// Bytes of log that one call may write; the rest is counted and dropped.
    pub log: u64,
    /// Bytes of the call stack.
    pub stack: u64,
    /// Bytes of the component.
    pub component: u64,
    /// Processor time that compiling the component may take.
    #[serde(serialize_with = "as_millis", deserialize_with = "from_millis")]
    pub compile_time: Duration,
    /// Bytes of memory that compiling the component may take.
    pub compile_memory: u64,
    /// Where calls run.
    pub isolation: Isolation,
}

/// Where a plugin's calls run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In the host's process: between the plugin and the host stand WebAssembly's checks.
    #[default]
    InProcess,
    /// In worker processes without rights: code that breaks out of WebAssembly finds nothing there, and a crash of the process costs one
    /// call.
    Process,
}

impl Isolation {
    /// All of them, by what a pipeline file calls them.
    pub(super) const NAMES: [(&str, Isolation); 2] =
        [("in-process", Isolation::InProcess), ("process", Isolation::Process)];
}

impl Limits {
    pub(super) const MEMORY: RangeInclusive<u64> = MIB..=4 * GIB;
    pub(super) const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(600);
    pub(super) const FUEL: RangeInclusive<u64> = 1_000_000..=1_000_000_000_000_000;
    pub(super) const OUTPUT: RangeInclusive<u64> = KIB..=GIB;
    pub(super) const ROWS: RangeInclusive<u64> = 1..=100_000_000;
    pub(super) const DOCUMENT_ROWS: RangeInclusive<u64> = 1..=10_000_000;
    pub(super) const DOCUMENT: RangeInclusive<u64> = KIB..=64 * MIB;
    pub(super) const LOG: RangeInclusive<u64> = 0..=16 * MIB;
    pub(super) const STACK: RangeInclusive<u64> = 64 * KIB..=Limits::MAX_STACK;
    pub(super) const COMPONENT: RangeInclusive<u64> = KIB..=Limits::MAX_COMPONENT;
    pub(super) const COMPILE_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
    pub(super) const COMPILE_MEMORY: RangeInclusive<u64> = 256 * MIB..=8 * GIB;

    /// The largest stack that a pipeline can ask for: the threads that guests run on have room for it.
    pub const MAX_STACK: u64 = 8 * MIB;
    /// The largest component that a pipeline can ask for. Code that does not know the pipeline yet reads no larger file.
    pub const MAX_COMPONENT: u64 = 64 * MIB;

    /// The wider of each limit: a plugin that makes again what another made must not stop where the other did not.
    #[must_use]
    pub fn widest(self, other: Limits) -> Limits {
        Limits {
            memory: self.memory.max(other.memory),
            deadline: self.deadline.max(other.deadline),
            // Fuel that is not counted is the widest limit of all.
            fuel: self.fuel.zip(other.fuel).map(|(one, two)| one.max(two)),
            output: self.output.max(other.output),
            rows: self.rows.max(other.rows),
            document_rows: self.document_rows.max(other.document_rows),
            document: self.document.max(other.document),
            log: self.log.max(other.log),
            stack: self.stack.max(other.stack),
            component: self.component.max(other.component),
            compile_time: self.compile_time.max(other.compile_time),
            compile_memory: self.compile_memory.max(other.compile_memory),
            isolation: self.isolation.max(other.isolation),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: 128 * MIB,
            deadline: Duration::from_secs(5),
            fuel: None,
            output: 64 * MIB,
            rows: 1_000_000,
            document_rows: 10_000,
            document: 4 * MIB,
            log: 64 * KIB,
            stack: MIB,
            component: 16 * MIB,
            compile_time: Duration::from_secs(10),
            compile_memory: GIB,
            isolation: Isolation::InProcess,
        }
    }
}

fn from_millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_the_ceilings() {
        let limits = Limits::default();
        assert!(Limits::MEMORY.contains(&limits.memory) && Limits::DEADLINE.contains(&limits.deadline));
        assert!(Limits::OUTPUT.contains(&limits.output) && Limits::ROWS.contains(&limits.rows));
        assert!(Limits::DOCUMENT_ROWS.contains(&limits.document_rows) && Limits::DOCUMENT.contains(&limits.document));
        assert!(Limits::LOG.contains(&limits.log) && Limits::STACK.contains(&limits.stack));
        assert!(Limits::COMPONENT.contains(&limits.component) && Limits::COMPILE_TIME.contains(&limits.compile_time));
        assert!(Limits::COMPILE_MEMORY.contains(&limits.compile_memory));
    }

    #[test]
    fn the_widest_counts_fuel_only_where_both_do() {
        let (counting, free) = (Limits { fuel: Some(5_000_000), ..Limits::default() }, Limits::default());
        assert_eq!(counting.widest(free).fuel, None);
        assert_eq!(counting.widest(Limits { fuel: Some(7_000_000), ..free }).fuel, Some(7_000_000));
        let (small, large) = (Limits { rows: 1, ..free }, Limits { stack: 2 << 20, ..free });
        assert_eq!((small.widest(large).rows, small.widest(large).stack), (1_000_000, 2 << 20));
    }

    #[test]
    fn limits_are_read_as_they_are_written() {
        let limits = Limits { fuel: Some(1), isolation: Isolation::Process, ..Limits::default() };
        let text = serde_json::to_string(&limits).unwrap();
        assert!(text.contains("\"isolation\":\"process\"") && text.contains("\"deadline\":5000"), "{text}");
        assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), limits);
    }
}
