//! Where a pipeline stands, read from the lake and the queues: what is in each layer, what is refused, how far each is behind.
//!
//! Does not change anything, and does not compute anything again: `verify` does.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use engine::drivers::service::Service;
use engine::roles::aggregate::GoldTable;
use engine::roles::breaker::Suspension;
use lake::delta::LastCommit;
use lake::failure::Failure;
use lake::quarantine;
use lake::swaps::{self, Event};
use lake::waiting::{self, Waiting};
use records::keys::Tick;
use seams::plugin::PluginStamp;
use seams::queue::StageQueue;
use serde::Serialize;

mod ticks;
mod unreadable;
mod watermark;

use ticks::{Part, Ticks};
use unreadable::Unreadable;
pub use watermark::Watermark;

/// A pipeline's status.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The pipeline.
    pub pipeline: String,
    /// When this was read.
    pub at: DateTime<Utc>,
    /// The last tick that took records.
    pub last_tick: Option<Tick>,
    /// Ticks in the lake that are still to come, through a wrong clock or a typing error. Until then, what the schedule brings counts as older.
    pub future_ticks: Vec<Tick>,
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
    pub suspended: BTreeMap<String, Suspension>,
    /// What stages wait for, and until when: a service, a quota, a secret, disk space.
    pub waiting: Vec<Waiting>,
    /// The fate of the plugin that was published last, by stage; that of the pipeline file as `pipeline`.
    pub swaps: BTreeMap<String, Event>,
    /// The plugins that this configuration loads, by stage.
    pub plugins: BTreeMap<String, PluginStamp>,
    /// What could not be read, and why: `bronze`, `silver`, `gold NAME`, `queue NAME`, `quarantine`, `suspended`, `waiting`, `swaps`, and, from
    /// the process that loads them, `plugin STAGE`. Its value elsewhere in this status means nothing.
    pub unreadable: BTreeMap<String, String>,
}

impl Status {
    /// Why `part` could not be read, if so.
    #[must_use]
    pub fn why_not(&self, part: &str) -> Option<&str> {
        self.unreadable.get(part).map(String::as_str)
    }

    /// The document for machines: null where something could not be read.
    #[must_use]
    pub fn document(&self) -> serde_json::Value {
        let mut document = serde_json::to_value(self).unwrap_or_default();
        for part in self.unreadable.keys() {
            let (section, name) = match part.split_once(' ') {
                Some(("queue", name)) => ("queues", Some(name)),
                Some(("plugin", name)) => ("plugins", Some(name)),
                Some((section, name)) => (section, Some(name)),
                None => (part.as_str(), None),
            };
            let place = document.get_mut(section);
            match (place, name) {
                (Some(place), None) => *place = serde_json::Value::Null,
                (Some(place), Some(name)) => {
                    if let Some(members) = place.as_object_mut() {
                        // If a plugin cannot be loaded, the one that serves in its place may be known.
                        members.entry(name.to_owned()).or_insert(serde_json::Value::Null);
                    }
                }
                (None, _) => {}
            }
        }
        document
    }
}

/// Messages of one stage.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct QueueStatus {
    /// Messages that may be received now.
    pub ready: u64,
    /// Messages that become ready later.
    pub delayed: u64,
    /// Messages that are being worked on.
    pub in_flight: u64,
    /// Messages that the queue has given up.
    pub dead: u64,
    /// When the oldest of all these was first sent.
    pub oldest: Option<DateTime<Utc>>,
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
    /// Its watermark: a record that a tick took has arrived; one that has a line is done.
    pub watermark: Watermark,
}

