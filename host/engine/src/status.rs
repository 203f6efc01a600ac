//! Where a pipeline stands, read from the lake and the queues: what is in each layer, what is refused, how far each is behind.
//!
//! Does not change anything, and does not re-compute anything: that is `verify`'s.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::drivers::service::Service;
use crate::failure::Failure;
use crate::lake::bronze::{self, PluginStamp};
use crate::lake::keys::Tick;
use crate::lake::{quarantine, receipts};
use crate::roles::breaker::Suspension;

/// A pipeline's status.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The pipeline.
    pub pipeline: String,
    /// The last tick that took records.
    pub last_tick: Option<Tick>,
    /// The next one.
    pub next_tick: Option<chrono::DateTime<chrono::Utc>>,
    /// Messages by stage.
    pub queues: BTreeMap<&'static str, QueueStatus>,
    /// Bronze.
    pub bronze: BronzeStatus,
    /// Silver.
    pub silver: SilverStatus,
    /// Gold tables by name.
    pub gold: BTreeMap<String, GoldStatus>,
    /// Refused records by stage.
    pub quarantine: BTreeMap<&'static str, usize>,
    /// Stages whose plugin, as configured, is suspended.
    pub suspended: BTreeMap<&'static str, Suspension>,
    /// The plugins that this configuration loads, by stage.
    pub plugins: BTreeMap<String, PluginStamp>,
}

/// Messages of one stage.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct QueueStatus {
    /// May be received now.
    pub ready: u64,
    /// Become ready later.
    pub delayed: u64,
    /// Being worked on.
    pub in_flight: u64,
    /// Given up by the queue.
    pub dead: u64,
}

/// What came in, in record versions.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct BronzeStatus {
    /// Ticks that took records.
    pub ticks: usize,
    /// Messages made by them.
    pub messages: usize,
    /// Messages that have their object.
    pub objects: usize,
    /// Record versions in all messages.
    pub records: usize,
}

/// What became of the record versions that reached the clean stage. The four counts but `rows` add up to `seen`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SilverStatus {
    /// The table's version.
    pub version: i64,
    /// Rows in the table.
    pub rows: u64,
    /// Record versions seen.
    pub seen: usize,
    /// Record versions that made rows, later superseded ones included.
    pub cleaned: usize,
    /// Rightly made none.
    pub skipped: usize,
    /// Refused at enrich or clean.
    pub quarantined: usize,
    /// Bronze objects not seen yet.
    pub unseen_objects: usize,
}

/// One Gold table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GoldStatus {
    /// Rows.
    pub rows: usize,
    /// The Silver version that it holds for.
    pub silver_version: Option<i64>,
}

/// Reads the status of `service`.
pub async fn status(service: &Service) -> Result<Status, Failure> {
    let lake = &service.enrich.lake;
    let inventory = bronze::inventory(lake, None).await?;
    let messages = bronze::snapshots(lake, &inventory).await?;
    let last_tick = inventory.snapshots.iter().filter_map(bronze::tick_of).max();
    let ticks: std::collections::BTreeSet<_> = inventory.snapshots.iter().filter_map(bronze::tick_of).collect();
    let bronze = BronzeStatus {
        ticks: ticks.len(),
        messages: messages.len(),
        objects: inventory.objects.iter().filter(|object| !bronze::is_redo(object)).count(),
        records: messages.iter().map(|message| message.entries.len()).sum(),
    };
    let mut quarantine = BTreeMap::new();
    for refused in quarantine::all(lake).await? {
        *quarantine.entry(refused.stage.name()).or_default() += 1;
    }
    Ok(Status {
        pipeline: service.pipeline.clone(),
        last_tick,
        next_tick: service.schedule.as_ref().and_then(|schedule| schedule.next_after(service.clock.now())),
        queues: queues(service).await?,
        silver: silver(service, inventory.objects.len()).await?,
        bronze,
        gold: gold(service).await?,
        quarantine,
        suspended: suspended(service).await?,
        plugins: plugins(service),
    })
}

async fn queues(service: &Service) -> Result<BTreeMap<&'static str, QueueStatus>, Failure> {
    let mut queues = BTreeMap::new();
    for (stage, queue) in service.queues.all() {
        let depth = queue.live.depth().await?;
        let dead = queue.dead.depth().await?.total();
        queues.insert(
            stage,
            QueueStatus { ready: depth.ready, delayed: depth.delayed, in_flight: depth.in_flight, dead },
        );
    }
    Ok(queues)
}

async fn silver(service: &Service, objects: usize) -> Result<SilverStatus, Failure> {
    let snapshot = service.clean.silver.snapshot().await?;
    let mut status = SilverStatus { version: snapshot.version, rows: snapshot.rows, ..SilverStatus::default() };
    let receipts = receipts::all(&service.enrich.lake).await?;
    status.unseen_objects = objects.saturating_sub(receipts.len());
    for receipt in receipts {
        status.seen += receipt.lines;
        status.cleaned += receipt.cleaned;
        status.skipped += receipt.skipped.len();
        status.quarantined += receipt.quarantined.len();
    }
    Ok(status)
}

async fn gold(service: &Service) -> Result<BTreeMap<String, GoldStatus>, Failure> {
    let mut gold = BTreeMap::new();
    for table in &service.aggregate.tables {
        let silver_version = table.gold.silver_version().await?;
        let rows = table.gold.current().await?.map_or(0, |rows| rows.num_rows());
        gold.insert(table.name.clone(), GoldStatus { rows, silver_version });
    }
    Ok(gold)
}

async fn suspended(service: &Service) -> Result<BTreeMap<&'static str, Suspension>, Failure> {
    let mut suspended = BTreeMap::new();
    for (stage, breaker) in [("enrich", &service.enrich.breaker), ("clean", &service.clean.breaker)] {
        suspended.extend(breaker.suspension().await?.map(|suspension| (stage, suspension)));
    }
    Ok(suspended)
}

fn plugins(service: &Service) -> BTreeMap<String, PluginStamp> {
    let mut plugins = BTreeMap::new();
    if let Some(plugin) = service.enrich.plugin.as_deref() {
        plugins.insert("enrich".to_owned(), PluginStamp::of(plugin));
    }
    plugins.insert("clean".to_owned(), PluginStamp::of(&*service.clean.plugin));
    for table in &service.aggregate.tables {
        plugins.insert(format!("aggregate {}", table.name), PluginStamp::of(&*table.plugin));
    }
    plugins
}
