//! The folder that a pipeline has for itself on this machine, beside its file: `.sluicebox/NAME`.
//!
//! Does not make it: who writes there does.

use std::path::{Path, PathBuf};

use pipeline::plan::Plan;

/// Where the embedded queues of a pipeline are: one file a pipeline.
pub(crate) fn queue_path(plan: &Plan, folder: &Path) -> PathBuf {
    own_folder(plan, folder).join("queue.sqlite")
}

/// The file whose lock says that a process works on the pipeline.
pub(crate) fn lock_path(plan: &Plan, folder: &Path) -> PathBuf {
    own_folder(plan, folder).join("in-use.lock")
}

/// Where it is remembered which configurations the pipeline file has had.
pub(crate) fn configurations_path(plan: &Plan, folder: &Path) -> PathBuf {
    own_folder(plan, folder).join("configurations")
}

fn own_folder(plan: &Plan, folder: &Path) -> PathBuf {
    folder.join(".sluicebox").join(&plan.name)
}
