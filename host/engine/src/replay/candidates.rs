//! The lines of one tick that may be made again, and what is known of each.
//!
//! Does not keep them: the lake may have more than fit into memory.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt};
use lake::bronze::{self, Outcome};
use lake::failure::Failure;
use lake::generations::Generations;
use lake::quarantine::{Refused, RefusedAt};
use lake::receipts::{self, Enriched, Receipt};
use lake::{Lake, LakeError};
use records::keys::Tick;
use seams::store::Path;

use super::planned::{Planned, Selection, Which};
use crate::census::{self, Place};
use crate::drivers::service::Service;
use crate::progress::Steps;

/// Objects that are read at once, each with its receipts: most of the time is waiting.
const AT_ONCE: usize = 64;

/// The generations that serve now.
#[derive(Clone, Copy)]
pub(super) struct Now {
    /// Of the enrich plugin; 0 without one.
    pub(super) enrich: u32,
    clean: u32,
    /// Whether Silver was emptied and is not whole again.
    rebuilding: bool,
}

impl Now {
    pub(super) async fn of(service: &Service) -> Result<Self, Failure> {
        let lake = &service.enrich.lake;
        let enrich = match service.enrich.plugin.as_deref() {
            None => 0,
            Some(plugin) => Generations::of_enrich(lake).number_of(plugin, &service.enrich.config).await?,
        };
        let role = &service.clean;
        let clean = Generations::of_clean(lake).number_of(&*role.plugin, &role.config).await?;
        let rebuilding = role.silver.snapshot().await?.rebuilding;
        Ok(Now { enrich, clean, rebuilding })
    }
}

/// What the choice is made from.
pub(super) struct Candidates {
    pub(super) places: Vec<Place>,
    receipts: BTreeMap<String, Receipt>,
    enriched: BTreeMap<String, Enriched>,
    /// Lines that another line replaces.
    beaten: HashSet<String>,
    pub(super) now: Now,
}

/// What is known of one object.
struct Known {
    places: Vec<Place>,
    receipt: Option<Receipt>,
    enriched: Option<Enriched>,
}

impl Candidates {
    /// Reads a tick; `steps` counts each object.
    pub(super) async fn read(service: &Service, tick: Tick, now: Now, steps: Option<&Steps>) -> Result<Self, Failure> {
        let lake = &service.enrich.lake;
        let objects = bronze::inventory(lake, Some(tick)).await?.objects;
        // Few objects have a receipt of a second enrichment: those are listed.
        let again = receipts::enriched_in(lake, tick).await?;
        let none = Steps::default();
        let steps = steps.unwrap_or(&none);
        steps.begin("reading bronze", objects.len());
        let reads = objects.iter().map(|object| known(lake, object, &again, steps));
        let mut reads = futures::stream::iter(reads.collect::<Vec<_>>()).buffered(AT_ONCE);
        let (mut places, mut receipts, mut enriched) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        while let Some(known) = reads.try_next().await? {
            places.extend(known.places);
            receipts.extend(known.receipt.map(|one| (one.object.clone(), one)));
            enriched.extend(known.enriched.map(|one| (one.object.clone(), one)));
        }
        let beaten = census::beaten(&places);
        Ok(Candidates { places, receipts, enriched, beaten, now })
    }

    /// Puts a line where it belongs, if anywhere.
    pub(super) fn put(&self, place: &Place, selection: &Selection, planned: &mut Planned) {
        let object = place.object.as_ref();
        if self.beaten.contains(&place.source()) || place.meta.outcome == Outcome::Forgotten {
            return;
        }
        let Some(receipt) = self.receipts.get(object) else {
            // Another host may have cleaned it, and not said so yet, before Silver was emptied: its rows are gone.
            if self.now.rebuilding && place.meta.outcome == Outcome::Document {
                planned.clean.entry(object.to_owned()).or_default().push(place.line);
            } else {
                planned.underway += 1;
            }
            return;
        };
        if self.enriches(place, selection) {
            planned.enrich.entry(object.to_owned()).or_default().push(place.line);
        }
        let stale = receipt.generation_of(place.line) < self.now.clean;
        if stale || (selection.which != Which::Stale && place.meta.outcome == Outcome::Document) {
            planned.clean.entry(object.to_owned()).or_default().push(place.line);
        }
    }

    /// Ids of the refusals that no longer hold.
    pub(super) fn settled(&self, refused: &[Refused]) -> Vec<String> {
        let inputs: BTreeSet<&str> = refused.iter().map(|one| one.input.as_str()).collect();
        let places = self.places.iter().map(|place| (place.source(), place));
        let places: BTreeMap<String, &Place> = places.filter(|(source, _)| inputs.contains(source.as_str())).collect();
        let settled = |one: &&Refused| places.get(&one.input).is_some_and(|place| self.is_settled(place, one));
        refused.iter().filter(settled).map(|one| one.id.clone()).collect()
    }

    /// Whether a refusal of a line no longer holds. One of a generation that the receipt does not know yet may be about to be written
    /// there.
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
        if self.now.enrich == 0 {
            return false;
        }
        let receipt = self.enriched.get(place.object.as_ref());
        let seen = receipt.and_then(|receipt| receipt.seen.get(&place.line)).copied().unwrap_or(0);
        let unanswered = receipt.is_some_and(|receipt| receipt.unanswered.contains(&place.line));
        let refused = matches!(place.meta.outcome, Outcome::Quarantined { .. });
        seen.max(place.meta.generation) < self.now.enrich
            || (selection.fetch && unanswered)
            || (refused && selection.which != Which::Stale)
    }
}

async fn known(lake: &Lake, object: &Path, again: &BTreeSet<String>, steps: &Steps) -> Result<Known, LakeError> {
    let enriched = async {
        match again.contains(object.as_ref()) {
            true => receipts::enriched(lake, object).await,
            false => Ok(None),
        }
    };
    let places = census::places(lake, object, steps);
    let (places, receipt, enriched) = futures::try_join!(places, receipts::get(lake, object), enriched)?;
    Ok(Known { places, receipt, enriched })
}
