//! Reports when a watched file may have changed: by the system's notifications, and by polling where there are none.
//!
//! Does not read the files: the caller finds out what has changed, if anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

/// Longest time between two looks: network file systems send no notifications.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long nothing must happen before a change is reported, at most [`LONGEST`]: programs often write a file in pieces.
const QUIET: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(100);

/// Watches files.
#[derive(Debug)]
pub struct FileWatch {
    /// Sends notifications while it lives; none if the system has no notifications.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    happened: watch::Receiver<u64>,
}

impl FileWatch {
    /// Watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let (tell, happened) = watch::channel(0_u64);
        let told = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| is_no_change(event.kind)) {
                return;
            }
            tell.send_modify(|count| *count += 1);
        };
        let watcher = notify::recommended_watcher(told).inspect_err(
            |error| tracing::warn!(%error, "the system does not notify of files, looking every two seconds"),
        );
        FileWatch { watcher: watcher.ok(), folders: BTreeSet::new(), happened }
    }

    /// Watches these files, too, whether or not they are there. A file is replaced within its folder, so the folder is watched.
    pub fn add<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) {
        for file in files {
            let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if self.folders.contains(folder) {
                continue;
            }
            let Some(watcher) = &mut self.watcher else { return };
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder.to_owned())),
                Err(error) => tracing::debug!(folder = %folder.display(), %error, "cannot watch the folder yet"),
            }
        }
    }

    /// Returns when something has happened in the folder of one of the files, or when it is time to look.
    pub async fn changed(&mut self) {
        if tokio::time::timeout(LOOK_EVERY, told(&mut self.happened)).await.is_err() {
            return;
        }
        let settled = async { while tokio::time::timeout(QUIET, told(&mut self.happened)).await.is_ok() {} };
        let _ = tokio::time::timeout(LONGEST, settled).await;
    }
}

impl Default for FileWatch {
    fn default() -> Self {
        FileWatch::new()
    }
}

/// Whether the event only reports a read: the caller reads what has changed, and would cause events for ever.
fn is_no_change(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

async fn told(happened: &mut watch::Receiver<u64>) {
    if happened.changed().await.is_err() {
        // There are no notifications: only the caller's timeout ends the wait.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replaced_file_is_told_and_a_missing_folder_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        let mut watch = FileWatch::new();
        watch.add([file.as_path(), Path::new("no/such/folder/b.wasm")]);
        let next = folder.path().join(".a.wasm.next");
        let mut seen = 0;
        for content in ["one", "two"] {
            std::fs::write(&next, content).unwrap();
            std::fs::rename(&next, &file).unwrap();
            watch.changed().await;
            seen += usize::from(std::fs::read_to_string(&file).unwrap() == content);
        }
        assert_eq!(seen, 2);
    }

    #[tokio::test]
    async fn reading_a_file_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        std::fs::write(&file, "one").unwrap();
        let mut watch = FileWatch::new();
        watch.add([file.as_path()]);
        let before = *watch.happened.borrow();
        for _ in 0..10 {
            std::fs::read_to_string(&file).unwrap();
        }
        // Events come in their order: when the change is reported, the reads would have been.
        std::fs::write(folder.path().join("b"), "").unwrap();
        watch.changed().await;
        let told = *watch.happened.borrow() - before;
        assert!(told < 10, "told of {told} events");
    }
}
