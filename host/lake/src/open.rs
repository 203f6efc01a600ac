//! Open ticks: marks that say that something of a tick may be missing. A tick without a mark is closed, and no sweep looks at it.
//!
//! A process that makes work for a tick first writes a mark under a name of its own, and later notes in it that the work can be seen in the
//! lake. A process that closes a tick removes only the marks that it listed before it looked. Does not find out whether a tick is done:
//! `drivers::sweep` does.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use records::keys::Tick;
use seams::store::{Path, delete_if_there, read_if_there, replace};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};

const FOLDER: &str = "_open";
/// Marks that are written or removed at once.
const AT_ONCE: usize = 16;
/// The name of the mark of a tick that was found in the lake without one.
const FOUND: &str = "found";

/// A mark that was not renewed for this long says nothing: its writer has died.
const GRACE: TimeDelta = TimeDelta::hours(1);
/// A writer that sends messages renews its mark more often than this.
pub const ALIVE: TimeDelta = TimeDelta::seconds(60);

/// Why a tick is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// When the mark was last written.
    pub at: DateTime<Utc>,
    /// When the mark was first written.
    pub begun: DateTime<Utc>,
    /// The writer's id: it orders two marks of the same instant.
    pub by: String,
    /// Whether the work of the mark can be seen in the lake.
    pub settled: bool,
    /// Whether the tick was found in the lake, and nothing is known of what was sent.
    pub found: bool,
    /// The tick's snapshots, by name, with the time when all of their messages without an object were sent.
    pub sent: BTreeMap<String, DateTime<Utc>>,
    /// When a sweep sent the events of all objects that had no receipt.
    pub told: Option<DateTime<Utc>>,
}

impl Mark {
    /// Whether its writer no longer holds the tick open.
    #[must_use]
    pub fn lets_close(&self, now: DateTime<Utc>) -> bool {
        self.settled || (now - self.at).abs() >= GRACE
    }

    /// Whether its writer is at work.
    #[must_use]
    pub fn is_at_work(&self, now: DateTime<Utc>) -> bool {
        !self.settled && (now - self.at).abs() < ALIVE
    }

    /// Whether the writer of another mark of the tick, with the same work, must wait for this mark's writer. If two have waited in vain for
    /// a third, the earlier one begins.
    #[must_use]
    pub fn goes_before(&self, other: &Mark, now: DateTime<Utc>) -> bool {
        let is_earlier = (self.begun, &self.by) < (other.begun, &other.by);
        !self.settled && (now - self.at).abs() < if is_earlier { ALIVE * 2 } else { ALIVE }
    }
}

/// Marks of some ticks that this process has written.
#[derive(Debug)]
pub struct Opening {
    marks: Vec<(Path, Mark)>,
}

/// Opens ticks. Call this before writing anything that may need more work.
///
/// # Errors
/// The store fails; then nothing may be written.
pub async fn begin(
    lake: &Lake,
    ticks: impl IntoIterator<Item = Tick>,
    now: DateTime<Utc>,
) -> Result<Opening, LakeError> {
    let by = uuid::Uuid::new_v4().simple().to_string();
    let mark = |tick| (path(tick, &by), Mark { at: now, begun: now, by: by.clone(), ..Mark::default() });
    let opening = Opening { marks: ticks.into_iter().map(mark).collect() };
    opening.write(lake).await?;
    Ok(opening)
}

impl Opening {
    /// Notes that the work of these marks can be seen in the lake.
    ///
    /// # Errors
    /// The store fails. The ticks stay open for longer, and nothing else follows.
    pub async fn settle(mut self, lake: &Lake, now: DateTime<Utc>) -> Result<(), LakeError> {
        for (_, mark) in &mut self.marks {
            (mark.at, mark.settled) = (now, true);
        }
        self.write(lake).await
    }

    /// Notes that all messages of the snapshot of that name were sent.
    ///
    /// # Errors
    /// The store fails. The messages may be sent again.
    pub async fn sent(mut self, lake: &Lake, snapshot: &str, now: DateTime<Utc>) -> Result<(), LakeError> {
        for (_, mark) in &mut self.marks {
            mark.sent.insert(snapshot.to_owned(), now);
        }
        self.settle(lake, now).await
    }