/// What became of the record versions that reached the clean stage: `standing`, `superseded`, `skipped` and `quarantined` add up to
/// `seen`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SilverStatus {
    /// The table's version.
    pub version: i64,
    /// Rows in the table.
    pub rows: u64,
    /// Record versions seen.
    pub seen: usize,
    /// Record versions whose rows are in the table.
    pub standing: usize,
    /// Record versions that another version replaced.
    pub superseded: usize,
    /// Record versions that the plugin skipped.
    pub skipped: usize,
    /// Record versions that were refused at enrich or clean.
    pub quarantined: usize,
    /// Bronze objects not seen yet.
    pub unseen_objects: usize,
    /// Its watermark: a version that has a line of Bronze has arrived; one in one of the four places for good is done.
    pub watermark: Watermark,
    /// The table's last commit.
    pub last_commit: Option<LastCommit>,
}

/// One Gold table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GoldStatus {
    /// Rows.
    pub rows: usize,
    /// The Silver version that it was computed from.
    pub silver_version: Option<i64>,
    /// Whether that version belongs to an earlier Silver table, which was removed.
    pub other_silver: bool,
    /// The Silver version since which it is unchanged, because its plugin fails.
    pub behind_since: Option<i64>,
    /// Its watermark: what Silver is done with has arrived; what that version of Silver holds is done.
    pub watermark: Watermark,
    /// The table's last commit.
    pub last_commit: LastCommit,
}

/// Reads the status of `service`. What cannot be read is reported, and the rest is read all the same.
///
/// # Errors
/// None so far: what fails is part of the status.
pub async fn status(service: &Service) -> Result<Status, Failure> {
    let lake = &service.enrich.lake;
    let mut unreadable = Unreadable::default();
    let ticks = Ticks::read(lake, &mut unreadable).await;
    let bronze = BronzeStatus {
        ticks: ticks.sums.ticks,
        messages: ticks.sums.messages,
        objects: ticks.objects(),
        records: ticks.sums.records,
        watermark: watermark::watermark(&ticks.parts, |_| true, |part| part.has_object),
    };
    let mut quarantine = BTreeMap::new();
    for refused in unreadable.or_default("quarantine", quarantine::all(lake).await) {
        *quarantine.entry(refused.stage.name()).or_default() += 1;
    }
    let silver = unreadable.or_default("silver", silver(service, &ticks).await);
    Ok(Status {
        pipeline: service.pipeline.clone(),
        at: service.clock.now(),
        last_tick: ticks.sums.last,
        future_ticks: unreadable.or_default("bronze", service.future_ticks().await),
        next_tick: service.schedule.as_ref().and_then(|schedule| schedule.next_after(service.clock.now())),
        queues: queues_as_far(service, &mut unreadable).await,
        silver,
        bronze,
        gold: gold(service, &ticks, &mut unreadable).await,
        quarantine,
        suspended: unreadable.or_default("suspended", suspended(service).await),
        waiting: unreadable.or_default("waiting", waiting::all(lake, service.clock.now()).await),
        swaps: unreadable.or_default("swaps", swaps(service).await),
        plugins: plugins(service),
        unreadable: unreadable.0,
    })
}

/// The messages of each stage whose queue answers.
async fn queues_as_far(service: &Service, unreadable: &mut Unreadable) -> BTreeMap<&'static str, QueueStatus> {
    let mut queues = BTreeMap::new();
    for (stage, queue) in service.queues.all() {
        match depth(queue).await {
            Ok(depth) => drop(queues.insert(stage, depth)),
            Err(failure) => drop(unreadable.0.insert(format!("queue {stage}"), failure.to_string())),
        }
    }
    queues
}

/// The messages of each stage.
///
/// # Errors
/// A queue does not answer.
pub async fn queues(service: &Service) -> Result<BTreeMap<&'static str, QueueStatus>, Failure> {
    let mut queues = BTreeMap::new();
    for (stage, queue) in service.queues.all() {
        queues.insert(stage, depth(queue).await?);
    }
    Ok(queues)
}

