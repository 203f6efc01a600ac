//! Closed ticks: what became of each, in sums, so that no process has to count it again.
//!
//! One object for each day, with the sums of its ticks, and one for each year, with the sums of its days: reading a whole lake costs one
//! request a year. Does not count anything: `drivers::sweep` does.

use std::collections::BTreeMap;

use chrono::{Datelike as _, NaiveDate};
use records::keys::Tick;
use seams::store::{Path, read_if_there, update};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::receipts::Receipt;
use super::{Lake, LakeError};

const FOLDER: &str = "_closed";

/// What became of one tick, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Ticks that took records.
    pub ticks: usize,
    /// Messages made by them.
    pub messages: usize,
    /// Record versions in all messages.
    pub records: usize,
    /// Objects of Bronze, one a message and one for each time that records were enriched again.
    pub objects: usize,
    /// Bytes of those objects.
    pub bytes: u64,
    /// Lines of those objects: record versions that the clean stage has seen.
    pub lines: usize,
    /// Lines that made rows.
    pub cleaned: usize,
    /// Lines that rightly made none.
    pub skipped: usize,
    /// Lines that were refused at enrich or clean.
    pub quarantined: usize,
    /// Lines that another line of the same record version has replaced.
    pub superseded: usize,
    /// The Silver version in which all of that holds.
    pub silver_version: i64,
    /// The last of the ticks.
    pub last: Option<Tick>,
}

impl Sums {
    /// What the receipt of an object says of its lines.
    #[must_use]
    pub fn of(receipt: &Receipt) -> Self {
        Sums {
            lines: receipt.lines,
            cleaned: receipt.cleaned,
            skipped: receipt.skipped.len(),
            quarantined: receipt.quarantined.len(),
            superseded: receipt.superseded.len(),
            silver_version: receipt.silver_version,
            ..Sums::default()
        }
    }
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.ticks += other.ticks;
        self.messages += other.messages;
        self.records += other.records;
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.cleaned += other.cleaned;
        self.skipped += other.skipped;
        self.quarantined += other.quarantined;
        self.superseded += other.superseded;
        self.silver_version = self.silver_version.max(other.silver_version);
        self.last = self.last.max(other.last);
    }
}

impl std::iter::Sum for Sums {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Sums::default(), |mut sums, one| {
            sums += one;
            sums
        })
    }
}

/// The ticks of a day.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Day {
    /// One more with each change.
    version: u64,
    ticks: BTreeMap<Tick, Sums>,
}

/// The days of a year.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Year {
    days: BTreeMap<NaiveDate, OfDay>,
}

/// A day's sums, as of a version of the day's object.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct OfDay {
    version: u64,
    sums: Sums,
}

/// Writes what became of a tick. Replaces what was written before.
///
/// # Errors
/// The store fails. Then call this again.
pub async fn put(lake: &Lake, tick: Tick, sums: Sums) -> Result<(), LakeError> {
    let put = |ticks: &mut BTreeMap<Tick, Sums>| {
        ticks.insert(tick, sums);
    };
    change(lake, tick, put).await
}

/// Removes what is written of a tick.
///
/// # Errors
/// The store fails.
pub async fn forget(lake: &Lake, tick: Tick) -> Result<(), LakeError> {
    if get(lake, tick).await?.is_none() {
        return Ok(());
    }
    let remove = |ticks: &mut BTreeMap<Tick, Sums>| {
        ticks.remove(&tick);
    };
    change(lake, tick, remove).await
}

/// What became of a tick, if it was closed. A tick that is open again may differ by now.
///
/// # Errors
/// The store fails, or the object is damaged.
pub async fn get(lake: &Lake, tick: Tick) -> Result<Option<Sums>, LakeError> {
    Ok(of_day(lake, tick.day()).await?.get(&tick).copied())
}

