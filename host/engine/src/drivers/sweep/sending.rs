//! Sending again what was lost: at once where the queue knows what it holds, else only what cannot be queued any more.
//!
//! Does not find out what is missing: `drivers::look` does.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use lake::bronze::stream;
use lake::events::{NewObject, encode, send_missing};
use lake::failure::Failure;
use lake::open::{self, Mark};
use seams::clock::Clock;
use seams::queue::StageQueue;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::drivers::look::{Look, Snapshot};
use crate::drivers::service::{Service, is_empty};
use crate::roles::ingest::send;

/// Messages that are read before they are sent.
const AT_ONCE: usize = 256;

/// A stage's queue in one turn of a sweep.
pub(super) struct Sender<'a> {
    queue: &'a StageQueue,
    clock: &'a dyn Clock,
    over: &'a CancellationToken,
    empty: OnceCell<bool>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(queue: &'a StageQueue, clock: &'a dyn Clock, over: &'a CancellationToken) -> Self {
        Sender { queue, clock, over, empty: OnceCell::new() }
    }

    /// Whether what was sent at `sent`, if ever, may be sent again: it is no longer queued, or the queue itself sees that it is.
    pub(super) async fn may_send(&self, sent: Option<DateTime<Utc>>) -> Result<bool, Failure> {
        let (Some(blind), Some(sent)) = (self.queue.live.blind(), sent) else { return Ok(true) };
        let age = self.clock.now() - sent;
        let span = |span| TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
        // What was sent just now may not be counted yet.
        Ok(age >= span(blind.retention) || (age.abs() >= span(blind.settles) && self.is_empty().await?))
    }

    /// Whether nothing waits and nothing is under way: where counts are estimates, in two looks, once a turn.
    pub(super) async fn is_empty(&self) -> Result<bool, Failure> {
        let looks = async || {
            if !is_empty(self.queue).await? {
                return Ok(false);
            }
            let Some(blind) = self.queue.live.blind() else { return Ok(true) };
            tokio::select! {
                () = self.clock.sleep(blind.settles) => is_empty(self.queue).await,
                () = self.over.cancelled() => Ok(false),
            }
        };
        self.empty.get_or_try_init(looks).await.copied()
    }

    fn is_blind(&self) -> bool {
        self.queue.live.blind().is_some()
    }
}

/// Queues what is missing of a tick and may be sent.
pub(super) async fn send_again(
    service: &Service,
    (look, marks): (&Look, &[Mark]),
    (enrich, clean): (&Sender<'_>, &Sender<'_>),
) -> Result<(), Failure> {
    let begun = service.clock.now();
    let mut sent = BTreeMap::new();
    // The host that fires the tick is about to send its messages.
    if !(enrich.is_blind() && marks.iter().any(|mark| mark.is_at_work(begun))) {
        for snapshot in look.snapshots.iter().filter(|snapshot| snapshot.missing > 0) {
            if enrich.may_send(sent_at(snapshot, marks)).await? {
                send_messages(service, look, snapshot).await?;
                sent.insert(snapshot.name().to_owned(), begun);
            }
        }
    }
    let told = marks.iter().filter_map(|mark| mark.told).max();
    let mut events = Vec::new();
    for (object, at) in look.unseen() {
        // The worker that has written an object tells of it at once.
        if clean.may_send(told.max(Some(at))).await? {
            events.push(encode(&NewObject::whole(object)));
        }
    }
    send_missing(&*service.queues.clean.live, &events).await?;
    let told = (clean.is_blind() && !events.is_empty()).then_some(begun);
    if told.is_some() || (enrich.is_blind() && !sent.is_empty()) {
        let mark = Mark { at: begun, settled: true, sent, told, ..Mark::default() };
        open::note(&service.enrich.lake, look.tick, &mark).await?;
    }
    Ok(())
}

/// When the messages of a snapshot were sent, as far as marks say so.
fn sent_at(snapshot: &Snapshot, marks: &[Mark]) -> Option<DateTime<Utc>> {
    // A version that wrote no marks sent them when it had written the snapshot.
    let found = marks.iter().any(|mark| mark.found).then_some(snapshot.at);
    marks.iter().filter_map(|mark| mark.sent.get(snapshot.name()).copied()).max().or(found)
}

async fn send_messages(service: &Service, look: &Look, snapshot: &Snapshot) -> Result<(), Failure> {
    let (lake, queue) = (&service.enrich.lake, &*service.queues.enrich.live);
    let mut messages = stream::messages(lake, &snapshot.path).await?;
    let mut some = Vec::new();
    while let Some(message) = messages.try_next().await? {
        if !look.has(&message.object()) {
            some.push(message);
        }
        if some.len() == AT_ONCE {
            send(lake, queue, std::mem::take(&mut some)).await?;
        }
    }
    send(lake, queue, some).await?;
    Ok(())
}
