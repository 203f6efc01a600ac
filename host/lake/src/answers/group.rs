//! Answers that are written together: one object for many. A record goes on only when its answer is written.
//!
//! A record whose answer has come rests until the answer is in the store. The answers are written when every record of the process rests or
//! has ended, so that no record could add one; or when there are many; or when the first one has rested for a while.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, Shared, try_join_all};
use futures::{FutureExt, TryFutureExt};
use records::keys::Tick;
use seams::clock::Clock;
use seams::http::HttpAnswer;
use seams::plugin::EndpointRequest;
use seams::store::create;
use tokio::sync::Notify;

use super::kept::{AnswerId, Kept};
use super::pack;
use super::place::AnswerAt;
use crate::failure::Failure;
use crate::{Lake, LakeError};

/// The most answers that are written together, and the most bytes of their bodies.
const MOST: usize = 256;
const MOST_BYTES: usize = 4 << 20;
/// The most messages that one pack names: a name has room for no more.
const MOST_MESSAGES: usize = 16;
/// The longest that an answer rests before it is written.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// The message that an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its tick.
    pub tick: Tick,
    /// Its place among the tick's messages.
    pub batch: u32,
}

/// Where each answer is, in the order in which they came.
type Written = Result<Arc<Vec<(AnswerAt, HttpAnswer)>>, Failure>;

/// Writes the answers of one process.
pub(super) struct Group {
    lake: Lake,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Records under way that do not rest.
    active: usize,
    entries: Vec<Entry>,
    bytes: usize,
    round: Arc<Round>,
}

/// The records that rest together.
#[derive(Default)]
struct Round {
    /// Set when the round is closed to other records. Every record that waits drives the write, so that it ends as long as one is left.
    writing: OnceLock<Shared<BoxFuture<'static, Written>>>,
    closed: Notify,
}

/// An answer that is to be written.
struct Entry {
    origin: Origin,
    id: AnswerId,
    request: EndpointRequest,
    answer: HttpAnswer,
}

/// A record under way, until this is dropped.
pub struct Active<'a>(&'a Group);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A record that rests, until this is dropped.
struct Resting<'a>(&'a Group);

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.state().active += 1;
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl Group {
    pub(super) fn of(lake: &Lake, clock: Arc<dyn Clock>) -> Self {
        Group { lake: lake.clone(), clock, state: Mutex::default() }
    }

    /// A record is under way.
    pub(super) fn active(&self) -> Active<'_> {
        self.state().active += 1;
        Active(self)
    }

    /// Writes an answer together with others, and returns its place. Of two answers to the same request the first one counts, and both
    /// callers get it.
    ///
    /// # Errors
    /// The store fails.
    pub(super) async fn keep(
        &self,
        _record: &Active<'_>,
        origin: Origin,
        id: &AnswerId,
        request: &EndpointRequest,
        answer: HttpAnswer,
    ) -> Result<(AnswerAt, HttpAnswer), Failure> {
        let (round, at) = self.add(origin, id, request, answer);
        let resting = Resting(self);
        self.leave();
        let written = self.written(&round).await;
        drop(resting);
        let all = written?;
        all.get(at).cloned().ok_or_else(|| Failure::Bug("an answer was not written with the others".to_owned()))
    }

    fn add(&self, origin: Origin, id: &AnswerId, request: &EndpointRequest, answer: HttpAnswer) -> (Arc<Round>, usize) {
        let mut state = self.state();
        let round = Arc::clone(&state.round);
        let same = |entry: &Entry| entry.id == *id && entry.origin.tick == origin.tick;
        if let Some(at) = state.entries.iter().position(same) {
            return (round, at);
        }
        state.bytes = state.bytes.saturating_add(answer.body.len());
        state.entries.push(Entry { origin, id: id.clone(), request: request.clone(), answer });
        (round, state.entries.len() - 1)
    }

    /// Waits until a round is written. Closes the round when it has lasted too long.
    async fn written(&self, round: &Arc<Round>) -> Written {
        loop {
            let closed = round.closed.notified();
            if let Some(writing) = round.writing.get() {
                return writing.clone().await;
            }
            tokio::select! {
                () = closed => {}
                () = self.clock.sleep(LONGEST_REST) => {
                    let mut state = self.state();
                    if Arc::ptr_eq(&state.round, round) {
                        self.close(&mut state);
                    }
                }
            }
        }
    }

    /// One record less is under way.
    fn leave(&self) {
        let mut state = self.state();
        state.active = state.active.saturating_sub(1);
        let much = state.entries.len() >= MOST || state.bytes >= MOST_BYTES;
        if !state.entries.is_empty() && (state.active == 0 || much) {
            self.close(&mut state);
        }
    }

    /// Closes the round to other records, and begins the next one.
    fn close(&self, state: &mut State) {
        let State { entries, round, .. } = std::mem::replace(state, State { active: state.active, ..State::default() });
        let writing = write_all(self.lake.clone(), entries).boxed().shared();
        // No other call sets it: this one has taken the round out of the state.
        let _ = round.writing.set(writing);
        round.closed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes answers in as few packs as the messages that have asked for them allow.
async fn write_all(lake: Lake, entries: Vec<Entry>) -> Written {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    let origin = |at: &usize| entries.get(*at).map(|entry| (entry.origin.tick, entry.origin.batch));
    order.sort_by_key(origin);
    let mut packs: Vec<(Tick, Vec<u32>, Vec<usize>)> = Vec::new();
    for at in order {
        let Some((tick, batch)) = origin(&at) else { continue };
        match packs.last_mut() {
            Some((of, batches, members)) if *of == tick && has_room(batches, batch) => {
                if batches.last() != Some(&batch) {
                    batches.push(batch);
                }
                members.push(at);
            }
            _ => packs.push((tick, vec![batch], vec![at])),
        }
    }
    let writes = packs.iter().map(|(tick, batches, members)| {
        let (lake, entries) = (&lake, &entries);
        async move {
            let members: Vec<(usize, &Entry)> =
                members.iter().filter_map(|at| Some((*at, entries.get(*at)?))).collect();
            let kept: Vec<(&AnswerId, Kept)> =
                members.iter().map(|(_, one)| (&one.id, Kept::of(&one.request, &one.answer))).collect();
            let (name, bytes) = pack::write(*tick, batches, &kept);
            create(&*lake.bronze, &pack::path_of(&name), bytes).map_err(LakeError::from).await?;
            let placed = |(at, entry): (usize, &Entry)| {
                let place = AnswerAt { pack: Some(Arc::clone(&name)), id: entry.id.clone() };
                (at, (place, entry.answer.clone()))
            };
            Ok::<_, LakeError>(members.into_iter().map(placed).collect::<Vec<_>>())
        }
    });
    let mut all: Vec<_> = try_join_all(writes).await?.into_iter().flatten().collect();
    all.sort_by_key(|(at, _)| *at);
    Ok(Arc::new(all.into_iter().map(|(_, answer)| answer).collect()))
}

/// Whether a pack that names these messages may name that one as well.
fn has_room(batches: &[u32], batch: u32) -> bool {
    let neighbours = batches.first().is_none_or(|first| pack::are_neighbours(*first, batch));
    neighbours && (batches.last() == Some(&batch) || batches.len() < MOST_MESSAGES)
}