/// What became of the ticks of a day that were closed.
///
/// # Errors
/// The store fails, or the object is damaged.
pub async fn of_day(lake: &Lake, day: NaiveDate) -> Result<BTreeMap<Tick, Sums>, LakeError> {
    Ok(object::<Day>(lake, &day_path(day)).await?.ticks)
}

/// The sums of each day on which a tick was closed.
///
/// # Errors
/// The store fails, or an object is damaged.
pub async fn days(lake: &Lake) -> Result<BTreeMap<NaiveDate, Sums>, LakeError> {
    let years = lake.bronze.list_with_delimiter(Some(&Path::from(FOLDER))).await?.objects;
    let mut days = BTreeMap::new();
    for year in years {
        let year: Year = object(lake, &year.location).await?;
        days.extend(year.days.into_iter().map(|(day, of)| (day, of.sums)));
    }
    Ok(days)
}

async fn change(
    lake: &Lake,
    tick: Tick,
    change: impl Fn(&mut BTreeMap<Tick, Sums>) + Send + Sync,
) -> Result<(), LakeError> {
    let date = tick.day();
    let mut now = OfDay::default();
    changed(lake, &day_path(date), |day: &mut Day| {
        change(&mut day.ticks);
        day.version += 1;
        now = OfDay { version: day.version, sums: day.ticks.values().copied().sum() };
    })
    .await?;
    let year = Path::from(format!("{FOLDER}/{:04}.json", date.year()));
    changed(lake, &year, |year: &mut Year| {
        let there = year.days.entry(date).or_default();
        // Another process may have been here with a later version of the day.
        if there.version < now.version {
            *there = now;
        }
    })
    .await
}

async fn changed<T: Default + Serialize + DeserializeOwned>(
    lake: &Lake,
    path: &Path,
    mut change: impl FnMut(&mut T) + Send,
) -> Result<(), LakeError> {
    update(&*lake.bronze, path, |there| {
        let corrupt = |error| LakeError::corrupt(path, error);
        let mut object: T =
            there.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(corrupt)?.unwrap_or_default();
        change(&mut object);
        Ok::<_, LakeError>(Some(serde_json::to_vec(&object).map_err(corrupt)?.into()))
    })
    .await
}

async fn object<T: Default + DeserializeOwned>(lake: &Lake, path: &Path) -> Result<T, LakeError> {
    let Some(bytes) = read_if_there(&*lake.bronze, path).await? else { return Ok(T::default()) };
    serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(path, error))
}

fn day_path(day: NaiveDate) -> Path {
    Path::from(format!("{FOLDER}/{:04}/{:02}{:02}.json", day.year(), day.month(), day.day()))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn what_is_said_again_of_a_tick_takes_the_place_of_what_was_said() {
        let store = || Arc::new(InMemory::new());
        let lake = Lake { bronze: store(), silver: store(), gold: store(), buckets: NonZeroU32::MIN };
        let tick = |text: &str| Tick::parse(text).unwrap();
        let (first, second, third) = (tick("20251231T030000Z"), tick("20260101T030000Z"), tick("20260101T040000Z"));
        let sums = |tick, records| Sums { ticks: 1, records, last: Some(tick), ..Sums::default() };
        for (tick, records) in [(first, 1), (second, 2), (third, 5), (second, 3), (second, 3)] {
            put(&lake, tick, sums(tick, records)).await.unwrap();
        }
        let days = days(&lake).await.unwrap();
        assert_eq!(days.keys().map(ToString::to_string).collect::<Vec<_>>(), ["2025-12-31", "2026-01-01"]);
        let all: Sums = days.into_values().sum();
        assert_eq!((all.ticks, all.records, all.last), (3, 9, Some(third)));
        forget(&lake, third).await.unwrap();
        assert_eq!(
            (get(&lake, third).await.unwrap(), get(&lake, second).await.unwrap()),
            (None, Some(sums(second, 3)))
        );
        let all: Sums = super::days(&lake).await.unwrap().into_values().sum();
        assert_eq!((all.ticks, all.records, all.last), (2, 4, Some(second)));
    }
}
