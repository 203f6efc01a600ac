//! The inputs of every command besides its own arguments.
//!
//! Does not hold an engine or an adapter: `compose` makes those.

use std::path::PathBuf;

use crate::output::Output;
use crate::redact::Redactor;
use crate::traces::Traces;

/// The process, from a command's view.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Where results and notices go.
    pub(crate) output: Output,
    /// Code that reads a secret registers it here before it uses the secret.
    pub(crate) redactor: Redactor,
    /// Where spans go.
    pub(crate) traces: Traces,
    /// Where compiled plugins are kept.
    pub(crate) compiled: Compiled,
    /// `--memory`, if it was given: bytes.
    pub(crate) memory: Option<u64>,
}

/// Where compiled plugins are kept. They are executed, so they are never in a project, which may come from another author.
#[derive(Clone, Debug)]
pub(crate) enum Compiled {
    /// In this folder, or in this user's cache folder, sealed with a key of this user.
    ByUser(Option<PathBuf>),
    /// In a folder that is deleted with the process, beside the plugins that came with the program.
    InFunction {
        /// The folder of the process.
        scratch: PathBuf,
        /// The plugins that came with the program.
        shipped: runtime::Shipped,
    },
    /// Into this folder, for functions.
    ForBundle(PathBuf),
}

impl Context {
    /// The folder for compiled plugins; none if this user has no cache folder.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        match &self.compiled {
            Compiled::ByUser(Some(dir)) | Compiled::ForBundle(dir) => Some(dir.clone()),
            Compiled::ByUser(None) => Some(dirs::cache_dir()?.join("sluicebox").join("compiled")),
            Compiled::InFunction { scratch, .. } => Some(scratch.join("cache")),
        }
    }

    /// The file with the key that seals the compiled plugins.
    pub(crate) fn cache_key(&self) -> Option<PathBuf> {
        match &self.compiled {
            Compiled::ByUser(_) => Some(dirs::data_local_dir()?.join("sluicebox").join("compiled.key")),
            Compiled::InFunction { scratch, .. } => Some(scratch.join("compiled.key")),
            Compiled::ForBundle(_) => None,
        }
    }
}
