//! The messages of a tick on their way into the queue, with the tick's mark, which says whether they are.
//!
//! Does not take anything from the source.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use lake::Lake;
use lake::bronze::Message;
use lake::events::{enrich_body, send_missing};
use lake::failure::Failure;
use lake::open::{self, Opening};
use records::keys::Tick;
use seams::clock::Clock;
use seams::queue::Queue;

/// Messages that are sent between two looks at the time.
const AT_ONCE: usize = 1024;
/// How often to check whether another host has come to an end.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Where the messages of a tick go, and by which time.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// Where their mark is.
    pub(super) lake: &'a Lake,
    /// Where they wait.
    pub(super) queue: &'a dyn Queue,
    /// Time.
    pub(super) clock: &'a dyn Clock,
}

/// Queues those messages that are not queued yet, in few calls, and returns how many they were.
pub async fn send(lake: &Lake, queue: &dyn Queue, messages: Vec<Message>) -> Result<usize, Failure> {
    let bodies: Vec<_> = messages.into_iter().map(|message| enrich_body(lake, message)).collect();
    let bodies: Vec<Bytes> = futures::stream::iter(bodies).buffered(16).try_collect().await?;
    Ok(send_missing(queue, &bodies).await?)
}

/// Queues those messages of a tick that may not be queued yet, and notes that they are. `opened` is the tick's mark, if this process has
/// written one, and whether the snapshot is this process's own.
pub(super) async fn send_messages(
    way: Way<'_>,
    tick: Tick,
    snapshot: &str,
    missing: Vec<Message>,
    opened: Option<(Opening, bool)>,
) -> Result<usize, Failure> {
    let Way { lake, queue, clock } = way;
    let (mut opening, is_new) = match opened {
        Some(opened) => opened,
        None if missing.is_empty() => return Ok(0),
        // The mark of the host that fired it first may be missing, if its version wrote none.
        None => (open::begin(lake, [tick], clock.now()).await?, false),
    };
    let mut queued = 0;
    if is_new || !was_sent(way, tick, snapshot, &opening).await? {
        let mut left = missing.into_iter();
        loop {
            let some: Vec<Message> = left.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            queued += send(lake, queue, some).await?;
            opening.renew(lake, clock.now()).await?;
        }
        opening.sent(lake, snapshot, clock.now()).await?;
    } else {
        opening.settle(lake, clock.now()).await?;
    }
    Ok(queued)
}

/// Whether another host has sent the messages of a snapshot, or does so now, where the queue itself would not know. A host that dies
/// meanwhile is waited for in vain, for a minute.
async fn was_sent(way: Way<'_>, tick: Tick, snapshot: &str, own: &Opening) -> Result<bool, Failure> {
    if way.queue.blind().is_none() {
        return Ok(false);
    }
    loop {
        let mut paths = open::ticks(way.lake).await?.remove(&tick).unwrap_or_default();
        paths.retain(|path| !own.holds(path));
        let marks = open::read(way.lake, &paths).await?;
        if marks.iter().any(|mark| mark.sent.contains_key(snapshot)) {
            return Ok(true);
        }
        let now = way.clock.now();
        if !marks.iter().any(|mark| own.waits_for(mark, now)) {
            return Ok(false);
        }
        way.clock.sleep(LOOK_EVERY).await;
    }
}
