//! The sweep: compares what is in the lake with what each stage has seen, and queues what was lost between two effects.
//!
//! Does not trust the queue to know: a crash between a put and its event leaves no trace there. Looks at open ticks only, one after the other, and
//! closes those that are done.

use std::collections::BTreeMap;
use std::time::Duration;

use lake::events::{NewVersion, encode};
use lake::failure::Failure;
use lake::sweeping::{self, Held, Sweeping};
use lake::{bronze, open, retracted};
use records::keys::Tick;
use seams::spans;
use seams::store::Path;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub use super::left::Missing;
use super::look::look;
use super::mending::{mend, taken_back_lately};
use super::service::Service;
pub use super::service::is_empty;
use crate::roles::aggregate::Behind;
use crate::stopping;

mod again;
mod closing;
mod sending;
mod unmarked;

pub(super) use closing::close_if_done;
use sending::{Sender, send_again};

/// The result of a turn of the sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// What it found not done, as far as it came.
    pub missing: Missing,
    /// Whether it came to the end. If not, another process has the turn, or the time was over.
    pub whole: bool,
}

/// Looks at every open tick, and queues what is missing if `repair` and no other process does so.
///
/// # Errors
/// The lake or a queue fails, or an object is damaged.
pub async fn sweep(service: &Service, repair: bool) -> Result<Missing, Failure> {
    if repair {
        return Ok(turn(service, &CancellationToken::new()).await?.missing);
    }
    let known = sweeping::read(&service.enrich.lake).await?.marked;
    count(service, known).instrument(spans::pipeline(&service.pipeline)).await
}

/// Looks at every tick of the lake, whether it is said to be closed or not, and changes nothing.
///
/// # Errors
/// The lake fails, or an object is damaged.
pub async fn everything(service: &Service) -> Result<Missing, Failure> {
    count(service, false).instrument(spans::pipeline(&service.pipeline)).await
}

/// As [`sweep`] with `repair`, but no longer than for `budget` or until the stop: the next turn goes on where this one ended.
///
/// # Errors
/// The lake or a queue fails, or an object is damaged.
pub async fn sweep_within(service: &Service, budget: Duration) -> Result<Swept, Failure> {
    let over = CancellationToken::new();
    let mut work = std::pin::pin!(turn(service, &over));
    tokio::select! {
        biased;
        swept = &mut work => return swept,
        () = service.clock.sleep(budget) => {}
        () = stopping::stopped() => {}
    }
    over.cancel();
    work.await
}

async fn count(service: &Service, only_open: bool) -> Result<Missing, Failure> {
    let lake = &service.enrich.lake;
    let ticks: Vec<Tick> =
        if only_open { open::ticks(lake).await?.into_keys().collect() } else { bronze::ticks(lake).await? };
    let mut missing = Missing::default();
    for tick in ticks {
        missing.add(&look(lake, tick).await?);
    }
    missing.tables = service.aggregate.behind().await?.tables;
    missing.retracted = retracted::notes(lake).await?.len();
    Ok(missing)
}

/// One turn, until its end or until it is `over`.
pub(super) async fn turn(service: &Service, over: &CancellationToken) -> Result<Swept, Failure> {
    let work = async {
        let lake = &service.enrich.lake;
        // First, and by every host: it neither waits for a queue nor for a turn that has died with its process.
        service.keeping.tidy(&service.aggregate, &*service.clock).await;
        // Where queues know what they hold, two sweeps at once do no harm, and no sweep has to wait for one that has died.
        let alone = service.queues.all().iter().any(|(_, queue)| queue.live.blind().is_some());
        let (held, known) = if alone {
            let Some((held, known)) = sweeping::take(lake, service.clock.now()).await? else {
                return Ok(Swept::default());
            };
            (Some(held), known)
        } else {
            (None, sweeping::read(lake).await?)
        };
        let mut turn = Turn { service, over, held, known: known.clone(), missing: Missing::default() };
        let outcome = turn.take().await;
        sweeping::end(lake, turn.held.as_ref(), &known, &turn.known).await?;
        outcome.map(|whole| Swept { missing: turn.missing, whole })
    };
    work.instrument(spans::pipeline(&service.pipeline)).await
}

