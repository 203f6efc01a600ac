//! What a process knows of kept answers, and how it keeps more.
//!
//! Does not know a service or a plugin. An answer that it does not know is asked for again, so it looks where an answer may be: at what the
//! other ticks of the day asked, at earlier answers for a message that comes again, and, for records of the past, at the whole day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use records::keys::Tick;
use seams::clock::Clock;
use seams::http::HttpAnswer;
use seams::plugin::EndpointRequest;
use seams::store::{Created, Path, create, read_if_there};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::group::{Active, Group, Origin};
use super::index::{self, Index};
use super::kept::{AnswerId, FOLDER};
use super::objects::retain;
use super::place::{AnswerAt, own};
use super::shelf::Shelf;
use crate::failure::Failure;
use crate::{Lake, LakeError, bronze};

/// The most days that a process knows.
const MOST_DAYS: usize = 3;
/// How long the keeper holds packs that it has read: another process may erase a record meanwhile.
const HELD_FOR: TimeDelta = TimeDelta::seconds(60);

/// What is asked for, and where it may be.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The message.
    pub origin: Origin,
    /// Places of answers that the record was given before.
    pub before: &'a [String],
    /// Whether the record is one of the past: then its whole day is searched, however long that takes.
    pub past: bool,
}

/// What is known of a day.
#[derive(Debug, Default)]
struct Day {
    index: Index,
    /// The ticks for which the answers of the other ticks were looked up.
    ticks: BTreeSet<Tick>,
    /// Whether all packs of the day have been looked at.
    whole: bool,
}

/// The kept answers of a lake, as one process knows them.
#[derive(Debug)]
pub struct Keeper {
    lake: Lake,
    clock: Arc<dyn Clock>,
    days: Mutex<BTreeMap<NaiveDate, Day>>,
    /// Held by the task that looks into the lake: other tasks wait for what it finds.
    looking: tokio::sync::Mutex<()>,
    shelf: Shelf,
    /// Since when nothing was taken off the shelf.
    shelved: Mutex<DateTime<Utc>>,
    singles: OnceCell<Option<NaiveDate>>,
    group: Group,
}

/// Until when earlier versions of the program kept each answer in its own object.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    /// The last day that may have such answers; none if no day has.
    singles_until: Option<NaiveDate>,
}

