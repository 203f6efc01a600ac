//! What every command is given besides its own arguments.
//!
//! Does not hold an engine or an adapter: `compose` puts those together.

use std::path::PathBuf;

use crate::output::Output;
use crate::redact::Redactor;
use crate::traces::Traces;

/// The process as a command sees it.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Where results and notices go.
    pub(crate) output: Output,
    /// Whoever reads a secret registers it here before using it.
    pub(crate) redactor: Redactor,
    /// Where spans go.
    pub(crate) traces: Traces,
    /// Where compiled plugins are kept.
    pub(crate) compiled: Compiled,
    /// `--memory`, if it was given: bytes.
    pub(crate) memory: Option<u64>,
}

/// Where compiled plugins are kept. What lies there is executed: nowhere in a project, which may be somebody else's.
#[derive(Clone, Debug)]
pub(crate) enum Compiled {
    /// In this folder, or in this user's own one for such things, sealed with a key of this user's.
    ByUser(Option<PathBuf>),
    /// In a folder that goes with the process, beside what came with the program.
    InFunction {
        /// The folder of the process.
        scratch: PathBuf,
        /// What came with the program.
        shipped: runtime::Shipped,
    },
    /// Into this folder, for functions.
    ForBundle(PathBuf),
}

impl Context {
    /// The folder in which compiled plugins are kept; none where this user has no folder for such things.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        match &self.compiled {
            Compiled::ByUser(Some(dir)) | Compiled::ForBundle(dir) => Some(dir.clone()),
            Compiled::ByUser(None) => Some(dirs::cache_dir()?.join("sluicebox").join("compiled")),
            Compiled::InFunction { scratch, .. } => Some(scratch.join("cache")),
        }
    }

    /// The file with the key that seals what is kept there.
    pub(crate) fn cache_key(&self) -> Option<PathBuf> {
        match &self.compiled {
            Compiled::ByUser(_) => Some(dirs::data_local_dir()?.join("sluicebox").join("compiled.key")),
            Compiled::InFunction { scratch, .. } => Some(scratch.join("compiled.key")),
            Compiled::ForBundle(_) => None,
        }
    }
}
