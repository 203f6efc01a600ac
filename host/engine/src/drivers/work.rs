//! The three queues' work: from a delivery's bytes to the role that does it.
//!
//! Does not settle deliveries.

use std::sync::Arc;

use async_trait::async_trait;

use super::consumer::{GivenUp, Work};
use crate::failure::Failure;
use crate::lake::bronze::Message;
use crate::lake::keys::{Record, Tick};
use crate::lake::quarantine::{self, REFUSED_MESSAGE, Refused, RefusedAt};
use crate::roles::aggregate::Aggregate;
use crate::roles::clean::Clean;
use crate::roles::enrich::Enrich;
use crate::roles::events::{Again, NewObject, NewVersion, ToEnrich, Unreadable, decode, enrich_work};
use crate::seams::clock::Clock;
use crate::seams::queue::Delivery;

/// How much of a bad message is kept.
const MOST_KEPT: usize = 1 << 20;

/// Work of the enrich queue.
pub struct EnrichQueue {
    /// The role.
    pub role: Arc<Enrich>,
    /// When a bad message was found.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl Work for EnrichQueue {
    async fn ready(&self) -> Result<(), Failure> {
        self.role.breaker.ready().await
    }

    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        futures::future::join_all(deliveries.iter().map(|delivery| self.one(delivery))).await
    }

    async fn give_up(&self, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure> {
        let reason = &why.to_string();
        match enrich_work(&self.role.lake, &delivery.body).await {
            Ok(ToEnrich::Message(message)) => self.role.give_up(&message, reason).await,
            Ok(ToEnrich::Again(again)) => {
                // Its records are in Bronze and stay as they are: whoever asked for it may ask again.
                tracing::error!(object = again.bronze, reason, "enriching again is given up");
                Ok(())
            }
            // What it points to could not be read as often as is allowed: what there is of it is kept.
            Err(Unreadable::Now(failure)) => self.refuse(delivery, format!("{reason}; {failure}")).await,
            Err(Unreadable::Ever(reason)) => self.refuse(delivery, reason).await,
        }
    }
}

impl EnrichQueue {
    async fn one(&self, delivery: &Delivery) -> Result<(), Failure> {
        match enrich_work(&self.role.lake, &delivery.body).await {
            Ok(ToEnrich::Message(message)) if message.pipeline == self.role.pipeline => {
                self.role.message(&message).await
            }
            Ok(ToEnrich::Again(again)) if again.pipeline == self.role.pipeline => self.role.again(&again).await,
            Ok(ToEnrich::Message(Message { pipeline, .. }) | ToEnrich::Again(Again { pipeline, .. })) => {
                let reason = format!("message of pipeline `{pipeline}` in the queue of `{}`", self.role.pipeline);
                self.refuse(delivery, reason).await
            }
            Err(Unreadable::Now(failure)) => Err(failure),
            Err(Unreadable::Ever(reason)) => self.refuse(delivery, reason).await,
        }
    }

    async fn refuse(&self, delivery: &Delivery, reason: String) -> Result<(), Failure> {
        tracing::error!(message = delivery.id, reason, "not a message of this pipeline, quarantined");
        let input = format!("queue:{}", delivery.id);
        let kept = delivery.body.slice(..delivery.body.len().min(MOST_KEPT));
        let text = String::from_utf8_lossy(&kept).into_owned();
        let refused = Refused {
            id: Refused::id_of(RefusedAt::Enrich, &input, 0),
            stage: RefusedAt::Enrich,
            code: REFUSED_MESSAGE.to_owned(),
            reason: format!("not a message of this pipeline: {reason}"),
            key: None,
            seq: Tick::at(self.clock.now()),
            input,
            plugin: None,
            generation: 0,
            record: Record::from_iter([("message".to_owned(), text.into())]),
            details: Vec::new(),
        };
        Ok(quarantine::put(&self.role.lake, &refused).await?)
    }
}

/// Work of the clean queue: all deliveries in hand become one commit.
pub struct CleanQueue {
    /// The role.
    pub role: Arc<Clean>,
}

#[async_trait]
impl Work for CleanQueue {
    async fn ready(&self) -> Result<(), Failure> {
        self.role.breaker.ready().await
    }

    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let events: Vec<NewObject> = readable("clean", deliveries);
        let result = if events.is_empty() { Ok(()) } else { self.role.objects(&events).await };
        for_all(deliveries.len(), result)
    }

    async fn give_up(&self, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure> {
        match why {
            // The lake was in trouble, not the object: what is in Bronze waits there for the next sweep.
            GivenUp::Failed { failure: Failure::Transient(_), .. } => abandon("clean", delivery, why),
            // Found again it would only do it again.
            GivenUp::Failed { .. } | GivenUp::NeverEnded { .. } => {
                for event in readable("clean", std::slice::from_ref(delivery)) {
                    self.role.give_up(&event, &why.to_string()).await?;
                }
            }
        }
        Ok(())
    }
}

/// Work of the aggregate queue: all deliveries in hand become one version of each table.
pub struct AggregateQueue {
    /// The role.
    pub role: Arc<Aggregate>,
}

#[async_trait]
impl Work for AggregateQueue {
    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let events: Vec<NewVersion> = readable("aggregate", deliveries);
        let result = if events.is_empty() { Ok(()) } else { self.role.versions(&events).await };
        for_all(deliveries.len(), result)
    }

    async fn give_up(&self, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure> {
        abandon("aggregate", delivery, why);
        Ok(())
    }
}

/// The events that can be read. Others hold nothing that a sweep does not find again.
fn readable<T: for<'de> serde::Deserialize<'de>>(stage: &str, deliveries: &[Delivery]) -> Vec<T> {
    let mut events = Vec::new();
    for delivery in deliveries {
        match decode(&delivery.body) {
            Ok(event) => events.push(event),
            Err(reason) => {
                tracing::error!(stage, message = delivery.id, ?reason, "not an event of this stage, dropped")
            }
        }
    }
    events
}

/// An event is only news of what is in the lake: the next sweep finds it.
fn abandon(stage: &str, delivery: &Delivery, why: &GivenUp) {
    tracing::error!(stage, message = delivery.id, reason = %why, "event given up, the next sweep will find its work");
}

/// What became of the whole became of each.
fn for_all(count: usize, result: Result<(), Failure>) -> Vec<Result<(), Failure>> {
    vec![result; count]
}
