//! The order of jobs: they wait in lanes, one lane for each plugin, and a job begins when there is memory for the most that it may take.
//!
//! A lane that runs nothing goes first, and memory for one job of each such lane is kept free of others' second jobs. So a plugin that
//! spins, hoards or floods waits behind itself, and its neighbours do not notice. Lanes whose jobs are slow share one half of the memory, so
//! that they wait for each other and no other lane waits for them. While the process as a whole stands near its limit, jobs
//! run one at a time: whatever else has grown, running jobs end.
//!
//! Does not run anything: the threads do. Does not bound what the host keeps of the calls' results: the engine does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::memory::{Need, resident};

/// How often a thread that waits for the process to shrink checks again.
const LOOK: Duration = Duration::from_millis(20);
/// How long a size that was read counts.
const FRESH: Duration = Duration::from_millis(10);

/// A piece of work.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Names a lane.
pub(crate) type LaneId = u64;

/// All lanes, and the memory that their jobs may have together.
pub(crate) struct Turns {
    /// Bytes that jobs may have together.
    guests: u64,
    /// Size of the whole process in bytes; above it jobs run one at a time.
    high: u64,
    state: Mutex<State>,
    changed: Condvar,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").field("guests", &self.guests).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    lanes: BTreeMap<LaneId, Lane>,
    next_lane: LaneId,
    /// Counts turns, so that equal lanes take them one after the other.
    turn: u64,
    /// Bytes of all jobs that run.
    bytes: u64,
    /// Bytes of those that run in slow lanes.
    slow_bytes: u64,
    /// Jobs that run and need memory.
    running: usize,
    /// Threads that wait for a job.
    idle: usize,
    closed: bool,
    /// The process's size, and when it was read.
    size: Option<(u64, Instant)>,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<(u64, Job)>,
    running: usize,
    /// The most that a job of this lane has needed.
    need: u64,
    /// The lane's last turn.
    last: u64,
    /// Whether its last job was slow.
    is_slow: bool,
    /// The lane takes no more jobs.
    left: bool,
}

/// A job whose turn it is. Its memory is free again when it is passed to [`Turns::end`].
pub(crate) struct Turn {
    pub(crate) job: Job,
    pub(crate) taken: Taken,
}

/// What a running job has taken.
#[derive(Debug)]
pub(crate) struct Taken {
    lane: LaneId,
    bytes: u64,
    /// The part of `bytes` for all slow lanes together.
    slow_bytes: u64,
}

impl Turns {
    /// Turns in a process of at most `limit` bytes: three quarters for jobs, the rest for the host.
    pub(crate) fn within(limit: u64) -> Self {
        let (guests, high) = (limit / 4 * 3, limit / 8 * 7);
        Turns { guests, high, state: Mutex::default(), changed: Condvar::new() }
    }

    /// A new lane.
    pub(crate) fn enter(&self) -> LaneId {
        let mut state = self.lock();
        state.next_lane += 1;
        let id = state.next_lane;
        state.lanes.insert(id, Lane::default());
        id
    }

    /// The lane goes when its last job is done.
    pub(crate) fn leave(&self, id: LaneId) {
        let mut state = self.lock();
        if let Some(lane) = state.lanes.get_mut(&id) {
            lane.left = true;
        }
        state.tidy(id);
        // The memory that was reserved for it is free.
        self.changed.notify_all();
    }

    /// Queues a job. Returns whether one more thread is needed: the lane runs nothing, and every thread has something to do.
    pub(crate) fn add(&self, id: LaneId, need: Need, job: Job) -> bool {
        let mut state = self.lock();
        let bytes = need.bytes().min(self.guests);
        let Some(lane) = state.lanes.get_mut(&id) else { return false };
        lane.need = lane.need.max(bytes);
        lane.waiting.push_back((bytes, job));
        let is_first = lane.running == 0 && lane.waiting.len() == 1;
        self.changed.notify_one();
        let resting = state.lanes.values().filter(|lane| lane.running == 0 && !lane.waiting.is_empty()).count();
        is_first && resting > state.idle
    }