/// A turn at work.
struct Turn<'a> {
    service: &'a Service,
    over: &'a CancellationToken,
    /// The right to the turn, where only one process may have it.
    held: Option<Held>,
    known: Sweeping,
    missing: Missing,
}

impl Turn<'_> {
    /// Returns whether it came to the end. An object that is damaged costs its own tick; the first such failure is returned at the end.
    async fn take(&mut self) -> Result<bool, Failure> {
        let (service, now) = (self.service, self.service.clock.now());
        let lake = &service.enrich.lake;
        let behind = service.aggregate.behind().await?;
        self.missing.tables = behind.tables;
        // Ticks were closed for a table that may be gone.
        let all = !self.known.marked || self.known.silver != behind.silver_table;
        if all || self.known.is_to_be_counted(now) {
            unmarked::mark(lake, all, now).await?;
            (self.known.marked, self.known.counted) = (true, Some(now));
            self.known.silver.clone_from(&behind.silver_table);
        }
        let (whole, damaged) = self.ticks(&behind).await?;
        self.tables(&behind).await?;
        let notes = retracted::notes(lake).await?;
        self.missing.retracted = notes.len();
        if whole && !notes.is_empty() && self.missing.objects == 0 && is_empty(&service.queues.clean).await? {
            let before = self.known.offered.take();
            self.known.offered = again::offer_again(service, &notes, before, self.over).await?;
        }
        // Another host may have refused something by a plugin before it knew that the plugin was taken back.
        let taken_back = taken_back_lately(lake, service.clock.now()).await?;
        mend(service, &taken_back).await?;
        if !self.missing.is_nothing() {
            tracing::debug!(missing = ?self.missing, "sweep found work");
        }
        damaged.map_or(Ok(whole && self.known.offered.is_none()), Err)
    }

    /// Queues the Gold tables that are behind. One event is enough: the newest version is made, whatever version the event names.
    async fn tables(&self, behind: &Behind) -> Result<(), Failure> {
        if behind.tables == 0 {
            return Ok(());
        }
        let queue = &self.service.queues.aggregate;
        if queue.live.blind().is_none() || Sender::new(queue, &*self.service.clock, self.over).is_empty().await? {
            queue.live.send_missing(vec![encode(&NewVersion { silver: behind.silver_version })]).await?;
        }
        Ok(())
    }

    /// Looks at the open ticks. Returns whether it looked at all of them, and the first damage.
    async fn ticks(&mut self, behind: &Behind) -> Result<(bool, Option<Failure>), Failure> {
        let (lake, clock) = (&self.service.enrich.lake, &*self.service.clock);
        let queues = &self.service.queues;
        let enrich = Sender::new(&queues.enrich, clock, self.over);
        let clean = Sender::new(&queues.clean, clock, self.over);
        let mut earlier: BTreeMap<Tick, Vec<Path>> = open::ticks(lake).await?;
        let first = match self.known.next.take() {
            Some(next) => earlier.split_off(&next),
            None => BTreeMap::new(),
        };
        let mut damaged = None;
        for (tick, paths) in first.into_iter().chain(earlier) {
            let goes_on = match &mut self.held {
                Some(held) => held.renew(lake, clock.now()).await?,
                None => true,
            };
            if self.over.is_cancelled() || !goes_on {
                self.known.next = Some(tick);
                return Ok((false, damaged));
            }
            match self.tick(tick, &paths, behind, (&enrich, &clean)).await {
                Err(failure @ Failure::Lake { whole: false, .. }) => drop(damaged.get_or_insert(failure)),
                done => done?,
            }
        }
        Ok((true, damaged))
    }

    async fn tick(
        &mut self,
        tick: Tick,
        paths: &[Path],
        behind: &Behind,
        senders: (&Sender<'_>, &Sender<'_>),
    ) -> Result<(), Failure> {
        let lake = &self.service.enrich.lake;
        let marks = open::read(lake, paths).await?;
        let look = look(lake, tick).await?;
        self.missing.add(&look);
        if look.is_whole() {
            let goes_on = || !self.over.is_cancelled();
            return closing::close(self.service, &look, (paths, &marks), behind, goes_on).await.map(drop);
        }
        send_again(self.service, (&look, &marks), senders).await
    }
}
