//! One thread that owns the connection to a queue file and runs requests, many to a transaction.
//!
//! Does not know what the requests do. A request is answered only when its transaction is on disk.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Result, TransactionBehavior};
use seams::queue::QueueError;
use tokio::sync::oneshot;

use super::ledger::{self, is_busy};
use crate::store::make_folder;

/// How long a transaction waits for those of other processes.
const BUSY: Duration = Duration::from_secs(30);

/// How long it rests between tries where SQLite does not wait by itself.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// Requests that share a transaction. Bounds how long the first of them waits for the others' work.
const GROUP: usize = 512;

/// A way to the thread. The thread ends when the last one is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    requests: mpsc::Sender<Box<dyn Request>>,
}

/// A request to the thread.
trait Request: Send {
    /// Whether the caller has stopped waiting for the answer.
    fn is_abandoned(&self) -> bool;

    /// Whether there is something to do. Called outside of a transaction: a poll without a result takes no lock.
    fn is_wanted(&self, db: &Connection) -> Result<bool>;

    /// Does it, inside of a transaction.
    fn run(&mut self, db: &Connection) -> Result<()>;

    /// Answers, after the transaction; `failure` says why it was rolled back.
    fn answer(self: Box<Self>, failure: Option<&str>);
}

struct Asked<T, C, W> {
    condition: C,
    work: Option<W>,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<Option<T>, String>>,
}

impl<T, C, W> Request for Asked<T, C, W>
where
    T: Send,
    C: Fn(&Connection) -> Result<bool> + Send,
    W: FnOnce(&Connection) -> Result<T> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn is_wanted(&self, db: &Connection) -> Result<bool> {
        (self.condition)(db)
    }

    fn run(&mut self, db: &Connection) -> Result<()> {
        self.outcome = self.work.take().map(|work| work(db)).transpose()?;
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<&str>) {
        let answer = failure.map_or(Ok(self.outcome), |failure| Err(failure.to_string()));
        // A caller that stopped waiting meanwhile is like one whose reply was lost: delivery is at least once.
        let _ = self.reply.send(answer);
    }
}

impl Writer {
    /// Opens the file and starts the thread.
    pub(super) async fn open(path: PathBuf) -> Result<Self, QueueError> {
        let (opened, is_open) = oneshot::channel();
        let (requests, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("sluicebox-queue".into());
        let body = move || match File::open(path) {
            Ok(file) => {
                let _ = opened.send(Ok(()));
                serve(file, &inbox);
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        };
        thread.spawn(body).map_err(|error| QueueError::Backend(format!("cannot start the queue's thread: {error}")))?;
        is_open.await.map_err(|_| ended())?.map_err(QueueError::Backend)?;
        Ok(Writer { requests })
    }

    /// Runs `work` and returns when its effect is on disk.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, QueueError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.run_if(|_| Ok(true), work).await?.ok_or_else(ended)
    }

    /// Runs `work` if `condition` holds.
    pub(super) async fn run_if<T, C, W>(&self, condition: C, work: W) -> Result<Option<T>, QueueError>
    where
        T: Send + 'static,
        C: Fn(&Connection) -> Result<bool> + Send + 'static,
        W: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request = Box::new(Asked { condition, work: Some(work), outcome: None, reply });
        self.requests.send(request).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?.map_err(QueueError::Backend)
    }
}

fn ended() -> QueueError {
    QueueError::Backend("the queue's thread has ended".into())
}

/// Opens the file, set up for several processes and for a loss of power.
fn connect(path: &Path) -> Result<Connection, String> {
    let shown = path.display();
    // SQLite syncs the names of the files that it makes, but not that of the folder.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_folder(folder).map_err(|error| error.to_string())?;
    }
    let mut db = Connection::open(path).map_err(|error| format!("cannot open `{shown}`: {error}"))?;
    let version = prepare(&mut db).map_err(|error| format!("cannot use `{shown}` as a queue: {error}"))?;
    if version == ledger::VERSION {
        return Ok(db);
    }
    let known = ledger::VERSION;
    Err(format!(
        "`{shown}` has queue tables of version {version}, this host knows version {known}\nhint: use the newer host that wrote it"
    ))
}

