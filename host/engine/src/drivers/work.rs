//! The three queues' work: from a delivery's bytes to the role that does it.
//!
//! Does not settle deliveries.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use lake::Lake;
use lake::bronze::{self, Message};
use lake::events::{Again, NewObject, NewVersion, ToEnrich, Unreadable, decode, enrich_work, object_of};
use lake::failure::Failure;
use lake::quarantine::{self, REFUSED_MESSAGE, Refused, RefusedAt};
use records::keys::Tick;
use records::record::{Record, text_value};
use seams::plugin::{Plugin, PluginStamp};
use seams::queue::Delivery;
use seams::spans::{About, Place, TOLD_IN_THE_END};
use seams::store::Path;
use tokio::sync::Semaphore;

use super::consumer::{GivenUp, Work};
use super::service::Service;
use super::serving::Serving;
use crate::roles::aggregate::{Came, told};

/// How much of a bad message is kept.
const MOST_KEPT: usize = 1 << 20;

/// Work of the enrich queue.
pub struct EnrichQueue {
    /// What serves.
    pub serving: Arc<Serving>,
    /// A permit for each record that does something at once.
    pub turns: Semaphore,
}

impl EnrichQueue {
    /// Whether the lake has the tick that a message belongs to. If not, the tick was taken back, or the queue was another lake's: what came
    /// of its records would belong to no tick.
    async fn has_tick(&self, lake: &Lake, body: &[u8]) -> Result<bool, Failure> {
        match object_of(body).and_then(|(object, _)| bronze::tick_of(&object)) {
            Some(tick) => self.serving.has_tick(lake, tick).await,
            None => Ok(true),
        }
    }

    async fn one(&self, service: &Service, delivery: &Delivery) -> Result<(), Failure> {
        let role = &service.enrich;
        let work = enrich_work(&role.lake, &delivery.body).await;
        let ours = match &work {
            Ok(ToEnrich::Message(Message { pipeline, .. }) | ToEnrich::Again(Again { pipeline, .. })) => {
                *pipeline == role.pipeline
            }
            Err(Unreadable::Now(_)) => true,
            Err(Unreadable::Ever(_)) => false,
        };
        if ours && !self.has_tick(&role.lake, &delivery.body).await? {
            tracing::warn!(delivery = delivery.id, "its tick is not in this lake, dropped");
            return Ok(());
        }
        match work {
            Ok(ToEnrich::Message(message)) if ours => role.message(&message, delivery.receives > 1, &self.turns).await,
            Ok(ToEnrich::Again(again)) if ours => role.again(&again, &self.turns).await,
            Ok(ToEnrich::Message(Message { pipeline, .. }) | ToEnrich::Again(Again { pipeline, .. })) => {
                let reason = format!("message of pipeline `{pipeline}` in the queue of `{}`", role.pipeline);
                refuse(service, delivery, reason).await
            }
            Err(Unreadable::Now(failure)) => Err(failure),
            Err(Unreadable::Ever(reason)) => refuse(service, delivery, reason).await,
        }
    }
}

#[async_trait]
impl Work for EnrichQueue {
    fn version(&self) -> u64 {
        self.serving.number()
    }

    async fn renewed(&self, seen: u64) {
        self.serving.renewed(seen).await;
    }

    async fn fall_back(&self, seen: u64, reason: &str) -> bool {
        self.serving.fall_back("enrich", seen, reason).await
    }

    fn notes_waits_in(&self) -> Option<Lake> {
        Some(self.serving.current().enrich.lake.clone())
    }

    async fn ready(&self) -> Result<(), Failure> {
        self.serving.current().enrich.breaker.ready().await
    }

    async fn is_lifted(&self) -> bool {
        self.serving.current().enrich.breaker.is_lifted().await
    }

