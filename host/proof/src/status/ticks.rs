//! The state of the ticks: closed ones as recorded, open ones as counted.
//!
//! Does not change anything, and holds a part for each day and for each message of an open tick, not for each record.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;
use engine::drivers::look::look;
use futures::{StreamExt, TryStreamExt};
use lake::bronze::stream;
use lake::closed::{self, Sums};
use lake::failure::Failure;
use lake::{Lake, LakeError, bronze, open, sweeping};
use records::keys::Tick;

use super::unreadable::Unreadable;

/// Days that are read at once.
const AT_ONCE: usize = 16;

/// Records that are equally far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Their tick, or the last of their ticks.
    pub(super) tick: Tick,
    /// How many record versions they are.
    pub(super) records: usize,
    /// Whether they have lines in Bronze.
    pub(super) has_object: bool,
    /// The Silver version in which they are done, if the clean stage is done with them.
    pub(super) seen_at: Option<i64>,
}

/// All ticks of a lake.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    /// The counts of all of them.
    pub(super) sums: Sums,
    /// Objects without a receipt.
    pub(super) unseen: usize,
    /// Their records.
    pub(super) parts: Vec<Part>,
    /// Messages without an object.
    missing: usize,
    /// The days that are one part.
    days: BTreeSet<NaiveDate>,
}

impl Ticks {
    /// Reads as much as can be read.
    pub(super) async fn read(lake: &Lake, unreadable: &mut Unreadable) -> Self {
        let mut ticks = Ticks::default();
        let open = match ticks.closed(lake).await {
            Ok(open) => open,
            Err(error) => {
                drop(unreadable.0.insert("bronze".to_owned(), error.to_string()));
                return ticks;
            }
        };
        for tick in open {
            if let Err((layer, failure)) = ticks.add(lake, tick).await {
                drop(unreadable.0.insert(layer.to_owned(), failure.to_string()));
            }
        }
        ticks
    }

    /// Messages that have their object.
    pub(super) fn objects(&self) -> usize {
        self.sums.messages.saturating_sub(self.missing)
    }

    /// The parts; a day that is not wholly done is replaced by its ticks.
    pub(super) async fn in_detail(&self, lake: &Lake, done: impl Fn(i64) -> bool) -> Result<Vec<Part>, Failure> {
        let is_whole = |part: &&Part| !self.days.contains(&part.tick.day()) || part.seen_at.is_some_and(&done);
        let (mut parts, split): (Vec<Part>, Vec<Part>) = self.parts.iter().partition(is_whole);
        let days: Vec<_> = split.iter().map(|part| closed::of_day(lake, part.tick.day())).collect();
        let mut days = futures::stream::iter(days).buffered(AT_ONCE);
        while let Some(day) = days.try_next().await? {
            parts.extend(day.into_iter().map(|(tick, sums)| part_of(tick, &sums)));
        }
        Ok(parts)
    }

    /// Adds the closed ticks; returns the open ones.
    async fn closed(&mut self, lake: &Lake) -> Result<Vec<Tick>, LakeError> {
        if !sweeping::read(lake).await?.marked {
            return bronze::ticks(lake).await;
        }
        let open: BTreeSet<Tick> = open::ticks(lake).await?.into_keys().collect();
        let in_part: BTreeSet<NaiveDate> = open.iter().map(|tick| tick.day()).collect();
        for (day, sums) in closed::days(lake).await? {
            if in_part.contains(&day) {
                // The recorded counts of a tick that is open again do not hold any more.
                let closed = closed::of_day(lake, day).await?.into_iter().filter(|(tick, _)| !open.contains(tick));
                for (tick, sums) in closed {
                    self.sums += sums;
                    self.parts.push(part_of(tick, &sums));
                }
                continue;
            }
            self.sums += sums;
            self.days.insert(day);
            self.parts.extend(sums.last.map(|last| part_of(last, &sums)));
        }
        Ok(open.into_iter().collect())
    }

    /// Counts an open tick. An error names its layer.
    async fn add(&mut self, lake: &Lake, tick: Tick) -> Result<(), (&'static str, LakeError)> {
        let of_bronze = |error| ("bronze", error);
        let look = look(lake, tick).await.map_err(of_bronze)?;
        let mut sums = look.outline();
        let mut seen: HashMap<String, i64> = HashMap::new();
        let mut damaged = Ok(());
        let mut receipts = std::pin::pin!(look.receipts(lake));
        loop {
            match receipts.try_next().await {
                Ok(Some((path, receipt))) => {
                    sums += Sums::of(&receipt);
                    seen.insert(path.to_string(), receipt.silver_version);
                }
                Ok(None) => break,
                Err(error) => {
                    damaged = Err(("silver", error));
                    break;
                }
            }
        }
        for snapshot in &look.snapshots {
            let mut messages = stream::outlines(lake, &snapshot.path).await.map_err(of_bronze)?;
            while let Some(message) = messages.try_next().await.map_err(of_bronze)? {
                let (object, records) = (message.object(), message.records());
                let (has_object, seen_at) = (look.has(&object), seen.get(object.as_ref()).copied());
                self.parts.push(Part { tick, records, has_object, seen_at });
            }
        }
        self.missing += look.missing();
        self.unseen += look.unseen().count();
        self.sums += sums;
        damaged
    }
}

fn part_of(tick: Tick, sums: &Sums) -> Part {
    Part { tick, records: sums.records, has_object: true, seen_at: Some(sums.silver_version) }
}
