//! Rows that were taken back: an older version of their records may have to stand again, and only Bronze knows of it.
//!
//! Reads all of Bronze, tick by tick, and goes on at its next turn where it ended.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use lake::events::{NewObject, encode, send_all};
use lake::failure::Failure;
use lake::{Lake, LakeError, bronze, retracted};
use records::keys::{Key, Tick, fingerprint};
use seams::store::{Path, read};
use tokio_util::sync::CancellationToken;

use crate::drivers::service::Service;

/// How far a turn has come: what the notes were, and the last tick that was read.
pub(super) type Offered = Option<(String, Tick)>;

/// Objects that are read at once.
const AT_ONCE: usize = 16;

/// Queues for the clean stage every line of keys that have lost their row. Returns how far it has come if it was `over` before the end.
pub(super) async fn offer_again(
    service: &Service,
    notes: &[Path],
    before: Offered,
    over: &CancellationToken,
) -> Result<Offered, Failure> {
    let lake = &service.enrich.lake;
    let keys = retracted::keys(lake, notes).await?;
    let names: Vec<&[u8]> = notes.iter().map(|note| note.as_ref().as_bytes()).collect();
    let names = fingerprint(&names);
    let begun = before.filter(|(of, _)| *of == names).map(|(_, tick)| tick);
    let mut last = begun;
    for tick in bronze::ticks(lake).await?.into_iter().filter(|tick| Some(*tick) > begun) {
        if over.is_cancelled() {
            return Ok(last.map(|last| (names, last)));
        }
        // Also where an equal event is under way: its work may have looked before the row went.
        send_all(&*service.queues.clean.live, &events(lake, tick, &keys).await?).await?;
        last = Some(tick);
    }
    retracted::settle(lake, notes).await?;
    Ok(None)
}

/// One event for each object of a tick that has lines of these keys.
async fn events(lake: &Lake, tick: Tick, keys: &BTreeSet<Key>) -> Result<Vec<bytes::Bytes>, LakeError> {
    let objects = bronze::inventory(lake, Some(tick)).await?.objects;
    let event = |object: Path| async move {
        let bytes = read(&*lake.bronze, &object).await?;
        let lines = (1..).zip(bronze::lines(&object, &bytes)?);
        let lines: Vec<usize> =
            lines.filter(|(_, line)| keys.contains(&line.meta.key)).map(|(number, _)| number).collect();
        let event = || encode(&NewObject { bronze: object.to_string(), lines: lines.clone(), again: true });
        Ok::<_, LakeError>((!lines.is_empty()).then(event))
    };
    let events: Vec<_> = objects.into_iter().map(event).collect();
    let events: Vec<Option<bytes::Bytes>> = futures::stream::iter(events).buffered(AT_ONCE).try_collect().await?;
    Ok(events.into_iter().flatten().collect())
}