    fn about(&self, delivery: &Delivery) -> About {
        let role = &self.serving.current().enrich;
        let plugin = role.plugin.as_deref().map(stamp);
        let Some((object, fresh)) = object_of(&delivery.body) else { return About { plugin, ..About::default() } };
        let about = About { plugin, ..of_object(&role.pipeline, &object) };
        // The first try of a batch has the place that later work computes for it; a later try has its own.
        let first = about.run.filter(|_| fresh && delivery.receives == 1);
        let place = match first {
            Some(tick) => Some(Place::of_batch(&role.pipeline, tick, object.as_ref())),
            None => about.parent.map(|parent| try_of(parent, "enrich", delivery)),
        };
        About { place, ..about }
    }

    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let service = self.serving.current();
        futures::future::join_all(deliveries.iter().map(|delivery| self.one(&service, delivery))).await
    }

    async fn give_up(&self, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure> {
        let reason = &why.to_string();
        let service = self.serving.current();
        match enrich_work(&service.enrich.lake, &delivery.body).await {
            Ok(ToEnrich::Message(message)) => service.enrich.give_up(&message, reason).await,
            Ok(ToEnrich::Again(again)) => {
                // Its records are in Bronze and stay as they are: the caller that asked for it may ask again.
                tracing::error!(object = again.bronze, reason, "enriching again is given up");
                Ok(())
            }
            // What it points to could not be read in all allowed tries: what there is of it is kept.
            Err(Unreadable::Now(failure)) => refuse(&service, delivery, format!("{reason}; {failure}")).await,
            Err(Unreadable::Ever(reason)) => refuse(&service, delivery, reason).await,
        }
    }
}

async fn refuse(service: &Service, delivery: &Delivery, reason: String) -> Result<(), Failure> {
    tracing::error!(delivery = delivery.id, reason, "not a message of this pipeline, quarantined");
    let input = format!("queue:{}", delivery.id);
    let kept = delivery.body.slice(..delivery.body.len().min(MOST_KEPT));
    let text = String::from_utf8_lossy(&kept).into_owned();
    let refused = Refused {
        id: Refused::id_of(RefusedAt::Enrich, &input, 0),
        stage: RefusedAt::Enrich,
        code: REFUSED_MESSAGE.to_owned(),
        reason: format!("not a message of this pipeline: {reason}"),
        key: None,
        seq: Tick::at(service.clock.now()),
        input,
        plugin: None,
        generation: 0,
        record: Record::from_iter([("message".to_owned(), text_value(&text))]),
        line: None,
        details: Vec::new(),
    };
    Ok(quarantine::put(&service.enrich.lake, &refused).await?)
}

/// Work of the clean queue: all deliveries in hand become one commit.
pub struct CleanQueue {
    /// What serves.
    pub serving: Arc<Serving>,
}

#[async_trait]
impl Work for CleanQueue {
    fn version(&self) -> u64 {
        self.serving.number()
    }

    async fn renewed(&self, seen: u64) {
        self.serving.renewed(seen).await;
    }

    async fn fall_back(&self, seen: u64, reason: &str) -> bool {
        self.serving.fall_back("clean", seen, reason).await
    }

    fn notes_waits_in(&self) -> Option<Lake> {
        Some(self.serving.current().enrich.lake.clone())
    }

    async fn ready(&self) -> Result<(), Failure> {
        self.serving.current().clean.breaker.ready().await
    }

    async fn is_lifted(&self) -> bool {
        self.serving.current().clean.breaker.is_lifted().await
    }

    fn about(&self, delivery: &Delivery) -> About {
        let service = self.serving.current();
        let plugin = Some(stamp(&*service.clean.plugin));
        let Ok(event) = decode::<NewObject>(&delivery.body) else { return About { plugin, ..About::default() } };
        let object = Path::from(event.bronze);
        let about = of_object(&service.pipeline, &object);
        let batch = about.run.filter(|_| bronze::is_first(&object));
        let parent = batch.map(|tick| Place::of_batch(&service.pipeline, tick, object.as_ref())).or(about.parent);
        About { plugin, parent, place: parent.map(|parent| try_of(parent, "clean", delivery)), ..about }
    }

    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let events: Vec<NewObject> = readable("clean", deliveries);
        if events.is_empty() {
            return for_all(deliveries.len(), Ok(()));
        }
        match self.serving.current().clean.objects(&events).await {
            Err(failure) => for_all(deliveries.len(), Err(failure)),
            Ok(alone) if alone.is_empty() => for_all(deliveries.len(), Ok(())),
            Ok(alone) => deliveries.iter().map(|delivery| result_of(delivery, &alone)).collect(),
        }
    }

    async fn give_up(&self, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure> {
        match why {
            // The lake was in trouble, not the object: what is in Bronze waits there for the next sweep.
            GivenUp::Failed { failure: Failure::Transient(_), .. } => abandon("clean", delivery, why),
            // If it were found again, it would only fail again.
            GivenUp::Failed { .. } | GivenUp::NeverEnded { .. } => {
                let service = self.serving.current();
                for event in readable("clean", std::slice::from_ref(delivery)) {
                    service.clean.give_up(&event, &why.to_string()).await?;
                }
            }
        }
        Ok(())
    }
}

