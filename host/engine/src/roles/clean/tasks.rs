//! What is to be cleaned: from events to the lines of each object that this generation has not seen, or is asked to see again.
//!
//! Does not clean.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use lake::bronze::{self, Line, Outcome};
use lake::events::NewObject;
use lake::receipts::{self, Receipt};
use lake::{Lake, LakeError};
use records::keys::{Key, Tick, sha256};
use seams::store::{Path, read, read_if_there};

/// What is wanted of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Some lines, or all.
    pub(super) lines: Option<BTreeSet<usize>>,
    /// Whether also what this generation has seen already.
    pub(super) again: bool,
}

/// All that is wanted, by object: of several events for one object the more comprehensive counts.
pub(super) fn wanted(events: &[NewObject]) -> BTreeMap<Path, Wanted> {
    let mut wanted: BTreeMap<Path, Wanted> = BTreeMap::new();
    for event in events {
        let lines = (!event.lines.is_empty()).then(|| event.lines.iter().copied().collect::<BTreeSet<_>>());
        wanted
            .entry(Path::from(event.bronze.as_str()))
            .and_modify(|there| {
                there.again |= event.again;
                match (&mut there.lines, &lines) {
                    (Some(some), Some(more)) => some.extend(more),
                    (all, _) => *all = None,
                }
            })
            .or_insert(Wanted { lines, again: event.again });
    }
    wanted
}

/// The lines of one object that are to be cleaned.
#[derive(Debug)]
pub(super) struct Task {
    /// The object.
    pub(super) path: Path,
    /// All its lines.
    pub(super) lines: Vec<Line>,
    /// Numbers of those to be cleaned.
    pub(super) chosen: BTreeSet<usize>,
    /// Chosen lines that no longer count: their record version was enriched again.
    pub(super) superseded: BTreeSet<usize>,
    /// Refusals of those, and of other lines that a chosen one replaces.
    pub(super) settled: Vec<String>,
    /// What an earlier generation made of the object.
    pub(super) before: Option<Receipt>,
    /// Digest of the object.
    pub(super) sha256: String,
}

/// Bytes of objects that are read before they are worked on: all that is wanted need not fit into memory at once.
const MOST_BYTES: usize = 128 << 20;
/// Objects that are read at once.
const AT_ONCE: usize = 16;

/// Takes from `wanted` as much as is worked on together. Returns the tasks, and the objects that cannot be read whatever the lake's state:
/// those fail alone.
pub(super) async fn tasks(
    lake: &Lake,
    wanted: &mut BTreeMap<Path, Wanted>,
    generation: u32,
) -> Result<(Vec<Task>, Vec<Unreadable>), LakeError> {
    let (mut tasks, mut unreadable, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
    while !wanted.is_empty() && bytes < MOST_BYTES {
        let some = std::iter::from_fn(|| wanted.pop_first()).take(AT_ONCE);
        let found: Vec<_> = some.map(|(path, wanted)| Task::of(lake, path, wanted, generation)).collect();
        let found: Vec<Found> = futures::stream::iter(found).buffered(AT_ONCE).try_collect().await?;
        for one in found {
            match one {
                Found::Nothing => {}
                Found::Task(task) => {
                    bytes = task.lines.iter().fold(bytes, |bytes, line| bytes.saturating_add(line.text.len()));
                    tasks.push(task);
                }
                Found::Unreadable(one) => unreadable.push(one),
            }
        }
    }
    // Once a tick, not once an object: after a large replay, there are as many redone objects as tasks.
    let second: Vec<&mut Task> = tasks.iter_mut().filter(|task| task.is_second_look()).collect();
    let ticks: BTreeSet<Tick> = second.iter().filter_map(|task| bronze::tick_of(&task.path)).collect();
    let mut redone = BTreeMap::new();
    for tick in ticks {
        redone.insert(tick, redone_in(lake, tick).await?);
    }
    for task in second {
        if let Some(redone) = bronze::tick_of(&task.path).and_then(|tick| redone.get(&tick)) {
            task.supersede(redone);
        }
    }
    Ok((tasks, unreadable))
}

/// An object of Bronze that cannot be read, and will not be before an operator mends it.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// The object.
    pub(super) path: Path,
    /// What is wrong with it; none if it is not there.
    pub(super) corrupt: Option<LakeError>,
}

/// What is to be done of one object.
enum Found {
    /// Nothing: it is done.
    Nothing,
    /// This.
    Task(Task),
    /// Nothing can be.
    Unreadable(Unreadable),
}

