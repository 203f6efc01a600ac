//! What a replay was asked for and cannot do: reported before it begins, so that doing nothing is never taken for done.
//!
//! Does not replay anything.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use lake::bronze::Outcome;
use lake::failure::Failure;
use lake::quarantine::{Refused, RefusedAt};
use pipeline::problem::Nearest;
use records::keys::Key;

use super::candidates::Candidates;
use super::planned::{Planned, Selection, UnknownKey, Which};
use crate::census::Place;
use crate::drivers::service::Service;
use crate::rehearsal::Fate;

/// Refused records that are rehearsed at once.
const AT_ONCE: usize = 8;

/// The keys of a selection that nothing in the lake has, in what was read so far.
pub(super) struct Unknown(BTreeMap<Key, Nearest>);

impl Unknown {
    /// Of all keys in the lake, only those of `refused` count as met so far.
    pub(super) fn of(selection: &Selection, refused: &[Refused]) -> Self {
        let mut unknown = Unknown(selection.keys.iter().map(|key| (key.clone(), Nearest::to(key.as_str()))).collect());
        refused.iter().filter_map(|one| one.key.as_ref()).for_each(|key| unknown.meet(key));
        unknown
    }

    /// Takes the keys of a tick into account.
    pub(super) fn look_at(&mut self, candidates: &Candidates) {
        candidates.places.iter().for_each(|place| self.meet(&place.meta.key));
    }

    fn meet(&mut self, key: &Key) {
        if !self.0.is_empty() && self.0.remove(key).is_none() {
            self.0.values_mut().for_each(|near| near.look_at(key.as_str()));
        }
    }

    /// The keys that nothing has.
    pub(super) fn ended(self) -> Vec<UnknownKey> {
        let told = |(key, near): (Key, Nearest)| UnknownKey {
            key: key.to_string(),
            near: near.into_words().into_iter().next(),
        };
        self.0.into_iter().map(told).collect()
    }
}

/// Removes refused records from what is to be enriched again if they need a service and none may be asked. Their answers were not kept,
/// because they said nothing of what was asked for or never came.
pub(super) async fn take_unanswered(
    service: &Service,
    selection: &Selection,
    candidates: &Candidates,
    planned: &mut Planned,
) -> Result<(), Failure> {
    if selection.fetch || selection.which == Which::Stale {
        return Ok(());
    }
    let is_planned = |place: &&Place| {
        let lines = planned.enrich.get(place.object.as_ref());
        matches!(place.meta.outcome, Outcome::Quarantined { .. })
            && lines.is_some_and(|lines| lines.contains(&place.line))
    };
    let refused: Vec<&Place> = candidates.places.iter().filter(is_planned).collect();
    let rehearsals: Vec<_> = refused.iter().map(|place| service.enrich.rehearse(&place.meta)).collect();
    let fates: Vec<Result<Fate, Failure>> = futures::stream::iter(rehearsals).buffered(AT_ONCE).collect().await;
    let mut unanswered: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, fate) in refused.into_iter().zip(fates) {
        if matches!(fate?, Fate::Unknown) {
            unanswered.entry(place.object.to_string()).or_default().push(place.line);
        }
    }
    for (object, lines) in &unanswered {
        if let Some(left) = planned.enrich.get_mut(object) {
            left.retain(|line| !lines.contains(line));
        }
    }
    planned.enrich.retain(|_, lines| !lines.is_empty());
    planned.unanswered.extend(unanswered);
    Ok(())
}

/// Why a refusal that was chosen stays, if it does.
pub(super) fn stuck(
    service: &Service,
    candidates: &Candidates,
    places: &BTreeMap<String, &Place>,
    one: &Refused,
) -> Option<&'static str> {
    match one.stage {
        RefusedAt::Ingest if one.line.is_some() => {
            Some("it is a line of the source that is no record: mend the source, and have it read again")
        }
        RefusedAt::Ingest => match Key::of(&one.record, &service.ingest.source.key) {
            Err(_) => Some("it has no key still: mend `key` under `[source]`, or the source, and have it read again"),
            Ok(key) if candidates.places.iter().any(|place| place.meta.seq == one.seq && place.meta.key == key) => {
                Some("another record of its tick has its key: add a column to `key` under `[source]`")
            }
            Ok(_) => None,
        },
        RefusedAt::Enrich | RefusedAt::Clean => {
            let place = match lake::bronze::place(&one.input) {
                // A message is received again whatever it is.
                None => return None,
                Some(_) => places.get(&one.input),
            };
            match (place, one.stage) {
                (None, _) => Some("its line is not in bronze any more"),
                (Some(_), RefusedAt::Enrich) if candidates.now.enrich == 0 => {
                    Some("the pipeline has no `[enrich]` plugin any more")
                }
                (Some(_), _) => None,
            }
        }
    }
}