/// Creates the tables if there are none, or migrates those of an older host. Returns the version that was found.
fn prepare(db: &mut Connection) -> Result<i64> {
    db.busy_timeout(BUSY)?;
    // With WAL and less than FULL, an acknowledged message may come back, and a sent one be lost, with the power.
    to_wal(db)?;
    db.pragma_update(None, "synchronous", "full")?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => transaction.execute_batch(ledger::TABLES)?,
        1 => {
            transaction.execute_batch(ledger::FROM_VERSION_1)?;
            ledger::from_version_2(&transaction)?;
            transaction.execute_batch(ledger::FROM_VERSION_3)?;
        }
        2 => {
            ledger::from_version_2(&transaction)?;
            transaction.execute_batch(ledger::FROM_VERSION_3)?;
        }
        3 => transaction.execute_batch(ledger::FROM_VERSION_3)?,
        known_or_newer => return Ok(known_or_newer),
    }
    transaction.pragma_update(None, "user_version", ledger::VERSION)?;
    transaction.commit()?;
    Ok(ledger::VERSION)
}

/// Has the file keep a log of changes, as it does already unless it is new.
///
/// SQLite does not wait here: of several processes that open a new file, it refuses all but one at once.
fn to_wal(db: &Connection) -> Result<()> {
    let begun = Instant::now();
    loop {
        match db.pragma_update(None, "journal_mode", "wal") {
            Err(error) if is_busy(&error) && begun.elapsed() < BUSY => std::thread::sleep(BETWEEN_TRIES),
            done => return done,
        }
    }
}

/// The queue file, as long as it is the one at its path.
struct File {
    path: PathBuf,
    db: Connection,
    /// Which file that is.
    inode: Option<(u64, u64)>,
}

impl File {
    fn open(path: PathBuf) -> Result<Self, String> {
        let db = connect(&path)?;
        let inode = inode(&path);
        Ok(File { path, db, inode })
    }

    /// The connection, opened again if the file was deleted or replaced: what is written to a file without a
    /// name is invisible to other processes, and is lost when this one ends.
    fn current(&mut self) -> Result<&mut Connection, String> {
        if inode(&self.path) != self.inode {
            tracing::warn!(queue = %self.path.display(), "the queue file was deleted or replaced, opening the one that is there now");
            *self = File::open(self.path.clone())?;
        }
        Ok(&mut self.db)
    }
}

/// The identity of the file at `path`: a file that replaces it has a different one.
#[cfg(unix)]
fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|_| (0, 0))
}

/// Serves until every way to the thread is gone.
fn serve(mut file: File, inbox: &mpsc::Receiver<Box<dyn Request>>) {
    while let Ok(first) = inbox.recv() {
        let group: Vec<_> = std::iter::once(first).chain(inbox.try_iter().take(GROUP - 1)).collect();
        match file.current() {
            Ok(db) => serve_group(db, group),
            Err(error) => group.into_iter().for_each(|request| request.answer(Some(&error))),
        }
    }
}

fn serve_group(db: &mut Connection, group: Vec<Box<dyn Request>>) {
    let mut wanted = Vec::new();
    for request in group.into_iter().filter(|request| !request.is_abandoned()) {
        match request.is_wanted(db) {
            Ok(true) => wanted.push(request),
            Ok(false) => request.answer(None),
            Err(error) => request.answer(Some(&error.to_string())),
        }
    }
    if wanted.is_empty() {
        return;
    }
    // An error inside the group is an error of the file (full disk, broken page), not of one request: all of them fail.
    let failure = run_group(db, &mut wanted).err().map(|error| error.to_string());
    for request in wanted {
        request.answer(failure.as_deref());
    }
}

fn run_group(db: &mut Connection, group: &mut [Box<dyn Request>]) -> Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    group.iter_mut().try_for_each(|request| request.run(&transaction))?;
    transaction.commit()
}

/// Rewrites the file and empties its log of changes, so that nothing is left of deleted rows. On a connection of its own: the
/// thread's connection is always within a transaction while it works.
pub(super) fn scrub(path: &Path) -> Result<()> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY)?;
    db.execute_batch("VACUUM")?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