impl Task {
    /// What is to be done of `path`. An error is one of the lake, not of the object.
    async fn of(lake: &Lake, path: Path, wanted: Wanted, generation: u32) -> Result<Found, LakeError> {
        let before = receipts::get(lake, &path).await?;
        if let Some(receipt) = &before {
            let latest = receipt.redone.values().copied().max().unwrap_or(0).max(receipt.generation);
            if latest > generation || (!wanted.again && receipt.is_up_to(generation)) {
                return Ok(Found::Nothing);
            }
        }
        let Some(object) = read_if_there(&*lake.bronze, &path).await? else {
            return Ok(Found::Unreadable(Unreadable { path, corrupt: None }));
        };
        let lines = match bronze::lines(&path, &object) {
            Ok(lines) => lines,
            Err(error) => return Ok(Found::Unreadable(Unreadable { path, corrupt: Some(error) })),
        };
        let mut chosen: BTreeSet<usize> = match (&before, wanted.again) {
            (Some(receipt), false) => receipt.stale_lines(generation).collect(),
            _ => (1..=lines.len()).collect(),
        };
        if let (Some(_), Some(some)) = (&before, &wanted.lines) {
            chosen.retain(|line| some.contains(line));
        }
        let (superseded, settled) = (BTreeSet::new(), Vec::new());
        if chosen.is_empty() {
            return Ok(Found::Nothing);
        }
        let sha256 = sha256(&object);
        if let Some(known) = before.as_ref().and_then(|before| before.sha256.as_ref()).filter(|known| **known != sha256)
        {
            tracing::error!(object = %path, known, sha256, "it was edited since it was cleaned first, run `sluicebox verify`");
        }
        Ok(Found::Task(Task { path, lines, chosen, superseded, settled, before, sha256 }))
    }

    /// Whether rows of these very record versions may stand already.
    pub(super) fn is_second_look(&self) -> bool {
        self.before.is_some() || bronze::is_redo(&self.path)
    }

    /// `run=…/batch=….jsonl:LINE`.
    pub(super) fn source(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    /// The chosen lines that still count, with their numbers.
    pub(super) fn live(&self) -> impl Iterator<Item = (usize, &Line)> {
        let live = |(number, _): &(usize, &Line)| self.chosen.contains(number) && !self.superseded.contains(number);
        (1..).zip(&self.lines).filter(live)
    }

    /// Whether nothing is known yet of what is in the object.
    pub(super) fn is_unlisted(&self) -> bool {
        self.before.as_ref().is_none_or(|before| before.sha256.is_none())
    }

    /// Finds the lines that no longer count, and the refusals that no longer hold.
    fn supersede(&mut self, redone: &Redone) {
        for (number, line) in (1..).zip(&self.lines).filter(|(number, _)| self.chosen.contains(number)) {
            let Some(all) = redone.get(&line.meta.key) else { continue };
            let here = (line.meta.generation, self.source(number));
            let newest = all.iter().map(|one| &one.rank).max().filter(|newest| **newest > here);
            if newest.is_some() {
                self.superseded.insert(number);
                self.settled.extend(refusal_of(&line.meta.outcome));
            }
            let newest = newest.unwrap_or(&here);
            self.settled.extend(all.iter().filter(|one| one.rank < *newest).filter_map(|one| one.refusal.clone()));
        }
    }
}

/// A line of a record that was enriched again.
#[derive(Debug)]
struct Redo {
    /// Its generation, and where it is.
    rank: (u32, String),
    /// Id of its refusal, if it is one.
    refusal: Option<String>,
}

type Redone = BTreeMap<Key, Vec<Redo>>;

/// The records of a tick that were enriched again, and all lines of those enrichments.
async fn redone_in(lake: &Lake, tick: Tick) -> Result<Redone, LakeError> {
    let mut redone = Redone::new();
    let objects = bronze::inventory(lake, Some(tick)).await?.objects;
    let objects: Vec<Path> = objects.into_iter().filter(bronze::is_redo).collect();
    let reads = objects.iter().map(|path| async move { bronze::lines(path, &read(&*lake.bronze, path).await?) });
    let all: Vec<Vec<Line>> = futures::stream::iter(reads.collect::<Vec<_>>()).buffered(16).try_collect().await?;
    for (path, lines) in objects.iter().zip(all) {
        for (number, Line { meta, .. }) in (1_usize..).zip(lines) {
            let rank = (meta.generation, format!("{path}:{number}"));
            redone.entry(meta.key).or_default().push(Redo { rank, refusal: refusal_of(&meta.outcome) });
        }
    }
    Ok(redone)
}

fn refusal_of(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Quarantined { id, .. } => Some(id.clone()),
        Outcome::Document | Outcome::Skipped { .. } | Outcome::Forgotten => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_events_the_more_comprehensive_counts() {
        let event = |lines: &[usize], again| NewObject { bronze: "a".into(), lines: lines.to_vec(), again };
        let of = |events: &[NewObject]| wanted(events).remove(&Path::from("a")).unwrap();
        assert_eq!(of(&[event(&[1], false), event(&[3], false)]).lines, Some(BTreeSet::from([1, 3])));
        assert_eq!(of(&[event(&[1], true), event(&[], false)]), Wanted { lines: None, again: true });
    }
}