async fn depth(queue: &StageQueue) -> Result<QueueStatus, Failure> {
    let depth = queue.live.depth().await?;
    let dead = queue.dead.depth().await?;
    let oldest = depth.oldest.into_iter().chain(dead.oldest).min();
    let (ready, delayed, in_flight, dead) = (depth.ready, depth.delayed, depth.in_flight, dead.total());
    Ok(QueueStatus { ready, delayed, in_flight, dead, oldest })
}

async fn silver(service: &Service, ticks: &Ticks) -> Result<SilverStatus, Failure> {
    let snapshot = service.clean.silver.snapshot().await?;
    let mut status = SilverStatus { version: snapshot.version, rows: snapshot.rows, ..SilverStatus::default() };
    status.unseen_objects = ticks.unseen;
    status.watermark = watermark::watermark(&ticks.parts, |part| part.has_object, |part| part.seen_at.is_some());
    status.last_commit = Some(service.clean.silver.last_commit().await?);
    status.standing = service.clean.silver.standing(&snapshot).await?;
    let sums = &ticks.sums;
    (status.seen, status.skipped, status.quarantined) = (sums.lines, sums.skipped, sums.quarantined);
    status.superseded = sums.superseded + sums.cleaned.saturating_sub(status.standing);
    Ok(status)
}

/// The Gold tables that can be read.
async fn gold(service: &Service, ticks: &Ticks, unreadable: &mut Unreadable) -> BTreeMap<String, GoldStatus> {
    let mut gold = BTreeMap::new();
    for table in &service.aggregate.tables {
        match one_gold(service, table, ticks).await {
            Ok(status) => drop(gold.insert(table.name.clone(), status)),
            Err(failure) => drop(unreadable.0.insert(format!("gold {}", table.name), failure.to_string())),
        }
    }
    gold
}

async fn one_gold(service: &Service, table: &GoldTable, ticks: &Ticks) -> Result<GoldStatus, Failure> {
    let made_from = table.gold.made_from().await?;
    // If Silver cannot be read, that is reported elsewhere.
    let newest = service.clean.silver.snapshot().await.ok().map(|snapshot| snapshot.named());
    let other_silver = made_from.as_ref().zip(newest).is_some_and(|(made_from, newest)| !made_from.is_of(&newest));
    let silver_version = made_from.map(|made_from| made_from.number);
    let behind_since = service.aggregate.failure(table).await?.and_then(|note| Some(note.behind?.since.number));
    let rows = table.gold.current().await?.map_or(0, |rows| rows.num_rows());
    let holds = |version: i64| !other_silver && silver_version.is_some_and(|holds| version <= holds);
    // If it does not hold a day's last version, it may still hold some ticks of that day.
    let parts = ticks.in_detail(&service.enrich.lake, holds).await?;
    let seen = |part: &Part| part.seen_at.is_some();
    let watermark = watermark::watermark(&parts, seen, |part| part.seen_at.is_some_and(holds));
    let last_commit = table.gold.last_commit().await?;
    Ok(GoldStatus { rows, silver_version, other_silver, behind_since, watermark, last_commit })
}

async fn suspended(service: &Service) -> Result<BTreeMap<String, Suspension>, Failure> {
    let mut suspended = BTreeMap::new();
    for (stage, breaker) in [("enrich", &service.enrich.breaker), ("clean", &service.clean.breaker)] {
        suspended.extend(breaker.suspension().await?.map(|suspension| (stage.to_owned(), suspension)));
    }
    for table in &service.aggregate.tables {
        let failure = service.aggregate.failure(table).await?;
        suspended.extend(failure.map(|suspension| (format!("aggregate {}", table.name), suspension)));
    }
    Ok(suspended)
}

/// The last event of each stage.
async fn swaps(service: &Service) -> Result<BTreeMap<String, Event>, Failure> {
    let mut last = BTreeMap::new();
    for stage in plugins(service).into_keys().chain(["pipeline".to_owned()]) {
        if let Some(event) = swaps::latest(&service.enrich.lake, &stage).await? {
            last.insert(stage, event);
        }
    }
    Ok(last)
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
