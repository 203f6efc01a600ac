//! How plugins are run, as whoever starts this host says: threads, memory, worker processes, and where compiled code is kept and believed.
//!
//! Does not open or check any of it: `kept` and `plugins` do.

use std::path::PathBuf;

use crate::worker::WorkerProgram;

/// How plugins are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where compiled code is kept. `None` compiles at every start.
    pub cache: Option<Cache>,
    /// What has been compiled elsewhere and came with the program.
    pub shipped: Option<Shipped>,
    /// How worker processes are started. `None` compiles in this process, and cannot isolate plugins by process.
    pub worker: Option<WorkerProgram>,
    /// How many guests run at once, 1 to 256. More than there are processors lets short calls pass long ones.
    pub guest_threads: usize,
    /// Bytes of memory that the whole process may have: calls wait where it would become more. `None` takes three quarters of what there is.
    pub memory: Option<u64>,
}

/// A folder of this user's for compiled code. It is made if it is not there; nobody else may write to it: what lies in it is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The folder.
    pub dir: PathBuf,
    /// Why what lies there is believed.
    pub trust: Trust,
}

/// Why compiled code is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is sealed with the key in this file, which is made if it is not there. Only this user may read it, and it lies in a folder that only
    /// this user can write to.
    Key(PathBuf),
    /// It is not: what is compiled is written there for others, and never read.
    Nothing,
}

/// A folder that somebody has compiled into with [`Trust::Nothing`], with its list of digests ([`crate::list_of_shipped`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// The folder.
    pub dir: PathBuf,
    /// The digest of its list, from elsewhere. Without one nothing in the folder is believed.
    pub digest: Option<String>,
}

impl Default for Options {
    /// No cache; four threads a processor and at least eight; three quarters of the memory that there is.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Options { cache: None, shipped: None, worker: None, guest_threads: (processors * 4).max(8), memory: None }
    }
}
