//! Replay: which records are to be made again, and how that work reaches the queues, where any number of workers share it.
//!
//! Does not make anything: the roles do, from Bronze and kept answers. What comes out equal ends there, so that a replay costs what
//! has changed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::census::{self, Place};
use crate::drivers::service::{Left, Service};
use crate::failure::Failure;
use crate::lake::bronze::{self, Entry, Message, Outcome};
use crate::lake::generations::Generations;
use crate::lake::kept_out::KeptOut;
use crate::lake::keys::{Key, Tick, fingerprint};
use crate::lake::open;
use crate::lake::quarantine::{self, Refused, RefusedAt};
use crate::lake::receipts::{self, Receipt};
use crate::progress::Steps;
use crate::roles::events::{Again, NewObject, again_body, encode, send_all};
use crate::roles::ingest::send;

mod undoable;

pub use undoable::{Stuck, UnknownKey};

/// Lines of one object that one message asks for: a worker that dies loses no more than that.
const MOST_LINES: usize = 100;
/// Messages made of records that had no key are numbered from here: a tick's own stay below.
const FIRST_ANEW: u32 = 90_000;

/// Which records.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of what state.
    pub which: Which,
    /// Only records of these keys; all if there are none.
    pub keys: BTreeSet<Key>,
    /// Only those of one tick.
    pub run: Option<Tick>,
    /// Whether services may be asked for answers that are not kept.
    pub fetch: bool,
}

impl Selection {
    /// Whether it leaves out no record.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.which == Which::All && self.keys.is_empty() && self.run.is_none()
    }
}

/// Records of what state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    #[default]
    All,
    /// Those that another plugin or configuration has made.
    Stale,
    /// Those in quarantine: all, or these ids.
    Quarantined(Option<BTreeSet<String>>),
}

/// What a replay will do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Planned {
    /// Records to be enriched again, by object.
    pub enrich: BTreeMap<String, Vec<usize>>,
    /// Records to be cleaned again, by object.
    pub clean: BTreeMap<String, Vec<usize>>,
    /// Refused when the source was read: to be given a key again.
    pub ingest: Vec<String>,
    /// Refused as messages: to be received again.
    pub messages: Vec<String>,
    /// Record versions that are not cleaned for the first time yet: left to that.
    pub underway: usize,
    /// Refused records, by object, that a service would have to be asked for again, and nobody may be.
    pub unanswered: BTreeMap<String, Vec<usize>>,
    /// Refusals that were chosen and stay.
    pub stuck: Vec<Stuck>,
    /// Keys that were chosen and that no record has.
    pub unknown_keys: Vec<UnknownKey>,
    /// Record versions that were looked through.
    pub looked_at: usize,
    /// Refusals of lines that are refused no more: whoever brought them further died before the refusal was taken away.
    pub settled: Vec<String>,
    #[serde(skip)]
    refused: Vec<Refused>,
    #[serde(skip)]
    taken: BTreeSet<(Tick, Key)>,
    again: bool,
    fetch: bool,
}

impl Planned {
    /// How many refused records would have to be asked for again.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered.values().map(Vec::len).sum()
    }

    /// How many record versions it is about; one that is both enriched and cleaned again counts once.
    #[must_use]
    pub fn records(&self) -> usize {
        let lines = |all: &BTreeMap<String, Vec<usize>>| -> BTreeSet<(String, usize)> {
            all.iter().flat_map(|(object, lines)| lines.iter().map(|line| (object.clone(), *line))).collect()
        };
        let mut all = lines(&self.enrich);
        all.append(&mut lines(&self.clean));
        all.len() + self.ingest.len() + self.messages.len()
    }
}

/// What the choice is made from.
struct Candidates {
    places: Vec<Place>,
    receipts: BTreeMap<String, Receipt>,
    enriched: BTreeMap<String, receipts::Enriched>,
    /// Lines in whose place another line stands.
    beaten: HashSet<String>,
    enrich_generation: u32,
    clean_generation: u32,
}

