//! Replay: which records are to be made again, and how that work reaches the queues, where any number of workers share it.
//!
//! Does not make anything: the roles do, from Bronze and kept answers. What comes out equal ends there, so that a replay costs what
//! has changed.

use std::collections::{BTreeMap, BTreeSet};

use lake::bronze::{self, Entry, Message};
use lake::events::{Again, NewObject, again_body, encode, send_all};
use lake::failure::Failure;
use lake::kept_out::KeptOut;
use lake::open;
use lake::quarantine::{self, Refused, RefusedAt};
use records::keys::{Key, Tick, fingerprint};

use crate::census::Place;
use crate::drivers::service::{Left, Service};
use crate::progress::Steps;
use crate::roles::ingest::send;

mod candidates;
mod planned;
mod undoable;

use candidates::{Candidates, Now};
pub use planned::{Planned, Selection, Stuck, UnknownKey, Which};

/// Lines of one object that one message asks for: a worker that dies loses no more than that.
const MOST_LINES: usize = 100;
/// Messages made of records that had no key are numbered from here: a tick's own stay below.
const FIRST_ANEW: u32 = 90_000;

/// Chooses. Changes nothing. Goes tick by tick, many objects at once, and holds the lines of one tick at a time.
///
/// # Errors
/// The lake cannot be read.
pub async fn plan(service: &Service, selection: &Selection, steps: &Steps) -> Result<Planned, Failure> {
    let lake = &service.enrich.lake;
    let again = selection.which != Which::Stale;
    let mut planned = Planned { again, fetch: selection.fetch, ..Planned::default() };
    let all_refused = quarantine::all(lake).await?;
    let mut chosen = match &selection.which {
        Which::Quarantined(ids) => Some(chosen(&all_refused, ids.as_ref(), selection)),
        Which::All | Which::Stale => None,
    };
    let mut unknown = undoable::Unknown::of(selection, &all_refused);
    let now = Now::of(service).await?;
    let mut ticks: BTreeSet<Tick> = match selection.run {
        Some(run) => BTreeSet::from([run]),
        None => bronze::ticks(lake).await?.into_iter().collect(),
    };
    // A tick that is gone may still have refusals.
    ticks.extend(chosen.iter().flatten().map(|one| one.seq));
    let few = ticks.len() == 1;
    if !few {
        steps.begin("reading bronze, tick by tick", ticks.len());
    }
    for tick in ticks {
        let own = chosen.as_mut().map(|all| all.extract_if(.., |one| one.seq == tick).collect::<Vec<_>>());
        let candidates = Candidates::read(service, tick, now, few.then_some(steps)).await?;
        planned.of_tick(service, selection, &candidates, &all_refused, own).await?;
        unknown.look_at(&candidates);
        if !few {
            steps.step(1);
        }
    }
    planned.unknown_keys = unknown.ended();
    Ok(planned)
}

fn chosen(all: &[Refused], ids: Option<&BTreeSet<String>>, selection: &Selection) -> Vec<Refused> {
    let wanted = |one: &&Refused| {
        ids.is_none_or(|ids| ids.contains(&one.id))
            && selection.run.is_none_or(|run| run == one.seq)
            && (selection.keys.is_empty() || one.key.as_ref().is_some_and(|key| selection.keys.contains(key)))
    };
    all.iter().filter(wanted).cloned().collect()
}

impl Planned {
    /// Adds what is to be done of a tick. `chosen` are its refusals, where only refused records are wanted.
    async fn of_tick(
        &mut self,
        service: &Service,
        selection: &Selection,
        candidates: &Candidates,
        all_refused: &[Refused],
        chosen: Option<Vec<Refused>>,
    ) -> Result<(), Failure> {
        self.looked_at += candidates.places.len();
        let held: Option<BTreeSet<&str>> =
            chosen.as_ref().map(|refused| refused.iter().map(|one| one.input.as_str()).collect());
        for place in &candidates.places {
            let wanted = (selection.keys.is_empty() || selection.keys.contains(&place.meta.key))
                && held.as_ref().is_none_or(|held| held.contains(place.source().as_str()));
            if wanted {
                candidates.put(place, selection, self);
            }
        }
        undoable::take_unanswered(service, selection, candidates, self).await?;
        self.settled.extend(candidates.settled(all_refused));
        let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) else { return Ok(()) };
        if chosen.iter().any(|one| one.stage == RefusedAt::Ingest) {
            // The keys that the tick has: none is given away twice.
            let taken = candidates.places.iter().map(|place| (place.meta.seq, place.meta.key.clone()));
            self.taken.extend(taken);
        }
        let places: BTreeMap<String, &Place> = candidates.places.iter().map(|place| (place.source(), place)).collect();
        for one in chosen {
            if let Some(why) = undoable::stuck(service, candidates, &places, &one) {
                self.stuck.push(Stuck { id: one.id, stage: one.stage, why });
                continue;
            }
            match one.stage {
                RefusedAt::Ingest => self.ingest.push(one.id.clone()),
                RefusedAt::Enrich | RefusedAt::Clean if bronze::place(&one.input).is_none() => {
                    self.messages.push(one.id.clone());
                }
                RefusedAt::Enrich | RefusedAt::Clean => continue,
            }
            self.refused.push(one);
        }
        Ok(())
    }
}

/// Queues the work. Returns the number of messages.
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
    let rest = ingest(service, planned).await? + messages(service, planned).await?;
    Ok(enrich.len() + clean.len() + rest)
}

/// Ends a replay that has `left` left: a Silver that was emptied is whole again if all of Bronze was chosen and nothing is left. Returns
/// whether it is so now and was not before, so that Gold has to follow.
pub async fn finish(service: &Service, selection: &Selection, left: &Left) -> Result<bool, Failure> {
    Ok(selection.is_everything() && left.is_nothing() && service.finish_rebuild().await?)
}

/// Gives records that had no key, or another record's key, a key again; those that now have one become messages of their tick.
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

/// Queues again what was refused as a message.
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
