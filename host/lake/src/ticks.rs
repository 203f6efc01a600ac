//! Which ticks there are, from the marks of open ticks and the sums of closed ones: the cost does not grow with a lake's age.
//!
//! A lake that has no marks yet is listed. Does not write.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use records::keys::Tick;

use super::{Lake, LakeError, bronze, closed, open, sweeping};

/// The last tick up to `now` that took something from the source. A tick in the future, from a wrong clock or by mistake, must not stop the
/// schedule until then.
///
/// # Errors
/// The store fails, or an object is damaged.
pub async fn last(lake: &Lake, now: DateTime<Utc>) -> Result<Option<Tick>, LakeError> {
    let now = Tick::at(now);
    let (candidates, closed) = if sweeping::read(lake).await?.marked {
        (open::ticks(lake).await?.into_keys().collect(), last_closed(lake, now).await?)
    } else {
        (bronze::ticks(lake).await?, None)
    };
    for tick in candidates.into_iter().rev().filter(|tick| *tick <= now && Some(*tick) > closed) {
        if bronze::has_tick(lake, tick).await? {
            return Ok(Some(tick));
        }
    }
    Ok(closed)
}

/// The ticks from one instant to another, both included.
///
/// # Errors
/// The store fails, or an object is damaged.
pub async fn between(lake: &Lake, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<BTreeSet<Tick>, LakeError> {
    let (from, to) = (Tick::at(from), Tick::at(to));
    if !sweeping::read(lake).await?.marked {
        return Ok(bronze::ticks(lake).await?.into_iter().filter(|tick| (from..=to).contains(tick)).collect());
    }
    let mut found = BTreeSet::new();
    for tick in open::ticks(lake).await?.into_keys().filter(|tick| (from..=to).contains(tick)) {
        if bronze::has_tick(lake, tick).await? {
            found.insert(tick);
        }
    }
    for day in from.day().iter_days().take_while(|day| *day <= to.day()) {
        found.extend(closed::of_day(lake, day).await?.into_keys().filter(|tick| (from..=to).contains(tick)));
    }
    Ok(found)
}

async fn last_closed(lake: &Lake, now: Tick) -> Result<Option<Tick>, LakeError> {
    for (day, sums) in closed::days(lake).await?.into_iter().rev().filter(|(day, _)| *day <= now.day()) {
        if sums.last.is_some_and(|last| last <= now) {
            return Ok(sums.last);
        }
        let last = closed::of_day(lake, day).await?.into_keys().rfind(|tick| *tick <= now);
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}