/// Chooses. Changes nothing.
pub async fn plan(service: &Service, selection: &Selection, steps: &Steps) -> Result<Planned, Failure> {
    let candidates = Candidates::read(service, selection.run, steps).await?;
    let again = selection.which != Which::Stale;
    let mut planned = Planned { again, fetch: selection.fetch, ..Planned::default() };
    let refused = match &selection.which {
        Which::Quarantined(ids) => Some(chosen(service, ids.as_ref(), selection).await?),
        Which::All | Which::Stale => None,
    };
    let all_refused = quarantine::all(&service.enrich.lake).await?;
    planned.unknown_keys = undoable::unknown_keys(selection, &candidates.places, &all_refused);
    planned.looked_at = candidates.places.len();
    let held: Option<BTreeSet<&str>> =
        refused.as_ref().map(|refused| refused.iter().map(|one| one.input.as_str()).collect());
    for place in &candidates.places {
        let wanted = (selection.keys.is_empty() || selection.keys.contains(&place.meta.key))
            && held.as_ref().is_none_or(|held| held.contains(place.source().as_str()));
        if wanted {
            candidates.put(place, selection, &mut planned);
        }
    }
    undoable::take_unanswered(service, selection, &candidates, &mut planned).await?;
    planned.settled = candidates.settled(&all_refused);
    let places: BTreeMap<String, &Place> = candidates.places.iter().map(|place| (place.source(), place)).collect();
    for one in refused.unwrap_or_default() {
        if let Some(why) = undoable::stuck(service, &candidates, &places, &one) {
            planned.stuck.push(Stuck { id: one.id, stage: one.stage, why });
            continue;
        }
        match one.stage {
            RefusedAt::Ingest => planned.ingest.push(one.id.clone()),
            RefusedAt::Enrich | RefusedAt::Clean if bronze::place(&one.input).is_none() => {
                planned.messages.push(one.id.clone());
            }
            RefusedAt::Enrich | RefusedAt::Clean => continue,
        }
        planned.refused.push(one);
    }
    drop(places);
    planned.taken = candidates.places.into_iter().map(|place| (place.meta.seq, place.meta.key)).collect();
    Ok(planned)
}

async fn chosen(
    service: &Service,
    ids: Option<&BTreeSet<String>>,
    selection: &Selection,
) -> Result<Vec<Refused>, Failure> {
    let mut refused = quarantine::all(&service.enrich.lake).await?;
    refused.retain(|one| {
        ids.is_none_or(|ids| ids.contains(&one.id))
            && selection.run.is_none_or(|run| run == one.seq)
            && (selection.keys.is_empty() || one.key.as_ref().is_some_and(|key| selection.keys.contains(key)))
    });
    Ok(refused)
}

impl Candidates {
    async fn read(service: &Service, run: Option<Tick>, steps: &Steps) -> Result<Self, Failure> {
        let lake = &service.enrich.lake;
        let objects = bronze::inventory(lake, run).await?.objects;
        steps.begin("reading bronze", objects.len());
        let reads: Vec<_> = objects.iter().map(|object| census::places(lake, object, steps)).collect();
        let places: Vec<Vec<Place>> = futures::stream::iter(reads).buffered(16).try_collect().await?;
        let places: Vec<Place> = places.into_iter().flatten().collect();
        let receipts = receipts::all(lake).await?.into_iter().map(|one| (one.object.clone(), one)).collect();
        let enriched = receipts::all_enriched(lake).await?.into_iter().map(|one| (one.object.clone(), one)).collect();
        let enrich_generation = match service.enrich.plugin.as_deref() {
            None => 0,
            Some(plugin) => Generations::of_enrich(lake).number_of(plugin, &service.enrich.config).await?,
        };
        let clean = &service.clean;
        let clean_generation = Generations::of_clean(lake).number_of(&*clean.plugin, &clean.config).await?;
        let beaten = census::beaten(&places);
        Ok(Candidates { places, receipts, enriched, beaten, enrich_generation, clean_generation })
    }

    /// Puts a line where it belongs, if anywhere.
    fn put(&self, place: &Place, selection: &Selection, planned: &mut Planned) {
        let object = place.object.as_ref();
        if self.beaten.contains(&place.source()) || place.meta.outcome == Outcome::Forgotten {
            return;
        }
        let Some(receipt) = self.receipts.get(object) else {
            planned.underway += 1;
            return;
        };
        if self.enriches(place, selection) {
            planned.enrich.entry(object.to_owned()).or_default().push(place.line);
        }
        let stale = receipt.generation_of(place.line) < self.clean_generation;
        if stale || (selection.which != Which::Stale && place.meta.outcome == Outcome::Document) {
            planned.clean.entry(object.to_owned()).or_default().push(place.line);
        }
    }

    /// Ids of those refusals that hold no more.
    fn settled(&self, refused: &[Refused]) -> Vec<String> {
        let inputs: BTreeSet<&str> = refused.iter().map(|one| one.input.as_str()).collect();
        let places = self.places.iter().map(|place| (place.source(), place));
        let places: BTreeMap<String, &Place> = places.filter(|(source, _)| inputs.contains(source.as_str())).collect();
        let settled = |one: &&Refused| places.get(&one.input).is_some_and(|place| self.is_settled(place, one));
        refused.iter().filter(settled).map(|one| one.id.clone()).collect()
    }

    /// Whether a refusal of a line holds no more. One of a generation that the receipt does not know of yet may be about to be told there.
    fn is_settled(&self, place: &Place, refused: &Refused) -> bool {
        if self.beaten.contains(&place.source()) {
            return true;
        }
        match (refused.stage, &place.meta.outcome) {
            (RefusedAt::Enrich, Outcome::Quarantined { id, .. }) => *id != refused.id,
            (RefusedAt::Enrich, _) => true,
            (RefusedAt::Clean, _) => self.receipts.get(place.object.as_ref()).is_some_and(|receipt| {
                receipt.generation_of(place.line) >= refused.generation
                    && !receipt.quarantined.iter().any(|held| held.id == refused.id)
            }),
            (RefusedAt::Ingest, _) => false,
        }
    }

