//! A read-only view of a queue file: how many messages wait in it.
//!
//! Does not create the file or migrate it, and takes no lock that a host would wait for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, Result};
use seams::clock::Clock;
use seams::queue::{Blind, Delivery, Depth, Queue, QueueError, Receipt};

use super::ledger::{self, is_busy, micros};

/// How long a read waits for a process that keeps the file locked.
const PATIENCE: Duration = Duration::from_secs(2);

/// One queue of a file, read-only. A missing file holds no message.
#[derive(Clone, Debug)]
pub struct QueueView {
    path: Arc<Path>,
    name: Arc<str>,
    clock: Arc<dyn Clock>,
}

impl QueueView {
    /// The queue of that name in the file at `path`.
    #[must_use]
    pub fn of(path: impl Into<PathBuf>, name: &str, clock: Arc<dyn Clock>) -> Self {
        QueueView { path: Arc::from(path.into()), name: name.into(), clock }
    }

    /// Whether the file, if it is there, is one that this host supports. Changes nothing.
    ///
    /// # Errors
    /// `QueueError::Backend` with the reason.
    pub async fn examine(&self) -> std::result::Result<(), QueueError> {
        self.depth().await.map(drop)
    }
}

fn only_looked_at<T>() -> std::result::Result<T, QueueError> {
    Err(QueueError::Backend("the queue is only looked at".into()))
}

fn count(path: &Path, name: &str, now: i64) -> std::result::Result<Depth, QueueError> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(QueueError::Backend(format!("`{shown}` is no file"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Depth::default()),
        Err(error) => return Err(QueueError::Backend(format!("cannot read `{shown}`: {error}"))),
    }
    let counted = open(path).and_then(|db| depth(&db, name, now)).or_else(|error| {
        // Without permission to write beside it, SQLite cannot share a file that has a log of changes. An empty log is not needed.
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let is_settled = std::fs::metadata(&log).map_or(true, |found| found.len() == 0);
        if is_settled && !is_busy(&error) {
            open_settled(path).and_then(|db| depth(&db, name, now))
        } else {
            Err(error)
        }
    });
    match counted {
        Ok(Ok(depth)) => Ok(depth),
        Ok(Err(version)) => {
            let known = ledger::VERSION;
            Err(QueueError::Backend(format!(
                "`{shown}` has queue tables of version {version}, this host knows version {known}"
            )))
        }
        Err(error) if is_busy(&error) => Err(QueueError::Backend(format!("`{shown}` is locked by another process"))),
        Err(error) => Err(QueueError::Backend(format!("cannot read `{shown}` as a queue: {error}"))),
    }
}

fn open(path: &Path) -> Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(PATIENCE)?;
    Ok(db)
}

/// Opens it as a file that does not change.
fn open_settled(path: &Path) -> Result<Connection> {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

/// The depth, or the version of tables that this host does not know.
fn depth(db: &Connection, name: &str, now: i64) -> Result<std::result::Result<Depth, i64>> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        // A host is about to create the tables.
        0 => Ok(Ok(Depth::default())),
        newer if newer > ledger::VERSION => Ok(Err(newer)),
        _ => ledger::depth(db, name, now).map(Ok),
    }
}

#[async_trait]
impl Queue for QueueView {
    async fn send(&self, _: Vec<Bytes>) -> std::result::Result<(), QueueError> {
        only_looked_at()
    }

    async fn send_missing(&self, _: Vec<Bytes>) -> std::result::Result<usize, QueueError> {
        only_looked_at()
    }

    async fn receive(&self, _: usize, _: Duration) -> std::result::Result<Vec<Delivery>, QueueError> {
        only_looked_at()
    }

    async fn ack(&self, _: &Receipt) -> std::result::Result<(), QueueError> {
        only_looked_at()
    }

    async fn release(&self, _: &Receipt, _: Duration) -> std::result::Result<(), QueueError> {
        only_looked_at()
    }

    async fn extend(&self, _: &Receipt, _: Duration) -> std::result::Result<(), QueueError> {
        only_looked_at()
    }

    async fn depth(&self) -> std::result::Result<Depth, QueueError> {
        let (path, name, now) = (Arc::clone(&self.path), Arc::clone(&self.name), micros(self.clock.now()));
        let counted = tokio::task::spawn_blocking(move || count(&path, &name, now)).await;
        counted.map_err(|error| QueueError::Backend(format!("cannot look at the queue: {error}")))?
    }

    fn visibility(&self) -> Duration {
        Duration::ZERO
    }

    fn blind(&self) -> Option<Blind> {
        None
    }
}

/// A queue that cannot be opened: each call says why.
#[derive(Clone, Debug)]
pub struct ClosedQueue(String);

impl ClosedQueue {
    /// A queue that fails every call with `why`.
    #[must_use]
    pub fn because(why: &str) -> Self {
        ClosedQueue(why.to_owned())
    }

    fn error<T>(&self) -> std::result::Result<T, QueueError> {
        Err(QueueError::Backend(self.0.clone()))
    }
}

#[async_trait]
impl Queue for ClosedQueue {
    async fn send(&self, _: Vec<Bytes>) -> std::result::Result<(), QueueError> {
        self.error()
    }

    async fn send_missing(&self, _: Vec<Bytes>) -> std::result::Result<usize, QueueError> {
        self.error()
    }

    async fn receive(&self, _: usize, _: Duration) -> std::result::Result<Vec<Delivery>, QueueError> {
        self.error()
    }

    async fn ack(&self, _: &Receipt) -> std::result::Result<(), QueueError> {
        self.error()
    }

    async fn release(&self, _: &Receipt, _: Duration) -> std::result::Result<(), QueueError> {
        self.error()
    }

    async fn extend(&self, _: &Receipt, _: Duration) -> std::result::Result<(), QueueError> {
        self.error()
    }

    async fn depth(&self) -> std::result::Result<Depth, QueueError> {
        self.error()
    }

    fn visibility(&self) -> Duration {
        Duration::ZERO
    }

    fn blind(&self) -> Option<Blind> {
        None
    }
}
