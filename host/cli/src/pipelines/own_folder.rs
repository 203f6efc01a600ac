//! The folder of one pipeline on this machine, beside its file: `.sluicebox/NAME`.
//!
//! Does not make it: its writers do.

use std::path::{Path, PathBuf};

use pipeline::plan::Plan;

/// Where the embedded queues of a pipeline are: one file a pipeline.
pub(crate) fn queue_path(plan: &Plan, folder: &Path) -> PathBuf {
    own_folder(plan, folder).join("queue.sqlite")
}

/// The file whose lock shows that a process works on the pipeline.
pub(crate) fn lock_path(plan: &Plan, folder: &Path) -> PathBuf {
    own_folder(plan, folder).join("in-use.lock")
}

/// The record of the configurations that the pipeline file has had.
pub(crate) fn configurations_path(plan: &Plan, folder: &Path) -> PathBuf {
    own_folder(plan, folder).join("configurations")
}

fn own_folder(plan: &Plan, folder: &Path) -> PathBuf {
    folder.join(".sluicebox").join(&plan.name)
}