    /// Whether a line is to be enriched again: another plugin has made it, or it was refused, or an answer is wanted now.
    fn enriches(&self, place: &Place, selection: &Selection) -> bool {
        if self.enrich_generation == 0 {
            return false;
        }
        let receipt = self.enriched.get(place.object.as_ref());
        let seen = receipt.and_then(|receipt| receipt.seen.get(&place.line)).copied().unwrap_or(0);
        let unanswered = receipt.is_some_and(|receipt| receipt.unanswered.contains(&place.line));
        let refused = matches!(place.meta.outcome, Outcome::Quarantined { .. });
        seen.max(place.meta.generation) < self.enrich_generation
            || (selection.fetch && unanswered)
            || (refused && selection.which != Which::Stale)
    }
}

/// Queues the work. Returns how many messages that are.
pub async fn queue(service: &Service, planned: &Planned) -> Result<usize, Failure> {
    let mut enrich = Vec::new();
    for (object, lines) in &planned.enrich {
        for lines in lines.chunks(MOST_LINES) {
            enrich.push(again_body(Again {
                pipeline: service.pipeline.clone(),
                bronze: object.clone(),
                lines: lines.to_vec(),
                fetch: planned.fetch,
            }));
        }
    }
    let clean: Vec<_> = planned
        .clean
        .iter()
        .map(|(object, lines)| {
            encode(&NewObject { bronze: object.clone(), lines: lines.clone(), again: planned.again })
        })
        .collect();
    send_all(&*service.queues.enrich.live, &enrich).await?;
    send_all(&*service.queues.clean.live, &clean).await?;
    quarantine::resolve(&service.enrich.lake, &planned.settled).await?;
    let anew = ingest(service, planned).await? + messages(service, planned).await?;
    Ok(enrich.len() + clean.len() + anew)
}

/// Ends a replay of which that is left: a Silver that was emptied is whole again if all of Bronze was chosen and nothing is left of it.
/// Whether it is so now and was not before, so that Gold has to follow.
pub async fn finish(service: &Service, selection: &Selection, left: &Left) -> Result<bool, Failure> {
    Ok(selection.is_everything() && left.is_nothing() && service.finish_rebuild().await?)
}

/// Gives records that had no key, or one that another had, a key again; those that now have one become messages of their tick.
async fn ingest(service: &Service, planned: &Planned) -> Result<usize, Failure> {
    let mut by_tick: BTreeMap<Tick, Vec<(Entry, &str)>> = BTreeMap::new();
    let mut taken = planned.taken.clone();
    let kept_out = KeptOut::read(&service.enrich.lake).await?;
    for one in planned.refused.iter().filter(|one| one.stage == RefusedAt::Ingest) {
        let Ok(key) = Key::of(&one.record, &service.ingest.source.key) else { continue };
        if kept_out.holds(&key) {
            quarantine::resolve(&service.enrich.lake, std::slice::from_ref(&one.id)).await?;
            continue;
        }
        if taken.insert((one.seq, key.clone())) {
            by_tick.entry(one.seq).or_default().push((Entry { key, record: one.record.clone() }, &one.id));
        }
    }
    let lake = &service.enrich.lake;
    let mut count = 0;
    for (tick, entries) in by_tick {
        let ids: Vec<String> = entries.iter().map(|(_, id)| (*id).to_owned()).collect();
        let entries: Vec<Entry> = entries.into_iter().map(|(entry, _)| entry).collect();
        let batches = entries.chunks(service.ingest.source.batch_size.get()).zip(FIRST_ANEW..);
        let messages: Vec<Message> =
            batches.map(|(some, batch)| Message::new(&service.pipeline, tick, batch, some.to_vec())).collect();
        let config = fingerprint(&[b"anew", ids.join("\n").as_bytes()]);
        let opening = open::begin(lake, [tick], service.clock.now()).await?;
        let (messages, _) = bronze::keep_snapshot(lake, tick, &config, messages).await?;
        count += messages.len();
        send(lake, &*service.queues.enrich.live, messages).await?;
        opening.sent(lake, &bronze::snapshot_name(&config), service.clock.now()).await?;
        quarantine::resolve(lake, &ids).await?;
    }
    Ok(count)
}

/// Has messages received again that were none of this pipeline's.
async fn messages(service: &Service, planned: &Planned) -> Result<usize, Failure> {
    let (mut bodies, mut ids) = (Vec::new(), Vec::new());
    for one in planned.refused.iter().filter(|one| one.stage != RefusedAt::Ingest) {
        if let Some(body) = one.record.text("message") {
            bodies.push(body.into());
            ids.push(one.id.clone());
        }
    }
    send_all(&*service.queues.enrich.live, &bodies).await?;
    quarantine::resolve(&service.enrich.lake, &ids).await?;
    Ok(bodies.len())
}
