//! When a tick is done: every record that it took is in its place. Counted from the lake, whichever host did the work.
//!
//! Does not do any of the work, and does not look for what was lost: `drivers::sweep` does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use super::service::Service;
use super::serving::Serving;
use crate::failure::Failure;
use crate::lake::keys::Tick;
use crate::lake::silver::SilverVersion;
use crate::lake::{bronze, receipts};
use crate::seams::store::Path;

/// Between two looks: at first, doubled each time, and at most. Each look lists what the tick has made.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Receipts that are read at once.
const AT_ONCE: usize = 16;

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

impl Come {
    /// Whether Silver is done with every record.
    #[must_use]
    pub fn is_cleaned(&self) -> bool {
        self.cleaned >= self.records
    }
}

/// How far a tick has come, counted from the lake.
pub async fn how_far(service: &Service, tick: Tick) -> Result<Come, Failure> {
    let lake = &service.enrich.lake;
    let inventory = bronze::inventory(lake, Some(tick)).await?;
    let messages = bronze::snapshots(lake, &inventory).await?;
    let there: BTreeSet<&Path> = inventory.objects.iter().collect();
    let mut come = Come { records: messages.iter().map(|message| message.entries.len()).sum(), ..Come::default() };
    let made = messages.iter().map(|message| (message.object(), message.entries.len()));
    let made: Vec<(Path, usize)> = made.filter(|(object, _)| there.contains(object)).collect();
    come.enriched = made.iter().map(|(_, count)| count).sum();
    let looks = made.iter().map(async |(object, count)| Ok::<_, Failure>((receipts::get(lake, object).await?, *count)));
    let looks: Vec<_> = looks.collect();
    let seen: Vec<_> = futures::stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    for (receipt, count) in seen {
        let Some(receipt) = receipt else { continue };
        come.cleaned += count;
        come.skipped += receipt.skipped.len();
        come.quarantined += receipt.quarantined.len();
        come.silver_version = come.silver_version.max(receipt.silver_version);
    }
    Ok(come)
}

/// Waits until a tick is done, and says so in the log, with its counts and how long it took.
pub(super) async fn tell(serving: Arc<Serving>, tick: Tick, fired_at: DateTime<Utc>, stop: CancellationToken) {
    let mut pause = LOOK.0;
    while !stop.is_cancelled() {
        let service = serving.current();
        tokio::select! {
            () = service.clock.sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(LOOK.1);
        match is_done(&service, tick).await {
            Ok(Some(come)) => return say(&service, tick, come, fired_at),
            Ok(None) => {}
            // Whoever does the work meets it as well, and says so louder.
            Err(error) => tracing::debug!(%tick, %error, "cannot see how far the tick has come"),
        }
    }
}

/// What has become of a tick's records, if it is done: Silver with all of them, and each Gold table with that Silver.
async fn is_done(service: &Service, tick: Tick) -> Result<Option<Come>, Failure> {
    let come = how_far(service, tick).await?;
    if !come.is_cleaned() {
        return Ok(None);
    }
    let newest = service.clean.silver.snapshot().await?.named();
    let wanted = SilverVersion { number: come.silver_version, ..newest.clone() };
    for table in &service.aggregate.tables {
        // One whose plugin fails is not waited for: nothing more will come of it by itself.
        if !table.holds(&wanted, &newest).await? && service.aggregate.failure(table).await?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(come))
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
