//! Which pipelines are in use on this machine: a process holds a lock for each of its pipelines, and others see it.
//!
//! Does not know of other machines.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::pipelines::{PipelineFile, lock_path};

/// The pipelines that this process works on, for as long as it lives: a shared lock of a file beside each queue.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<Vec<(PathBuf, File)>>);

impl Uses {
    /// Marks the pipeline of that file as in use. If the lock fails, other processes do not see it.
    pub(super) fn note(&self, file: &PipelineFile) {
        let path = lock_path(&file.plan, &file.folder);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.iter().any(|(other, _)| *other == path) {
            return;
        }
        if let Ok(lock) = open(&path)
            && lock.try_lock_shared().is_ok()
        {
            held.push((path, lock));
        }
    }
}

/// The only process that works on a pipeline on this machine, while this value lives.
#[derive(Debug)]
pub(crate) struct Alone {
    _lock: Option<File>,
}

/// Makes sure that no other process of this machine works on the pipeline.
///
/// # Errors
/// Fails if another process does.
pub(crate) fn in_use(file: &PipelineFile) -> Result<Alone, Failure> {
    let Ok(lock) = open(&lock_path(&file.plan, &file.folder)) else { return Ok(Alone { _lock: None }) };
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(ExitCode::Unavailable, format!("another process works on `{}`", file.plan.name))
                .hint("stop it first: `sluicebox run` ends with Ctrl-C or SIGTERM, and finishes what is under way"))
        }
        Err(TryLockError::Error(_)) => Ok(Alone { _lock: None }),
        Ok(()) => Ok(Alone { _lock: Some(lock) }),
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}