    /// Waits for the next turn; `None` when there will be no more. `for_resting`: only for those of lanes that run nothing, and `None`
    /// if none of these has a job.
    pub(crate) fn next(&self, for_resting: bool) -> Option<Turn> {
        let mut state = self.lock();
        loop {
            let waiting = state.lanes.values().any(|lane| !lane.waiting.is_empty());
            let resting = state.lanes.values().any(|lane| !lane.waiting.is_empty() && lane.running == 0);
            if (state.closed && !waiting) || (for_resting && !resting) {
                return None;
            }
            if let Some(turn) = self.pick(&mut state) {
                return Some(turn);
            }
            state.idle += 1;
            state = if waiting {
                // It may wait for the process to shrink, which causes no notification.
                self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
            state.idle -= 1;
        }
    }

    /// Ends a job and frees its memory. `was_slow`: the next job of its lane counts as slow.
    pub(crate) fn end(&self, taken: &Taken, was_slow: bool) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(taken.bytes);
        state.slow_bytes = state.slow_bytes.saturating_sub(taken.slow_bytes);
        if taken.bytes > 0 {
            state.running = state.running.saturating_sub(1);
        }
        if let Some(lane) = state.lanes.get_mut(&taken.lane) {
            lane.running = lane.running.saturating_sub(1);
            lane.is_slow = was_slow;
        }
        state.tidy(taken.lane);
        self.changed.notify_all();
    }

