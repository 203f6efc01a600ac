//! Files that another user may have put there: a component, a signature, a pipeline file, a secret. A read returns the whole file or fails soon.
//!
//! Does not judge what it reads. Each read has a type check, a cap and an end: only a regular file is opened (opening a pipe waits
//! for a writer, a device may never end), a file larger than its cap is not read, and a file system that hangs is not waited for.
//! The work is done on a thread of its own that no caller has to wait for, not even at the end of the process.

use std::collections::BTreeMap;
use std::fs::{File, FileType, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

/// A read fails after this time without a byte.
pub const QUIET: Duration = Duration::from_secs(5);
/// How often a read in progress is checked.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// Most bytes of a text: a pipeline file, a template, a sample, a key.
pub const MOST_TEXT: u64 = 1 << 20;
/// Most bytes of a signature's file: an ed25519 signature has 64.
pub const MOST_SIGNATURE: u64 = 64;
/// Most bytes of a component, whatever its limits say.
pub const MOST_COMPONENT: u64 = 64 << 20;

/// The reason why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// An error of the system.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not a regular file.
    #[error("it is {found}, expected a regular file")]
    Kind {
        /// Its type.
        found: &'static str,
    },
    /// It is too large.
    #[error("it has {size} bytes, at most {most} are read")]
    TooLarge {
        /// Its size in bytes; the bytes read so far, if the file does not report a size.
        size: u64,
        /// The cap in bytes.
        most: u64,
    },
    /// No byte has come for a while.
    #[error("its file system has not answered for {} s", after.as_secs())]
    Hangs {
        /// How long the read waited.
        after: Duration,
    },
}

impl OutsideError {
    /// Whether nothing has that name.
    #[must_use]
    pub fn is_not_there(&self) -> bool {
        matches!(self, OutsideError::Io(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    }

    /// What to do about it, if that is not obvious.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            OutsideError::Io(_) => None,
            OutsideError::Kind { .. } => Some("put the file itself there: write it beside, then rename it"),
            OutsideError::TooLarge { most: MOST_SIGNATURE, .. } => {
                Some("make the signature with `sluicebox plugin sign`: it has 64 bytes")
            }
            OutsideError::TooLarge { .. } => Some("put the right file there, or a smaller one"),
            OutsideError::Hangs { .. } => Some("is a network file system down? it is read again when it answers"),
        }
    }

    /// Whether the next read may succeed although the file has not changed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            OutsideError::Hangs { .. } => true,
            OutsideError::Io(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
            OutsideError::Kind { .. } | OutsideError::TooLarge { .. } => false,
        }
    }
}

/// Reads that no caller waits for any more: the number for each path. One more read would only hang as well.
static HANGING: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