    /// Notes that this process is still at work, if it did not do so lately.
    ///
    /// # Errors
    /// The store fails.
    pub async fn renew(&mut self, lake: &Lake, now: DateTime<Utc>) -> Result<(), LakeError> {
        if self.marks.iter().all(|(_, mark)| (now - mark.at).abs() < ALIVE / 3) {
            return Ok(());
        }
        for (_, mark) in &mut self.marks {
            mark.at = now;
        }
        self.write(lake).await
    }

    /// Whether these marks must wait for another mark of their tick.
    #[must_use]
    pub fn waits_for(&self, other: &Mark, now: DateTime<Utc>) -> bool {
        self.marks.iter().any(|(_, own)| other.goes_before(own, now))
    }

    /// Whether that is one of these marks.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        self.marks.iter().any(|(own, _)| own == path)
    }

    async fn write(&self, lake: &Lake) -> Result<(), LakeError> {
        let writes: Vec<_> = self.marks.iter().map(|(path, mark)| put(lake, path, mark)).collect();
        futures::stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// Opens ticks that were found in the lake. A second call changes nothing.
///
/// # Errors
/// The store fails.
pub async fn found(lake: &Lake, ticks: &[Tick], now: DateTime<Utc>) -> Result<(), LakeError> {
    let mark = Mark { at: now, settled: true, found: true, ..Mark::default() };
    let one = |tick: &Tick| {
        let (path, mark) = (path(*tick, FOUND), mark.clone());
        async move { put(lake, &path, &mark).await }
    };
    let all: Vec<_> = ticks.iter().map(one).collect();
    futures::stream::iter(all).buffer_unordered(AT_ONCE).try_collect().await
}

/// Notes what a sweep has sent for a tick.
///
/// # Errors
/// The store fails.
pub async fn note(lake: &Lake, tick: Tick, mark: &Mark) -> Result<(), LakeError> {
    put(lake, &path(tick, &uuid::Uuid::new_v4().simple().to_string()), mark).await
}

/// The open ticks, each with the paths of its marks.
///
/// # Errors
/// The store fails.
pub async fn ticks(lake: &Lake) -> Result<BTreeMap<Tick, Vec<Path>>, LakeError> {
    let mut open: BTreeMap<Tick, Vec<Path>> = BTreeMap::new();
    let mut listing = lake.bronze.list(Some(&Path::from(FOLDER)));
    while let Some(object) = listing.try_next().await? {
        let tick = object.location.filename().and_then(|name| Tick::parse(name.split('.').next()?));
        if let Some(tick) = tick {
            open.entry(tick).or_default().push(object.location);
        }
    }
    Ok(open)
}

/// What the marks say. A mark that cannot be read says nothing, and one that is gone is left out.
///
/// # Errors
/// The store fails.
pub async fn read(lake: &Lake, paths: &[Path]) -> Result<Vec<Mark>, LakeError> {
    let mut marks = Vec::new();
    for path in paths {
        let Some(bytes) = read_if_there(&*lake.bronze, path).await? else { continue };
        marks.push(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(object = %path, %error, "cannot be read, its tick is looked at all the same");
            Mark { settled: true, ..Mark::default() }
        }));
    }
    Ok(marks)
}

/// Removes marks.
///
/// # Errors
/// The store fails. Those that are left are found by the next sweep.
pub async fn remove(lake: &Lake, paths: &[Path]) -> Result<(), LakeError> {
    for path in paths {
        delete_if_there(&*lake.bronze, path).await?;
    }
    Ok(())
}

async fn put(lake: &Lake, path: &Path, mark: &Mark) -> Result<(), LakeError> {
    let body = serde_json::to_vec(mark).map_err(|error| LakeError::corrupt(path, error))?;
    Ok(replace(&*lake.bronze, path, body.into()).await?)
}

fn path(tick: Tick, name: &str) -> Path {
    Path::from(format!("{FOLDER}/{tick}.{name}.json"))
}
