//! What every command is given besides its own arguments.
//!
//! Does not hold an engine or an adapter: `compose` puts those together.

use std::path::{Path, PathBuf};

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
    /// `--cache-dir`, if it was given.
    pub(crate) cache_dir: Option<PathBuf>,
}

impl Context {
    /// Where compiled plugins of the project in `folder` are kept.
    pub(crate) fn cache_dir(&self, folder: &Path) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(|| folder.join(".sluicebox").join("cache"))
    }
}