fn hanging(change: impl FnOnce(&mut BTreeMap<PathBuf, usize>) -> bool) -> bool {
    change(&mut HANGING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A read in progress.
struct Reading {
    path: PathBuf,
    /// Bytes so far, to tell a slow read from one that hangs.
    read: Arc<AtomicU64>,
    /// Whether the caller has stopped waiting.
    left: Arc<Mutex<bool>>,
    answer: mpsc::Receiver<Result<Bytes, OutsideError>>,
    /// Notified when the answer is there.
    done: Arc<Notify>,
    seen: u64,
    since: Instant,
}

impl Reading {
    fn start(path: &Path, most: u64) -> Result<Self, OutsideError> {
        if hanging(|all| all.contains_key(path)) {
            return Err(OutsideError::Hangs { after: QUIET });
        }
        let (read, left) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(false)));
        let done = Arc::new(Notify::new());
        let (tell, answer) = mpsc::sync_channel(1);
        let (place, count, alone, bell) = (path.to_owned(), Arc::clone(&read), Arc::clone(&left), Arc::clone(&done));
        std::thread::Builder::new().name("sluicebox-reads".into()).spawn(move || {
            let outcome = whole(&place, most, &count);
            let _ = tell.send(outcome);
            bell.notify_one();
            let alone = alone.lock().unwrap_or_else(PoisonError::into_inner);
            if *alone {
                hanging(|all| match all.get_mut(&place).filter(|count| **count > 1) {
                    Some(count) => {
                        *count -= 1;
                        true
                    }
                    None => all.remove(&place).is_some(),
                });
            }
        })?;
        Ok(Reading { path: path.to_owned(), read, left, answer, done, seen: 0, since: Instant::now() })
    }

    /// The result, if there is one; an error if no byte comes any more.
    fn look(&mut self, wait: Duration) -> Option<Result<Bytes, OutsideError>> {
        match self.answer.recv_timeout(wait) {
            Ok(answer) => return Some(answer),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Some(Err(io::Error::other("the thread that read it has ended").into()));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let now = self.read.load(Ordering::Relaxed);
        if now != self.seen {
            (self.seen, self.since) = (now, Instant::now());
        }
        (self.since.elapsed() >= QUIET).then(|| self.leave())
    }

    fn leave(&self) -> Result<Bytes, OutsideError> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended just now.
        if let Ok(answer) = self.answer.try_recv() {
            return answer;
        }
        *left = true;
        hanging(|all| {
            *all.entry(self.path.clone()).or_default() += 1;
            true
        });
        Err(OutsideError::Hangs { after: QUIET })
    }
}

/// The whole file of at most `most` bytes. Waits on this thread, for [`QUIET`] without progress at most.
///
/// # Errors
/// If it is missing, no regular file, too large, or cannot be read in time.
pub fn read(path: &Path, most: u64) -> Result<Bytes, OutsideError> {
    let mut reading = Reading::start(path, most)?;
    loop {
        if let Some(answer) = reading.look(QUIET / 5) {
            return answer;
        }
    }
}

/// As [`read`], without blocking a thread of the reactor.
///
/// # Errors
/// As [`read`].
pub async fn read_soon(path: &Path, most: u64) -> Result<Bytes, OutsideError> {
    let mut reading = Reading::start(path, most)?;
    loop {
        if let Some(answer) = reading.look(Duration::ZERO) {
            return answer;
        }
        let _ = tokio::time::timeout(LOOK, reading.done.notified()).await;
    }
}

/// As [`read`], for a text in UTF-8.
///
/// # Errors
/// As [`read`], and if it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String, OutsideError> {
    let bytes = read(path, most)?;
    String::from_utf8(bytes.into()).map_err(|error| io::Error::new(ErrorKind::InvalidData, error.utf8_error()).into())
}

/// Runs file-system work on a thread of its own, and waits for it at most `most`.
///
/// # Errors
/// If it has not ended within `most`; the work goes on without a caller.
pub async fn in_time<T: Send + 'static>(
    most: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, OutsideError> {
    let (tell, answer) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("sluicebox-looks".into()).spawn(move || {
        let _ = tell.send(work());
    })?;
    match tokio::time::timeout(most, answer).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(io::Error::other("the thread that looked has ended").into()),
        Err(_) => Err(OutsideError::Hangs { after: most }),
    }
}

/// Refuses what is no regular file, or too large.
///
/// # Errors
/// If it is one of these.
fn refuse(found: &Metadata, most: u64) -> Result<(), OutsideError> {
    if !found.is_file() {
        return Err(OutsideError::Kind { found: called(found.file_type()) });
    }
    if found.len() > most { Err(OutsideError::TooLarge { size: found.len(), most }) } else { Ok(()) }
}

/// Whether there is a regular file of at most `most` bytes, without opening it. May wait for the file system.
///
/// # Errors
/// If there is no such file.
pub fn examine(path: &Path, most: u64) -> Result<(), OutsideError> {
    refuse(&std::fs::metadata(path)?, most)
}

