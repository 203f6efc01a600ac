//! What is to be cleaned: from events to the lines of each object that this generation has not seen, or is asked to see again.
//!
//! Does not clean.

use std::collections::{BTreeMap, BTreeSet};

use crate::lake::bronze::{self, Line};
use crate::lake::keys::{Key, Tick};
use crate::lake::receipts::{self, Receipt};
use crate::lake::{Lake, LakeError};
use crate::roles::events::NewObject;
use crate::seams::store::{Path, read};

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
    /// Those of them that are of no account: their record version was enriched again.
    pub(super) superseded: BTreeSet<usize>,
    /// What an earlier generation made of the object.
    pub(super) before: Option<Receipt>,
}

impl Task {
    /// What is to be done of `path`, if anything.
    pub(super) async fn of(
        lake: &Lake,
        path: Path,
        wanted: Wanted,
        generation: u32,
    ) -> Result<Option<Self>, LakeError> {
        let before = receipts::get(lake, &path).await?;
        if let Some(receipt) = &before {
            let latest = receipt.redone.values().copied().max().unwrap_or(0).max(receipt.generation);
            if latest > generation || (!wanted.again && receipt.is_up_to(generation)) {
                return Ok(None);
            }
        }
        let object = read(&*lake.bronze, &path).await?;
        let lines = bronze::lines(&path, &object)?;
        let mut chosen: BTreeSet<usize> = match (&before, wanted.again) {
            (Some(receipt), false) => receipt.stale_lines(generation).collect(),
            _ => (1..=lines.len()).collect(),
        };
        if let (Some(_), Some(some)) = (&before, &wanted.lines) {
            chosen.retain(|line| some.contains(line));
        }
        let mut task = Task { path, lines, chosen, superseded: BTreeSet::new(), before };
        if task.is_second_look() {
            task.superseded = task.superseded_in(lake).await?;
        }
        Ok((!task.chosen.is_empty()).then_some(task))
    }

    /// Whether rows of these very record versions may stand already.
    pub(super) fn is_second_look(&self) -> bool {
        self.before.is_some() || bronze::is_redo(&self.path)
    }

    /// `run=…/batch=….jsonl:LINE`.
    pub(super) fn source(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    /// The chosen lines with their numbers, without those of no account.
    pub(super) fn live(&self) -> impl Iterator<Item = (usize, &Line)> {
        let live = |(number, _): &(usize, &Line)| self.chosen.contains(number) && !self.superseded.contains(number);
        (1..).zip(&self.lines).filter(live)
    }

    async fn superseded_in(&self, lake: &Lake) -> Result<BTreeSet<usize>, LakeError> {
        let Some(tick) = bronze::tick_of(&self.path) else { return Ok(BTreeSet::new()) };
        let newest = newest_redo(lake, tick).await?;
        let beaten = |(number, line): (usize, &Line)| {
            let standing = newest.get(&line.meta.key)?;
            (*standing > (line.meta.generation, self.source(number))).then_some(number)
        };
        Ok((1..).zip(&self.lines).filter_map(beaten).filter(|number| self.chosen.contains(number)).collect())
    }
}

/// Of each record of a tick that was enriched again the greatest generation, and where its line is.
async fn newest_redo(lake: &Lake, tick: Tick) -> Result<BTreeMap<Key, (u32, String)>, LakeError> {
    let mut newest: BTreeMap<Key, (u32, String)> = BTreeMap::new();
    let objects = bronze::inventory(lake, Some(tick)).await?.objects;
    for path in objects.iter().filter(|path| bronze::is_redo(path)) {
        let object = read(&*lake.bronze, path).await?;
        for (number, line) in (1..).zip(bronze::lines(path, &object)?) {
            let here = (line.meta.generation, format!("{path}:{number}"));
            let standing = newest.entry(line.meta.key).or_default();
            if *standing < here {
                *standing = here;
            }
        }
    }
    Ok(newest)
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
