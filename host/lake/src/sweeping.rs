//! Whose turn it is to sweep, and where the last turn ended: one small object of the lake.
//!
//! Does not sweep: `drivers::sweep` does.

use chrono::{DateTime, TimeDelta, Utc};
use records::keys::Tick;
use seams::store::{Path, read_if_there, update};
use serde::{Deserialize, Serialize};

use super::{Lake, LakeError};

const NAME: &str = "_sweep.json";

/// How long a turn belongs to a process that does not renew it: the process may have died.
const LEASE: TimeDelta = TimeDelta::minutes(5);
/// The least time from one renewal to the next.
const RENEW_EVERY: TimeDelta = TimeDelta::seconds(30);
/// How often the ticks of a lake are counted against the marks, because a host of an earlier version may be there, which writes none.
const COUNT_EVERY: TimeDelta = TimeDelta::days(1);

/// What is known from one turn to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sweeping {
    /// Whether each tick of the lake has a mark or is closed.
    pub marked: bool,
    /// The Silver table that closed ticks are in.
    pub silver: Option<String>,
    /// When the ticks were last counted.
    pub counted: Option<DateTime<Utc>>,
    /// The open tick at which the next turn begins; at the first one if there is none.
    pub next: Option<Tick>,
    /// Which notes of rows taken back were looked at, and the last tick searched for them; none if the search has ended.
    pub offered: Option<(String, Tick)>,
    /// How often the marks were forgotten.
    forgotten: u64,
    /// Whose turn it is.
    lease: Option<Lease>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    holder: String,
    until: DateTime<Utc>,
}

impl Sweeping {
    /// Whether the ticks must be counted now.
    #[must_use]
    pub fn is_to_be_counted(&self, now: DateTime<Utc>) -> bool {
        self.counted.is_none_or(|counted| (now - counted).abs() >= COUNT_EVERY)
    }

    /// Merges what a turn has found out since it knew `before` into `now`. Returns whether that changes anything.
    fn found_out(&self, before: &Sweeping, now: &mut Sweeping) -> bool {
        if self == before {
            return false;
        }
        (now.next, now.offered, now.counted) = (self.next, self.offered.clone(), self.counted);
        now.silver.clone_from(&self.silver);
        // Marks that were forgotten in the meantime must be made again.
        now.marked = if now.forgotten == before.forgotten { self.marked } else { now.marked };
        true
    }

    /// Whether another process has the turn. A turn that ends later than a turn lasts comes from a wrong clock, and does not count.
    fn is_of_another(&self, holder: &str, now: DateTime<Utc>) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.holder != holder && lease.until > now && lease.until - now <= LEASE)
    }
}

/// What is known.
///
/// # Errors
/// The store fails.
pub async fn read(lake: &Lake) -> Result<Sweeping, LakeError> {
    Ok(read_if_there(&*lake.bronze, &Path::from(NAME)).await?.map(|bytes| parse(&bytes)).unwrap_or_default())
}

/// A turn that belongs to this process.
#[derive(Debug)]
pub struct Held {
    holder: String,
    renewed: DateTime<Utc>,
}

/// Takes the turn, and returns what is known; `None` if another process has the turn.
///
/// # Errors
/// The store fails.
pub async fn take(lake: &Lake, now: DateTime<Utc>) -> Result<Option<(Held, Sweeping)>, LakeError> {
    let holder = uuid::Uuid::new_v4().simple().to_string();
    let known = lease(lake, &holder, now).await?;
    Ok(known.map(|known| (Held { holder, renewed: now }, known)))
}

async fn lease(lake: &Lake, holder: &str, now: DateTime<Utc>) -> Result<Option<Sweeping>, LakeError> {
    let mut taken = None;
    change(lake, |known| {
        taken = None;
        if known.is_of_another(holder, now) {
            return false;
        }
        known.lease = Some(Lease { holder: holder.to_owned(), until: now + LEASE });
        taken = Some(known.clone());
        true
    })
    .await?;
    Ok(taken)
}

impl Held {
    /// Renews the turn. Returns whether it still belongs to this process.
    ///
    /// # Errors
    /// The store fails.
    pub async fn renew(&mut self, lake: &Lake, now: DateTime<Utc>) -> Result<bool, LakeError> {
        if (now - self.renewed).abs() < RENEW_EVERY {
            return Ok(true);
        }
        self.renewed = now;
        Ok(lease(lake, &self.holder, now).await?.is_some())
    }
}

/// Ends a turn, and notes what it has found out since it knew `before`.
///
/// # Errors
/// The store fails. Then the turn ends by the clock.
pub async fn end(lake: &Lake, held: Option<&Held>, before: &Sweeping, now: &Sweeping) -> Result<(), LakeError> {
    if held.is_none() && before == now {
        return Ok(());
    }
    change(lake, |known| {
        let own = |lease: &mut Lease| held.is_some_and(|held| held.holder == lease.holder);
        let had = known.lease.take_if(own).is_some();
        now.found_out(before, known) || had
    })
    .await
}

/// Notes that nothing is known of the marks, so that all ticks are looked at again.
///
/// # Errors
/// The store fails.
pub async fn forget_marks(lake: &Lake) -> Result<(), LakeError> {
    change(lake, |known| {
        known.marked = false;
        known.forgotten += 1;
        true
    })
    .await
}

async fn change(lake: &Lake, mut change: impl FnMut(&mut Sweeping) -> bool + Send) -> Result<(), LakeError> {
    let path = Path::from(NAME);
    update(&*lake.bronze, &path, |there| {
        let mut known = there.map(|bytes| parse(&bytes)).unwrap_or_default();
        if !change(&mut known) {
            return Ok(None);
        }
        let body = serde_json::to_vec(&known).map_err(|error| LakeError::corrupt(&path, error))?;
        Ok::<_, LakeError>(Some(body.into()))
    })
    .await
}

/// What cannot be read is found out again: no record depends on it.
fn parse(bytes: &[u8]) -> Sweeping {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        tracing::warn!(object = NAME, %error, "cannot be read, all ticks are looked at again");
        Sweeping::default()
    })
}
