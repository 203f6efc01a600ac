//! Closing a tick: when every message has its object, every object its receipt, and Gold holds the Silver version of all of them.
//!
//! Does not look again at a tick that is closed.

use lake::closed::{self, Sums};
use lake::failure::Failure;
use lake::open::{self, Mark};
use records::keys::Tick;
use seams::store::Path;

use crate::drivers::look::{Look, look};
use crate::drivers::service::Service;
use crate::roles::aggregate::Behind;

/// Closes a tick if it is done, and says what became of it. `paths` are those of its marks, all listed before the look.
pub(super) async fn close(
    service: &Service,
    look: &Look,
    (paths, marks): (&[Path], &[Mark]),
    behind: &Behind,
    goes_on: impl Fn() -> bool,
) -> Result<Option<Sums>, Failure> {
    let (lake, now) = (&service.enrich.lake, service.clock.now());
    // Everything that a mark names must have been seen: a listing may lack what is new.
    let seen = |name: &String| look.snapshots.iter().any(|snapshot| snapshot.name() == name);
    let lets_close = |mark: &Mark| mark.lets_close(now) && mark.sent.keys().all(seen);
    if !look.is_whole() || !marks.iter().all(lets_close) {
        return Ok(None);
    }
    if look.snapshots.is_empty() {
        // The host that fired it has died before it took anything; or the tick was taken back.
        open::remove(lake, paths).await?;
        return Ok(None);
    }
    let Some(sums) = look.sums(lake, goes_on).await? else { return Ok(None) };
    if sums.silver_version > behind.covered {
        return Ok(None);
    }
    closed::put(lake, look.tick, sums).await?;
    open::remove(lake, paths).await?;
    tracing::debug!(tick = %look.tick, records = sums.records, silver_version = sums.silver_version, "tick closed");
    Ok(Some(sums))
}

/// What became of a tick, if it is done: it is closed, or can be.
pub(in crate::drivers) async fn close_if_done(service: &Service, tick: Tick) -> Result<Option<Sums>, Failure> {
    let lake = &service.enrich.lake;
    let Some(paths) = open::ticks(lake).await?.remove(&tick) else { return Ok(closed::get(lake, tick).await?) };
    let marks = open::read(lake, &paths).await?;
    let look = look(lake, tick).await?;
    if !look.is_whole() {
        return Ok(None);
    }
    let behind = service.aggregate.behind().await?;
    close(service, &look, (&paths, &marks), &behind, || true).await
}
