//! The schedule at work: waits for each scheduled instant and fires its tick, and those missed while no host was there.
//!
//! Does not compute instants: `pipeline::schedule` does.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use lake::{Lake, LakeError, ticks};
use pipeline::schedule::{Missed, Schedule};
use records::keys::Tick;
use seams::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::consumer::bug;
use crate::roles::ingest::Ingest;
use crate::stopping;

const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// Longest sleep without a look at the clock, which may have been set.
const LONGEST_SLEEP: chrono::TimeDelta = chrono::TimeDelta::seconds(60);
/// A clock that is set back by less is merely corrected.
const SET_BACK: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// How far back to look for ticks that failed while later ones did not.
const LOOK_BACK: chrono::TimeDelta = chrono::TimeDelta::days(7);

/// The ticks up to `now` that were missed and that the policy asks for, oldest first: those after the last one that any host has fired.
/// Where the policy asks for each, also those of the last days that failed although later ones did not. A lake without ticks has missed
/// none.
///
/// # Errors
/// The lake cannot be read.
pub async fn missed(schedule: &Schedule, lake: &Lake, now: DateTime<Utc>) -> Result<Vec<Tick>, LakeError> {
    let Some(last) = ticks::last(lake, now).await? else { return Ok(Vec::new()) };
    let mut missed: BTreeSet<Tick> = due(schedule, last.instant(), now).into_iter().collect();
    if schedule.missed() == Missed::All {
        let there = ticks::between(lake, now - LOOK_BACK, last.instant()).await?;
        if let Some(first) = there.first() {
            let all = schedule.between(first.instant(), last.instant()).map(Tick::at);
            missed.extend(all.filter(|tick| !there.contains(tick)));
        }
    }
    Ok(missed.into_iter().collect())
}

/// Fires those ticks that were `missed` up to an instant, then each at its time, until `stop`.
pub async fn keep(
    schedule: &Schedule,
    (missed, up_to): (Vec<Tick>, DateTime<Utc>),
    ingest: &Ingest,
    clock: &Arc<dyn Clock>,
    stop: &CancellationToken,
) {
    let mut done_up_to = up_to;
    for tick in missed {
        fire(ingest, tick, clock, stop).await;
    }
    while !stop.is_cancelled() {
        let now = clock.now();
        if now + SET_BACK < done_up_to {
            let by_s = (done_up_to - now).num_seconds();
            let next = schedule.next_after(done_up_to).map(|next| next.to_string()).unwrap_or_default();
            tracing::warn!(
                by_s,
                done_up_to = %done_up_to,
                next,
                "the clock was set back: ticks that come again are the same ticks and change nothing, the next new one is later by as much"
            );
        }
        for tick in due(schedule, done_up_to, now) {
            fire(ingest, tick, clock, stop).await;
        }
        // Not the later of both: a clock that ran ahead and was set right must not stop the schedule. A tick fired twice changes nothing.
        done_up_to = now;
        let Some(next) = schedule.next_after(done_up_to) else {
            tracing::warn!(%schedule, "the schedule names no further instant");
            stop.cancelled().await;
            return;
        };
        tokio::select! {
            // A span, not an instant: the next look notices a clock that is set back meanwhile.
            () = clock.sleep((next - clock.now()).min(LONGEST_SLEEP).to_std().unwrap_or_default()) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// The ticks after `done_up_to` and up to `now` that the policy asks for. One that is on time is always among them.
fn due(schedule: &Schedule, done_up_to: DateTime<Utc>, now: DateTime<Utc>) -> Vec<Tick> {
    let latest = || schedule.latest_at_or_before(now).filter(|instant| *instant > done_up_to);
    let chosen: Vec<DateTime<Utc>> = match schedule.missed() {
        Missed::All => schedule.between(done_up_to, now).collect(),
        Missed::Once => latest().into_iter().collect(),
        Missed::Skip => latest().filter(|instant| now - *instant <= LONGEST_SLEEP).into_iter().collect(),
    };
    chosen.into_iter().map(Tick::at).collect()
}

/// Fires one tick, as often as it takes. A source that is away for an hour, or malformed until an operator mends it, delays its tick. It
/// does not lose it, and does not stop what is under way.
async fn fire(ingest: &Ingest, tick: Tick, clock: &Arc<dyn Clock>, stop: &CancellationToken) {
    let mut delay = FIRST_RETRY;
    while !stop.is_cancelled() {
        let fired = tokio::select! {
            // A source that makes the host panic costs its tick a try, and other work nothing.
            fired = AssertUnwindSafe(ingest.fire(tick)).catch_unwind() => fired.unwrap_or_else(|panic| Err(bug(panic))),
            // It is left as if the host had died, which costs nothing.
            () = stopping::under(stop, stopping::overdue(&**clock)) => return,
        };
        match fired {
            Ok(_) => return ingest.progress.fired(tick, clock.now()),
            Err(failure) => tracing::error!(%tick, error = %failure, ?delay, "tick failed, will be tried again"),
        }
        tokio::select! {
            () = clock.sleep(delay) => {}
            () = stop.cancelled() => {}
        }
        delay = (delay * 2).min(LONGEST_RETRY);
    }
}
