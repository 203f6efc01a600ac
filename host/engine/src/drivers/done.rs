//! When a tick is done: it is closed, whichever host did the work.
//!
//! Does not do any of the work, and does not look for what was lost: `drivers::sweep` does.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::closed::{self, Sums};
use lake::failure::Failure;
use lake::open;
use records::keys::Tick;
use tokio_util::sync::CancellationToken;

use super::look::look;
use super::service::Service;
use super::serving::Serving;
use super::sweep::close_if_done;

/// The pause between two looks at a tick: the first, which doubles each time, and the longest.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));

/// What has become of the records of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Come {
    /// Records in the tick's messages.
    pub records: usize,
    /// Those with a line in Bronze.
    pub enriched: usize,
    /// Those that Silver is done with: in it, skipped or refused.
    pub cleaned: usize,
    /// Rightly made no row.
    pub skipped: usize,
    /// Refused at enrich or clean.
    pub quarantined: usize,
    /// The Silver version in which all that is cleaned holds.
    pub silver_version: i64,
}

impl From<Sums> for Come {
    fn from(sums: Sums) -> Self {
        let Sums { records, skipped, quarantined, silver_version, .. } = sums;
        Come { records, enriched: records, cleaned: records, skipped, quarantined, silver_version }
    }
}

/// How far a tick has come: what its closing says if it is closed, else counted from the lake.
///
/// # Errors
/// The lake cannot be read.
pub async fn how_far(service: &Service, tick: Tick) -> Result<Come, Failure> {
    let lake = &service.enrich.lake;
    if !open::ticks(lake).await?.contains_key(&tick)
        && let Some(sums) = closed::get(lake, tick).await?
    {
        return Ok(sums.into());
    }
    let look = look(lake, tick).await?;
    let sums = look.sums(lake, || true).await?.unwrap_or_default();
    Ok(Come { enriched: look.enriched, cleaned: look.cleaned, ..sums.into() })
}

/// A tick that was fired in this process and is not known to be done.
struct Waiting {
    tick: Tick,
    fired_at: DateTime<Utc>,
    /// Until the next look, and the whole pause.
    left: Duration,
    pause: Duration,
}

/// Watches the ticks that this process fires, until `stop`: closes each when it is done, and logs its counts and how long it took.
pub(super) async fn follow(serving: &Serving, stop: &CancellationToken) {
    let mut waiting: Vec<Waiting> = Vec::new();
    while !stop.is_cancelled() {
        let service = serving.current();
        let next = waiting.iter().map(|one| one.left).min();
        let begun = service.clock.now();
        tokio::select! {
            (tick, fired_at) = service.progress.next_fired() => {
                waiting.push(Waiting { tick, fired_at, left: LOOK.0, pause: LOOK.0 });
            }
            () = service.clock.sleep(next.unwrap_or(LOOK.1)) => {}
            () = stop.cancelled() => return,
        }
        // A clock that is set meanwhile only moves a look.
        let passed = (service.clock.now() - begun).to_std().unwrap_or_default().max(Duration::from_millis(1));
        for one in &mut waiting {
            one.left = one.left.saturating_sub(passed);
        }
        let due: Vec<Waiting> = waiting.extract_if(.., |one| one.left.is_zero()).collect();
        for one in due {
            let looked = tokio::select! {
                looked = close_if_done(&service, one.tick) => looked,
                () = stop.cancelled() => return,
            };
            match looked {
                Ok(Some(sums)) => {
                    say(&service, one.tick, sums.into(), one.fired_at);
                    continue;
                }
                Ok(None) => {}
                // The consumer that does the work meets it as well, and says so louder.
                Err(error) => tracing::debug!(tick = %one.tick, %error, "cannot see how far the tick has come"),
            }
            let pause = (one.pause * 2).min(LOOK.1);
            waiting.push(Waiting { left: pause, pause, ..one });
        }
    }
}

/// The line that says that a tick is done.
pub(super) fn say(service: &Service, tick: Tick, come: Come, fired_at: DateTime<Utc>) {
    let took = (service.clock.now() - fired_at).to_std().unwrap_or_default();
    let Come { records, skipped, quarantined, silver_version, .. } = come;
    let tables = service.aggregate.tables.len();
    let pipeline = service.pipeline.as_str();
    let behind = service.progress.behind().into_keys().collect::<Vec<_>>().join(", ");
    let behind = Some(behind).filter(|tables| !tables.is_empty());
    tracing::info!(
        pipeline, run = %tick, records, skipped, quarantined, silver_version, tables, behind, ?took, "tick done"
    );
}