    /// Takes no more jobs.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The job whose turn it is: of the lane that runs least, and of equal ones the lane that has waited longest for a turn. If that does not
    /// fit, none: smaller ones would pass it for ever. A slow lane is passed while other slow ones have their half.
    fn pick(&self, state: &mut State) -> Option<Turn> {
        let slow = state.slow_bytes;
        let may_run = |lane: &Lane| {
            let first = lane.waiting.front();
            first.is_some_and(|(bytes, _)| {
                !lane.is_slow || *bytes == 0 || slow == 0 || slow.saturating_add(*bytes) <= self.guests / 2
            })
        };
        let waiting = state.lanes.iter().filter(|(_, lane)| may_run(lane));
        let id = *waiting.min_by_key(|(_, lane)| (lane.running, lane.last))?.0;
        let kept = state.kept_for_others(id);
        let lane = state.lanes.get(&id)?;
        let bytes = lane.waiting.front()?.0;
        let fits = state.bytes.saturating_add(bytes).saturating_add(kept) <= self.guests;
        if bytes > 0 && state.running > 0 && (!fits || state.is_high(self.high)) {
            return None;
        }
        state.turn += 1;
        state.bytes = state.bytes.saturating_add(bytes);
        state.running += usize::from(bytes > 0);
        let turn = state.turn;
        let lane = state.lanes.get_mut(&id)?;
        lane.running += 1;
        lane.last = turn;
        let (_, job) = lane.waiting.pop_front()?;
        let slow_bytes = if lane.is_slow { bytes } else { 0 };
        state.slow_bytes = state.slow_bytes.saturating_add(slow_bytes);
        Some(Turn { job, taken: Taken { lane: id, bytes, slow_bytes } })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Bytes that a second job of lane `id` must leave free: the need of each lane that runs nothing now. A first job leaves nothing.
    fn kept_for_others(&self, id: LaneId) -> u64 {
        if self.lanes.get(&id).is_none_or(|lane| lane.running == 0) {
            return 0;
        }
        let resting = self.lanes.iter().filter(|(other, lane)| **other != id && lane.running == 0 && !lane.left);
        resting.map(|(_, lane)| lane.need).fold(0, u64::saturating_add)
    }

    /// Whether the process is larger than `high`.
    fn is_high(&mut self, high: u64) -> bool {
        let known = self.size.filter(|(_, read)| read.elapsed() < FRESH);
        let size = known.map_or_else(resident, |(size, _)| Some(size));
        if known.is_none() {
            self.size = size.map(|size| (size, Instant::now()));
        }
        size.is_some_and(|size| size > high)
    }

    /// Removes a lane that is not used any more.
    fn tidy(&mut self, id: LaneId) {
        if self.lanes.get(&id).is_some_and(|lane| lane.left && lane.running == 0 && lane.waiting.is_empty()) {
            self.lanes.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns in a process that is never too large.
    fn turns(limit: u64) -> Turns {
        Turns { high: u64::MAX, ..Turns::within(limit) }
    }

    fn job() -> Job {
        Box::new(|| ())
    }

    /// Returns the lanes of the next turns, as long as there is one.
    fn lanes(turns: &Turns) -> Vec<Taken> {
        std::iter::from_fn(|| turns.pick(&mut turns.lock()).map(|turn| turn.taken)).collect()
    }

    #[test]
    fn lanes_take_turns_and_one_that_runs_nothing_goes_first() {
        let turns = turns(u64::MAX);
        let (busy, calm) = (turns.enter(), turns.enter());
        for _ in 0..3 {
            turns.add(busy, Need::NOTHING, job());
        }
        let first = turns.pick(&mut turns.lock()).unwrap();
        turns.add(calm, Need::NOTHING, job());
        let order: Vec<LaneId> = lanes(&turns).iter().map(|taken| taken.lane).collect();
        assert_eq!((first.taken.lane, order), (busy, vec![calm, busy, busy]));
    }

    #[test]
    fn a_second_job_leaves_room_for_the_first_of_every_other_lane() {
        let turns = turns(400);
        let (hostile, calm) = (turns.enter(), turns.enter());
        turns.add(calm, Need::of_bytes(100), job());
        let taken = lanes(&turns);
        turns.end(&taken[0], false);
        for _ in 0..5 {
            turns.add(hostile, Need::of_bytes(100), job());
        }
        // 300 bytes are for jobs: two are its own, and one is kept for the lane that rests.
        let hostile_ones = lanes(&turns);
        assert_eq!(hostile_ones.len(), 2);
        turns.add(calm, Need::of_bytes(100), job());
        assert_eq!(lanes(&turns).iter().map(|taken| taken.lane).collect::<Vec<_>>(), [calm]);
        turns.end(&hostile_ones[0], false);
        assert_eq!(lanes(&turns).len(), 1);
    }

    #[test]
    fn slow_lanes_wait_for_each_other_and_nobody_waits_for_them() {
        let turns = turns(400);
        let slow: Vec<LaneId> = (0..4).map(|_| turns.enter()).collect();
        for lane in &slow {
            turns.add(*lane, Need::of_bytes(100), job());
            let taken = lanes(&turns);
            turns.end(&taken[0], true);
        }
        for lane in &slow {
            turns.add(*lane, Need::of_bytes(100), job());
        }
        let first = lanes(&turns);
        assert_eq!(first.iter().map(|taken| taken.lane).collect::<Vec<_>>(), slow[..1], "one fits into half of 300");
        let calm = turns.enter();
        for _ in 0..2 {
            turns.add(calm, Need::of_bytes(100), job());
            let taken = lanes(&turns);
            assert_eq!(taken.iter().map(|taken| taken.lane).collect::<Vec<_>>(), [calm]);
            turns.end(&taken[0], false);
        }
        turns.end(&first[0], true);
        assert_eq!(lanes(&turns).iter().map(|taken| taken.lane).collect::<Vec<_>>(), slow[1..2], "each has its turn");
    }

    #[test]
    fn a_lane_that_left_keeps_nothing_from_others() {
        let turns = turns(400);
        let (gone, stays) = (turns.enter(), turns.enter());
        turns.add(gone, Need::of_bytes(300), job());
        let taken = lanes(&turns);
        turns.leave(gone);
        turns.end(&taken[0], false);
        for _ in 0..3 {
            turns.add(stays, Need::of_bytes(100), job());
        }
        assert_eq!(lanes(&turns).len(), 3);
    }

    #[test]
    fn a_job_that_needs_more_than_there_is_has_it_alone() {
        let turns = turns(400);
        let lane = turns.enter();
        turns.add(lane, Need::of_bytes(u64::MAX), job());
        turns.add(lane, Need::of_bytes(1), job());
        let first = lanes(&turns);
        assert_eq!(first.iter().map(|taken| taken.bytes).collect::<Vec<_>>(), [300]);
        turns.end(&first[0], false);
        assert_eq!(lanes(&turns).len(), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_is_too_large_goes_on_one_job_at_a_time() {
        let turns = Turns { guests: 1 << 40, high: 1, ..Turns::within(0) };
        let (one, other) = (turns.enter(), turns.enter());
        turns.add(one, Need::of_bytes(1), job());
        turns.add(other, Need::of_bytes(1), job());
        let first = lanes(&turns);
        assert_eq!(first.len(), 1, "the second waits");
        turns.end(&first[0], false);
        assert_eq!(lanes(&turns).len(), 1);
    }

    #[test]
    fn a_thread_more_is_asked_for_where_a_lane_that_rests_finds_all_of_them_at_work() {
        let turns = turns(u64::MAX);
        let (one, other) = (turns.enter(), turns.enter());
        assert!(turns.add(one, Need::NOTHING, job()), "nobody waits for a job");
        let _running = lanes(&turns);
        assert!(!turns.add(one, Need::NOTHING, job()), "its second job waits");
        assert!(turns.add(other, Need::NOTHING, job()));
    }
}