impl Keeper {
    /// The keeper of a lake's answers.
    #[must_use]
    pub fn of(lake: &Lake, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Keeper {
            lake: lake.clone(),
            group: Group::of(lake, Arc::clone(&clock)),
            shelved: Mutex::new(clock.now()),
            clock,
            days: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            shelf: Shelf::default(),
            singles: OnceCell::new(),
        })
    }

    /// A record is under way until the returned value is dropped. Answers that others wait for are written only when this record rests, or
    /// after two seconds.
    pub fn active(&self) -> Active<'_> {
        self.group.active()
    }

    /// Finds out which answers may be kept for a message, before work on it begins. `again` says that the message was delivered before.
    ///
    /// # Errors
    /// The store fails.
    pub async fn begin(&self, origin: Origin, again: bool) -> Result<(), LakeError> {
        let known = |days: &BTreeMap<NaiveDate, Day>| {
            days.get(&origin.tick.day()).is_some_and(|day| day.ticks.contains(&origin.tick))
        };
        if known(&self.days()) && !again {
            return Ok(());
        }
        let _looking = self.looking.lock().await;
        if !known(&self.days()) {
            let before = index::before(&self.lake, origin.tick).await?;
            self.learn(origin.tick, |day| {
                day.index.extend(&before);
                day.ticks.insert(origin.tick);
            });
        }
        if again {
            let found = index::of_message(&self.lake, origin.tick, origin.batch).await?;
            self.learn(origin.tick, |day| day.index.extend(&found));
        }
        Ok(())
    }

    /// The answer kept under `id`, as far as it can be known, and its place.
    ///
    /// # Errors
    /// The store fails, or the answer cannot be read.
    pub async fn find(&self, id: &AnswerId, asked: Asked<'_>) -> Result<Option<(AnswerAt, HttpAnswer)>, LakeError> {
        for at in asked.before.iter().map(|text| AnswerAt::from_text(text)).filter(|at| at.id() == id) {
            if let Some(found) = self.read(at).await? {
                return Ok(Some(found));
            }
        }
        if let Some(found) = self.known(id, asked.origin.tick).await? {
            return Ok(Some(found));
        }
        let day = asked.origin.tick.day();
        if asked.past || self.singles_until().await?.is_some_and(|until| day <= until) {
            let found = self.read(AnswerAt { pack: None, id: id.clone() }).await?;
            if found.is_some() || !asked.past {
                return Ok(found);
            }
        } else {
            return Ok(None);
        }
        self.look_through(asked.origin.tick).await?;
        self.known(id, asked.origin.tick).await
    }

    /// Keeps an answer, together with those of other records. The answer is in the store when this returns. Of two answers that race the
    /// first one counts, and both callers get it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn keep(
        &self,
        record: &Active<'_>,
        origin: Origin,
        id: &AnswerId,
        request: &EndpointRequest,
        answer: HttpAnswer,
    ) -> Result<(AnswerAt, HttpAnswer), Failure> {
        // Another record may have asked the same in the meantime.
        if let Some(earlier) = self.known(id, origin.tick).await? {
            return Ok(earlier);
        }
        let (at, answer) = self.group.keep(record, origin, id, request, answer).await?;
        if let Some(pack) = &at.pack {
            self.learn(origin.tick, |day| day.index.add(id, pack));
        }
        Ok((at, answer))
    }

    /// Forgets an answer that turned out to be none: a service that says "too many requests" with status 200.
    ///
    /// # Errors
    /// The store fails.
    pub async fn forget(&self, at: &AnswerAt) -> Result<(), LakeError> {
        self.days().values_mut().for_each(|day| day.index.remove(&at.id));
        if let Some(pack) = &at.pack {
            self.shelf.drop_pack(pack);
        }
        retain(&self.lake, &at.path(), |other| other != at).await.map(drop)
    }

    /// Forgets what is known of the lake: answers were erased.
    pub fn clear(&self) {
        self.days().clear();
        self.shelf.clear();
    }

    async fn known(&self, id: &AnswerId, tick: Tick) -> Result<Option<(AnswerAt, HttpAnswer)>, LakeError> {
        let pack = self.days().get(&tick.day()).and_then(|day| day.index.pack_of(id));
        let Some(pack) = pack else { return Ok(None) };
        let found = self.read(AnswerAt { pack: Some(pack), id: id.clone() }).await?;
        if found.is_none() {
            self.learn(tick, |day| day.index.remove(id));
        }
        Ok(found)
    }

    /// Looks at all packs of a day, once.
    async fn look_through(&self, tick: Tick) -> Result<(), LakeError> {
        let _looking = self.looking.lock().await;
        if self.days().get(&tick.day()).is_some_and(|day| day.whole) {
            return Ok(());
        }
        let found = index::of_day(&self.lake, tick).await?;
        self.learn(tick, |day| {
            day.index.extend(&found);
            day.whole = true;
        });
        Ok(())
    }

    async fn read(&self, at: AnswerAt) -> Result<Option<(AnswerAt, HttpAnswer)>, LakeError> {
        let now = self.clock.now();
        {
            let mut since = self.shelved.lock().unwrap_or_else(PoisonError::into_inner);
            if (now - *since).abs() >= HELD_FOR {
                self.shelf.clear();
                *since = now;
            }
        }
        Ok(self.shelf.read(&self.lake, &at).await?.map(|(_, answer)| (at, answer)))
    }

    /// The last day that may have answers in their own objects. It is found out once for each lake, and written down.
    async fn singles_until(&self) -> Result<Option<NaiveDate>, LakeError> {
        self.singles.get_or_try_init(|| find_singles(&self.lake)).await.copied()
    }

    fn learn(&self, tick: Tick, change: impl FnOnce(&mut Day)) {
        let mut days = self.days();
        change(days.entry(tick.day()).or_default());
        while days.len() > MOST_DAYS {
            let oldest = days.keys().find(|day| **day != tick.day()).copied();
            if let Some(oldest) = oldest {
                days.remove(&oldest);
            }
        }
    }

    fn days(&self) -> MutexGuard<'_, BTreeMap<NaiveDate, Day>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn find_singles(lake: &Lake) -> Result<Option<NaiveDate>, LakeError> {
    let path = Path::from_iter([FOLDER, "packed.json"]);
    let parse = |bytes: &[u8]| -> Result<Option<NaiveDate>, LakeError> {
        let packed: Packed = serde_json::from_slice(bytes).map_err(|error| LakeError::corrupt(&path, error))?;
        Ok(packed.singles_until)
    };
    if let Some(bytes) = read_if_there(&*lake.bronze, &path).await? {
        return parse(&bytes);
    }
    // No host of this version has worked here yet, so the first object listed is one of those, or there is none.
    let listing = lake.bronze.list(Some(&Path::from(FOLDER)));
    let mut singles = listing.try_filter(|object| std::future::ready(own(&object.location).is_some())).boxed();
    let singles_until = match singles.try_next().await? {
        Some(_) => bronze::ticks(lake).await?.last().map(|tick| tick.day()),
        None => None,
    };
    let body = serde_json::to_vec(&Packed { singles_until }).map_err(|error| LakeError::corrupt(&path, error))?;
    match create(&*lake.bronze, &path, body.into()).await? {
        Created::New => Ok(singles_until),
        Created::Existing(bytes) => parse(&bytes),
    }
}
