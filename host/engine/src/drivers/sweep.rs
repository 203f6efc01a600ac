//! The sweep: compares what is in the lake with what each stage has seen, and queues what was lost between two effects.
//!
//! Does not trust the queue to know: a crash between a put and its event leaves no trace there.

use std::collections::BTreeSet;

use tracing::Instrument as _;

use super::consumer::StageQueue;
use super::mending::{mend, taken_back_lately};
use super::service::Service;
use crate::failure::Failure;
use crate::lake::bronze::{self, Inventory};
use crate::lake::{receipts, retracted};
use crate::roles::events::{NewObject, NewVersion, encode, send_all, send_missing};
use crate::roles::ingest::send;
use crate::seams::store::{Path, read};
use crate::spans;

/// What a sweep found not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// Messages without a Bronze object.
    pub messages: usize,
    /// Records in them.
    pub records: usize,
    /// Bronze objects without a receipt.
    pub objects: usize,
    /// Gold tables older than Silver, or made by another plugin.
    pub tables: usize,
    /// Notes of rows that were taken back, whose keys' older versions were not offered again yet.
    pub retracted: usize,
}

impl Missing {
    /// Whether all is done.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Missing::default()
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Missing { messages, records, objects, tables, retracted } = self;
        write!(
            f,
            "{records} records in {messages} messages have no object in bronze, {objects} objects are not cleaned, {tables} gold tables are not made from what silver is, {retracted} notes of rows taken back are open"
        )
    }
}

/// Looks at everything, and queues what is missing if `repair`.
pub async fn sweep(service: &Service, repair: bool) -> Result<Missing, Failure> {
    look(service, repair).instrument(spans::pipeline(&service.pipeline)).await
}

async fn look(service: &Service, repair: bool) -> Result<Missing, Failure> {
    let lake = &service.enrich.lake;
    let inventory = bronze::inventory(lake, None).await?;
    let objects: BTreeSet<&Path> = inventory.objects.iter().collect();
    let mut messages = bronze::snapshots(lake, &inventory).await?;
    messages.retain(|message| !objects.contains(&message.object()));
    let seen = receipts::objects(lake).await?;
    let unseen: Vec<&Path> = inventory.objects.iter().filter(|object| !seen.contains(object.as_ref())).collect();
    let behind = service.aggregate.behind().await?;
    let notes = retracted::notes(lake).await?;
    let missing = Missing {
        messages: messages.len(),
        records: messages.iter().map(|message| message.entries.len()).sum(),
        objects: unseen.len(),
        tables: behind.tables,
        retracted: notes.len(),
    };
    if repair {
        // Another host may have refused something by a plugin of which it did not know yet that it was taken back.
        let taken_back = taken_back_lately(lake, service.clock.now()).await?;
        mend(service, &taken_back).await?;
        service.keeping.tidy(&service.aggregate, &*service.clock).await;
    }
    if repair && !missing.is_nothing() {
        tracing::debug!(?missing, "sweep found work");
        let queues = &service.queues;
        // What is still queued is not queued again: two of each would do it twice.
        send(lake, &*queues.enrich.live, messages).await?;
        let events: Vec<_> = unseen.iter().map(|object| encode(&NewObject::whole(object))).collect();
        send_missing(&*queues.clean.live, &events).await?;
        if unseen.is_empty() && is_empty(&queues.clean).await? {
            offer_again(service, &inventory, &notes).await?;
        }
        if behind.tables > 0 {
            let event = encode(&NewVersion { silver: behind.silver_version });
            queues.aggregate.live.send_missing(vec![event]).await?;
        }
    }
    Ok(missing)
}

/// Has the clean stage look again at every line of keys that have lost their row: an older version may have to stand.
async fn offer_again(service: &Service, inventory: &Inventory, notes: &[Path]) -> Result<(), Failure> {
    if notes.is_empty() {
        return Ok(());
    }
    let lake = &service.enrich.lake;
    let keys = retracted::keys(lake, notes).await?;
    let mut events = Vec::new();
    for object in &inventory.objects {
        let bytes = read(&*lake.bronze, object).await?;
        let lines = (1..).zip(bronze::lines(object, &bytes)?);
        let lines: Vec<usize> =
            lines.filter(|(_, line)| keys.contains(&line.meta.key)).map(|(number, _)| number).collect();
        if !lines.is_empty() {
            events.push(encode(&NewObject { bronze: object.to_string(), lines, again: true }));
        }
    }
    // Also what an equal event is under way for: that one may have looked before the row went.
    send_all(&*service.queues.clean.live, &events).await?;
    Ok(retracted::settle(lake, notes).await?)
}

/// Whether nothing waits and nothing is under way.
pub async fn is_empty(queue: &StageQueue) -> Result<bool, Failure> {
    Ok(queue.live.depth().await?.total() + queue.dead.depth().await?.total() == 0)
}
