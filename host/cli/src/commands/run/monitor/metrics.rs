//! The metrics and their names. Each series exists from the start, with zero: a sum or an alarm need not wait for the first event.
//!
//! Does not collect: a scrape makes a registry from the counters, and drops it.

use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use pipeline::role::Role;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Outcome, Progress, QueueStatus};

/// The content type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
/// Where a counter is stored.
type Value = fn(&Progress) -> &AtomicU64;

/// What a scrape shows.
pub(super) struct Metrics {
    registry: Registry,
    counters: Vec<(Family<Labels, Counter>, Value)>,
    up: Family<Labels, Gauge>,
    ended: Family<Labels, Counter>,
    deliveries: Family<Labels, Counter>,
    suspended: Family<Labels, Gauge>,
    behind: Family<Labels, Gauge>,
    waiting: Family<Labels, Gauge>,
    messages: Family<Labels, Gauge>,
    oldest: Family<Labels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sluicebox");
        let build = Family::<Labels, Gauge>::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("build_info", "The program", build);
        let counters = Progress::COUNTERS.map(|(name, help, value)| {
            let family = Family::<Labels, Counter>::default();
            registry.register(name, help, family.clone());
            (family, value)
        });
        let ended = Family::<Labels, Counter>::default();
        registry.register("pipeline_ended", "How often the pipeline has ended and was begun again", ended.clone());
        let deliveries = Family::default();
        let help = "Deliveries in hand, by what became of their work";
        registry.register("deliveries", help, Family::clone(&deliveries));
        let mut gauge = |name, help, unit: Option<Unit>| {
            let family = Family::<Labels, Gauge>::default();
            match unit {
                Some(unit) => registry.register_with_unit(name, help, unit, family.clone()),
                None => registry.register(name, help, family.clone()),
            }
            family
        };
        let up = gauge("pipeline_up", "Whether the pipeline serves", None);
        let suspended = gauge("stage_suspended", "Whether a stage takes no more work in this process", None);
        let behind = gauge("tables_behind", "Gold tables that stay as they are because their plugin fails", None);
        let waiting = gauge("waiting", "Whether work rests for a quota, a secret or a service", None);
        let messages = gauge("queue_messages", "Messages by state", None);
        let oldest = gauge("queue_oldest_message_age", "Age of the oldest message", Some(Unit::Seconds));
        Metrics {
            registry,
            counters: counters.into(),
            up,
            ended,
            deliveries,
            suspended,
            behind,
            waiting,
            messages,
            oldest,
        }
    }
}

impl Metrics {
    /// Whether a pipeline serves, and how often it has ended.
    pub(super) fn life(&mut self, pipeline: &str, serves: bool, ended: u64) {
        let of_pipeline = || vec![("pipeline", pipeline.to_owned())];
        self.up.get_or_create(&of_pipeline()).set(i64::from(serves));
        self.ended.get_or_create(&of_pipeline()).inc_by(ended);
    }

    /// The counters of a pipeline in this process.
    pub(super) fn count(&mut self, pipeline: &str, progress: &Progress) {
        let of_pipeline = || vec![("pipeline", pipeline.to_owned())];
        for (family, value) in &self.counters {
            family.get_or_create(&of_pipeline()).inc_by(Progress::get(value(progress)));
        }
        self.waiting.get_or_create(&of_pipeline()).set(i64::from(progress.waiting_for().is_some()));
        let behind = i64::try_from(progress.behind().len()).unwrap_or(i64::MAX);
        self.behind.get_or_create(&of_pipeline()).set(behind);
        let suspended = progress.suspended();
        for stage in Role::ALL.map(Role::name).into_iter().filter(|stage| *stage != Role::Ingest.name()) {
            let of_stage = || vec![("pipeline", pipeline.to_owned()), ("stage", stage.to_owned())];
            self.suspended.get_or_create(&of_stage()).set(i64::from(suspended.contains_key(stage)));
            for outcome in Outcome::ALL {
                let labels = [of_stage(), vec![("outcome", outcome.name().to_owned())]].concat();
                self.deliveries.get_or_create(&labels).inc_by(progress.deliveries(stage, outcome));
            }
        }
    }

    /// The depth of a stage's queue, and the age if the queue can tell.
    pub(super) fn queue(&mut self, pipeline: &str, stage: &str, queue: &QueueStatus, now: DateTime<Utc>) {
        let of_stage = || vec![("pipeline", pipeline.to_owned()), ("stage", stage.to_owned())];
        let states =
            [("ready", queue.ready), ("delayed", queue.delayed), ("in_flight", queue.in_flight), ("dead", queue.dead)];
        for (state, count) in states {
            let labels = [of_stage(), vec![("state", state.to_owned())]].concat();
            self.messages.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        if let Some(oldest) = queue.oldest {
            self.oldest.get_or_create(&of_stage()).set((now - oldest).num_seconds().max(0));
        }
    }

    /// The text.
    pub(super) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
