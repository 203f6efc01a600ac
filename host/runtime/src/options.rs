//! How plugins are run: threads, memory, worker processes, and the place of compiled code that is trusted. The host's program sets these.
//!
//! Does not open or check any of it: `kept` and `plugins` do.

use std::path::PathBuf;

use crate::worker::WorkerProgram;

/// How plugins are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where compiled code is kept. `None` compiles at every start.
    pub cache: Option<Cache>,
    /// Code that was compiled elsewhere and came with the program.
    pub shipped: Option<Shipped>,
    /// How worker processes are started. `None` compiles in this process, and cannot isolate plugins by process.
    pub worker: Option<WorkerProgram>,
    /// How many guests run at once, 1 to 256. With more of them than processors, short calls pass long ones.
    pub guest_threads: usize,
    /// Most bytes of memory for the whole process: calls wait if it would exceed this. `None` takes three quarters of what there is.
    pub memory: Option<u64>,
}

/// A folder of this user's for compiled code. It is created if missing. No other user may write to it: its files are executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The folder.
    pub dir: PathBuf,
    /// Why its files are trusted.
    pub trust: Trust,
}

/// Why compiled code is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is sealed with the key in this file, which is created if missing. Only this user may read it, and it is in a folder that only
    /// this user can write to.
    Key(PathBuf),
    /// It is not trusted: compiled code is written there for others, and never read.
    Nothing,
}

/// A folder of code that was compiled with [`Trust::Nothing`], with its list of digests ([`crate::list_of_shipped`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// The folder.
    pub dir: PathBuf,
    /// The digest of its list, from elsewhere. Without it nothing in the folder is trusted.
    pub digest: Option<String>,
}

impl Default for Options {
    /// No cache; four threads a processor and at least eight; three quarters of the memory.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Options { cache: None, shipped: None, worker: None, guest_threads: (processors * 4).max(8), memory: None }
    }
}
