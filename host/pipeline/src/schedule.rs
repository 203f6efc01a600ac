//! When a pipeline ticks: cron expressions, time zones, and what happens to ticks that no host was there for.
//!
//! Does not wait and does not know the time: the schedule driver does.
//!
//! Clocks that change: an expression that names its hours (`30 2 * * *`) means the wall clock. A time that the change leaves out moves to
//! the first instant after the gap. A time that the change repeats counts the first time only. So each day has its ticks, once. An
//! expression with steps of hours (`*/15 * * * *`, `0 */2 * * *`) means elapsed time: it skips what is left out and fires in both halves of
//! what is repeated.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::cron;
pub use super::cron::{NICKNAMES, ScheduleError};

/// The instants at which a pipeline ticks.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    cron: Cron,
    /// Whether the hours are steps instead of named hours.
    rolling: bool,
    zone: Tz,
    missed: Missed,
}

/// What to do about ticks that passed while the host was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// Nothing.
    Skip,
    /// Fire the last of them.
    #[default]
    Once,
    /// Fire each of them.
    All,
}

impl Schedule {
    /// Reads a five-field cron expression, a nickname such as `@daily`, or EventBridge's `cron(0 3 * * ? *)`.
    pub fn parse(text: &str, zone: Tz, missed: Missed) -> Result<Self, ScheduleError> {
        let text = text.trim();
        let (cron, rolling) = cron::parse(text)?;
        let schedule = Schedule { text: text.to_owned(), cron, rolling, zone, missed };
        // Any instant that is early enough for an expression with a year will do.
        match schedule.next_after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(text.to_owned())),
        }
    }

    /// The expression as it was written.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.text
    }

    /// The time zone that the expression is read in.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// What to do about missed ticks.
    #[must_use]
    pub fn missed(&self) -> Missed {
        self.missed
    }

    /// The first tick after `instant`; `None` if there is none before the year 5000.
    #[must_use]
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (instant, local) = self.local(instant)?;
        if self.rolling {
            let here = instant.with_timezone(&self.zone);
            return Some(self.cron.find_next_occurrence(&here, false).ok()?.with_timezone(&Utc));
        }
        let mut wall = local;
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            // In the repeated half of an overlap the wall clock runs behind what has fired.
            if let Some(tick) = self.instant_of(wall).filter(|tick| *tick > instant) {
                return Some(tick);
            }
        }
    }

    /// The last tick at or before `instant`: what a host that starts now would fire. `None` if there is none.
    #[must_use]
    pub fn latest_at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (instant, local) = self.local(instant)?;
        if self.rolling {
            let here = instant.with_timezone(&self.zone);
            return Some(self.cron.find_previous_occurrence(&here, true).ok()?.with_timezone(&Utc));
        }
        // In the repeated half of an overlap, ticks that have fired stand later on the wall clock than now.
        let mut wall = local.checked_add_days(Days::new(1))?;
        loop {
            wall = self.cron.find_previous_occurrence(&wall, false).ok()?;
            if let Some(tick) = self.instant_of(wall).filter(|tick| *tick <= instant) {
                return Some(tick);
            }
        }
    }

    /// The ticks after `after`, up to and including `up_to`, in order.
    pub fn between(&self, after: DateTime<Utc>, up_to: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(self.next_after(after), |tick| self.next_after(*tick))
            .take_while(move |tick| *tick <= up_to)
    }

    /// The ticks to fire now, in order, by a host whose last tick was `last`: those that were missed, as far as the policy wants
    /// them.
    #[must_use]
    pub fn catch_up(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        match self.missed {
            Missed::Skip => Vec::new(),
            Missed::Once => self.latest_at_or_before(now).filter(|tick| *tick > last).into_iter().collect(),
            Missed::All => self.between(last, now).collect(),
        }
    }

    /// The instant without its fraction of a second, and the wall clock then. `None` outside of the years that make sense.
    fn local(&self, instant: DateTime<Utc>) -> Option<(DateTime<Utc>, NaiveDateTime)> {
        let sensible = (1..4_990).contains(&instant.year());
        let instant = sensible.then(|| instant.with_nanosecond(0)).flatten()?;
        Some((instant, instant.with_timezone(&self.zone).naive_local()))
    }

    /// When the wall clock shows `wall` for the first time, or would have shown it.
    fn instant_of(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        // The longest gaps in the history of clocks are a day; those of this century are minutes to hours, on whole minutes.
        const LONGEST_GAP_MINUTES: i64 = 25 * 60;
        let shown =
            |minutes| match self.zone.from_local_datetime(&wall.checked_add_signed(TimeDelta::minutes(minutes))?) {
                LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant.with_timezone(&Utc)),
                LocalResult::None => None,
            };
        (0..=LONGEST_GAP_MINUTES).find_map(shown)
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.text, self.zone)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Schedule", 3)?;
        fields.serialize_field("cron", &self.text)?;
        fields.serialize_field("timezone", self.zone.name())?;
        fields.serialize_field("missed", &self.missed)?;
        fields.end()
    }
}