/// Work of the aggregate queue: all deliveries in hand become one version of each table.
pub struct AggregateQueue {
    serving: Arc<Serving>,
}

impl AggregateQueue {
    /// Work for what serves.
    #[must_use]
    pub fn new(serving: Arc<Serving>) -> Self {
        AggregateQueue { serving }
    }

    /// Makes the tables. A table whose plugin fails stays as it is, with a note beside it. That does not fail the work: the others go on.
    async fn make(&self, events: &[NewVersion]) -> Result<(), Failure> {
        let (seen, service) = (self.serving.number(), self.serving.current());
        let mut gravest: Option<Failure> = None;
        for (table, came) in service.aggregate.each(events).await? {
            let failure = match came {
                Ok(Came::Made) => {
                    if service.progress.set_behind(&table, None) {
                        tracing::info!(table, "the table is made again");
                    }
                    continue;
                }
                Ok(Came::Behind(note)) => {
                    service.progress.set_behind(&table, Some(told(&note)));
                    continue;
                }
                Err(Failure::Plugin(reason)) => {
                    if self.serving.fall_back(&format!("aggregate {table}"), seen, &reason).await {
                        // The version that serves now makes the table.
                        Failure::Plugin(reason)
                    } else {
                        tracing::error!(target: TOLD_IN_THE_END, table, reason, "its plugin failed, the table stays as it is");
                        service.progress.set_behind(&table, Some(reason));
                        continue;
                    }
                }
                Err(failure) => failure,
            };
            if gravest.as_ref().is_none_or(|gravest| failure.gravity() > gravest.gravity()) {
                gravest = Some(failure);
            }
        }
        gravest.map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Work for AggregateQueue {
    fn version(&self) -> u64 {
        self.serving.number()
    }

    async fn renewed(&self, seen: u64) {
        self.serving.renewed(seen).await;
    }

    fn notes_waits_in(&self) -> Option<Lake> {
        Some(self.serving.current().enrich.lake.clone())
    }

    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let events: Vec<NewVersion> = readable("aggregate", deliveries);
        let result = if events.is_empty() { Ok(()) } else { self.make(&events).await };
        for_all(deliveries.len(), result)
    }

    async fn give_up(&self, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure> {
        abandon("aggregate", delivery, why);
        Ok(())
    }
}

/// What the name of an object of Bronze says of work on it.
fn of_object(pipeline: &str, object: &Path) -> About {
    let run = bronze::tick_of(object);
    let parent = run.map(|tick| Place::of_tick(pipeline, tick));
    About { run, parent, batch: Some(object.to_string()), ..About::default() }
}

/// The place of a delivery: each has its own.
fn try_of(parent: Place, stage: &str, delivery: &Delivery) -> Place {
    parent.step(&[stage, &delivery.id, &delivery.receives.to_string()])
}

fn stamp(plugin: &(impl Plugin + ?Sized)) -> String {
    PluginStamp::of(plugin).short()
}

/// The events that can be read. Others hold nothing that a sweep does not find again.
fn readable<T: for<'de> serde::Deserialize<'de>>(stage: &str, deliveries: &[Delivery]) -> Vec<T> {
    let mut events = Vec::new();
    for delivery in deliveries {
        match decode(&delivery.body) {
            Ok(event) => events.push(event),
            Err(reason) => {
                tracing::error!(stage, delivery = delivery.id, ?reason, "not an event of this stage, dropped")
            }
        }
    }
    events
}

/// An event is only news of what is in the lake: the next sweep finds it.
fn abandon(stage: &str, delivery: &Delivery, why: &GivenUp) {
    tracing::error!(stage, delivery = delivery.id, reason = %why, "event given up, the next sweep will find its work");
}

/// The result of a delivery in a batch where only the objects in `alone` failed.
fn result_of(delivery: &Delivery, alone: &BTreeMap<Path, Failure>) -> Result<(), Failure> {
    let object = decode::<NewObject>(&delivery.body).ok().map(|event| Path::from(event.bronze));
    object.and_then(|object| alone.get(&object)).map_or(Ok(()), |failure| Err(failure.clone()))
}

/// Gives each delivery the result of the whole.
fn for_all(count: usize, result: Result<(), Failure>) -> Vec<Result<(), Failure>> {
    vec![result; count]
}