fn whole(path: &Path, most: u64, count: &AtomicU64) -> Result<Bytes, OutsideError> {
    // Checked before it is opened, because opening a device may have an effect; and after, because another file may be there by then.
    refuse(&std::fs::metadata(path)?, most)?;
    let mut file = open(path)?;
    let found = file.metadata()?;
    refuse(&found, most)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default().min(PIECE));
    loop {
        // One byte more than there may be shows a file that grows.
        let left = most.saturating_add(1).saturating_sub(bytes.len() as u64);
        let piece = file.by_ref().take(left.min(PIECE as u64)).read_to_end(&mut bytes)?;
        count.store(bytes.len() as u64, Ordering::Relaxed);
        if bytes.len() as u64 > most {
            return Err(OutsideError::TooLarge { size: bytes.len() as u64, most });
        }
        if piece == 0 {
            return Ok(bytes.into());
        }
    }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A pipe that has replaced the file since is opened without waiting for a writer.
    File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn called(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a named pipe (FIFO)";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a folder" } else { "something else" }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn pipe(path: &Path) {
        assert!(std::process::Command::new("mkfifo").arg(path).status().is_ok_and(|status| status.success()));
    }

    #[tokio::test]
    async fn a_pipe_a_device_a_folder_and_a_sparse_file_are_refused_by_name_and_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        pipe(&at("pipe"));
        std::os::unix::fs::symlink("/dev/zero", at("zero")).unwrap();
        File::create(at("sparse")).unwrap().set_len(6 << 30).unwrap();
        let begun = Instant::now();
        for (name, told) in [
            ("pipe", "it is a named pipe (FIFO), expected a regular file"),
            ("zero", "it is a device, expected a regular file"),
            (".", "it is a folder, expected a regular file"),
            ("sparse", "it has 6442450944 bytes, at most 1048576 are read"),
        ] {
            for error in [read(&at(name), MOST_TEXT).unwrap_err(), read_soon(&at(name), MOST_TEXT).await.unwrap_err()] {
                assert_eq!(error.to_string(), told, "{name}");
                assert!(!error.may_pass() && error.hint().is_some());
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert!(read(&at("none"), 1).unwrap_err().is_not_there());
    }

    #[tokio::test]
    async fn a_file_is_read_whole_up_to_its_cap_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let bytes = vec![7_u8; (3 << 20) + 5];
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read_soon(&path, bytes.len() as u64).await.unwrap(), bytes);
        assert!(matches!(read(&path, bytes.len() as u64 - 1), Err(OutsideError::TooLarge { .. })));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path, 9).is_err());
    }

    /// Like a file system that hangs: `/proc` has none, so the check itself hangs.
    #[tokio::test]
    async fn work_that_hangs_is_left_to_itself() {
        let (_never, waits) = mpsc::channel::<()>();
        let begun = Instant::now();
        let hangs = in_time(Duration::from_millis(100), move || waits.recv().is_ok()).await;
        assert!(matches!(hangs, Err(OutsideError::Hangs { .. })) && begun.elapsed() < Duration::from_secs(3));
        assert_eq!(in_time(QUIET, || 7).await.unwrap(), 7);
    }

    /// What was opened and then gives nothing: a pipe that a writer holds open, read past the type check.
    #[test]
    fn a_read_that_nobody_answers_is_given_up_and_not_begun_again_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hangs");
        let (tell, answer) = mpsc::sync_channel(1);
        let mut reading = Reading {
            path: path.clone(),
            read: Arc::default(),
            left: Arc::default(),
            answer,
            done: Arc::default(),
            seen: 0,
            since: Instant::now() - QUIET,
        };
        assert!(matches!(reading.look(Duration::ZERO), Some(Err(OutsideError::Hangs { .. }))));
        assert!(matches!(read(&path, 1), Err(OutsideError::Hangs { .. })));
        let _ = tell.send(Ok(Bytes::new()));
        hanging(|all| all.remove(&path).is_some());
        assert!(read(&path, 1).unwrap_err().is_not_there());
    }
}
