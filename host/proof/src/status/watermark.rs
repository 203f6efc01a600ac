//! Watermarks: how far a layer has come, in records and in ticks.
//!
//! Does no I/O: what has arrived and what is done is handed in.

use std::collections::BTreeMap;

use records::keys::Tick;
use serde::Serialize;

use super::ticks::Part;

/// A layer's watermark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Watermark {
    /// Record versions that have arrived at the layer.
    pub arrived: usize,
    /// Those that the layer is done with.
    pub done: usize,
    /// The newest tick up to which the layer is done with everything, arrived or not.
    pub up_to: Option<Tick>,
    /// Seconds from `up_to` to the last tick that took records; from the first one if `up_to` is none.
    pub behind_seconds: i64,
}

impl Watermark {
    /// Record versions that have arrived and are not done.
    #[must_use]
    pub fn behind(&self) -> usize {
        self.arrived.saturating_sub(self.done)
    }
}

/// The watermark of a layer: `arrives` says whether a part has arrived there, `done` whether the layer is done with it.
pub(super) fn watermark(parts: &[Part], arrives: impl Fn(&Part) -> bool, done: impl Fn(&Part) -> bool) -> Watermark {
    let mut watermark = Watermark::default();
    let mut complete: BTreeMap<Tick, bool> = BTreeMap::new();
    for part in parts {
        let (records, done) = (part.records, done(part));
        watermark.arrived += if arrives(part) { records } else { 0 };
        watermark.done += if done { records } else { 0 };
        *complete.entry(part.tick).or_insert(true) &= done;
    }
    watermark.up_to = complete.iter().take_while(|(_, complete)| **complete).last().map(|(tick, _)| *tick);
    let last = complete.keys().next_back();
    if let (Some(from), Some(last)) = (watermark.up_to.as_ref().or(complete.keys().next()), last) {
        watermark.behind_seconds = (last.instant() - from.instant()).num_seconds();
    }
    watermark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(tick: &str, seen_at: i64, records: usize) -> Part {
        let tick = Tick::parse(tick).unwrap();
        Part { tick, records, has_object: true, seen_at: Some(seen_at) }
    }

    #[test]
    fn it_stands_before_the_first_tick_that_is_not_complete() {
        let (first, second, third) = ("20260101T030000Z", "20260102T030000Z", "20260103T030000Z");
        let parts = [part(first, 0, 3), part(second, 0, 3), part(second, 1, 2), part(third, 0, 4)];
        let is = |tick: &str| Tick::parse(tick);
        let all = watermark(&parts, |_| true, |_| true);
        assert_eq!(all, Watermark { arrived: 12, done: 12, up_to: is(third), behind_seconds: 0 });
        let gap = watermark(&parts, |_| true, |one| one.seen_at == Some(0));
        assert_eq!((gap.behind(), gap.up_to, gap.behind_seconds), (2, is(first), 2 * 86_400));
        let nothing = watermark(&parts, |one| one.seen_at == Some(1), |_| false);
        assert_eq!(nothing, Watermark { arrived: 2, done: 0, up_to: None, behind_seconds: 2 * 86_400 });
        assert_eq!(watermark(&[], |_| true, |_| true), Watermark::default());
    }
}
