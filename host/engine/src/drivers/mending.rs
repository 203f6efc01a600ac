//! Mending: what a plugin refused is made again once it is taken back, by the plugin that serves in its place.
//!
//! Does not take anything back: `drivers::serving` does, or a person.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use lake::failure::Failure;
use lake::generations::Generations;
use lake::quarantine::{self, Refused, RefusedAt};
use lake::swaps::{self, Event, Happened, Version};
use lake::{Lake, LakeError};

use super::service::Service;
use crate::progress::Steps;
use crate::replay::{self, Selection, Which};

/// How long after a plugin was taken back a sweep looks for its refusals. Other hosts serve it until they hear of it, and what is swept
/// once a day is swept once more.
const LATELY: TimeDelta = TimeDelta::days(2);

/// Queues what these versions, each of a stage, have refused. Returns the number of records.
pub async fn mend(service: &Service, taken_back: &[(String, Version)]) -> Result<usize, Failure> {
    let lake = &service.enrich.lake;
    let mut by_them: Vec<(RefusedAt, u32)> = Vec::new();
    for (stage, version) in taken_back {
        let at = match stage.as_str() {
            "enrich" => RefusedAt::Enrich,
            "clean" => RefusedAt::Clean,
            _ => continue,
        };
        let history = Generations::of(lake, stage).all().await?;
        let of_it =
            history.iter().filter(|one| one.plugin.digest == version.plugin.digest && one.config == version.config);
        by_them.extend(of_it.map(|one| (at, one.number)));
    }
    if by_them.is_empty() {
        return Ok(0);
    }
    let refused = quarantine::all(lake).await?.into_iter();
    let refused = refused.filter(|one: &Refused| by_them.contains(&(one.stage, one.generation)));
    let ids: BTreeSet<String> = refused.map(|one| one.id).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let records = ids.len();
    tracing::info!(records, "refused by a plugin that was taken back, made again by the one that serves");
    let selection = Selection { which: Which::Quarantined(Some(ids)), ..Selection::default() };
    let planned = replay::plan(service, &selection, &Steps::default()).await?;
    replay::queue(service, &planned).await?;
    Ok(records)
}

/// The versions that were taken back in the last days, and still are.
pub(super) async fn taken_back_lately(lake: &Lake, now: DateTime<Utc>) -> Result<Vec<(String, Version)>, LakeError> {
    let decisions = swaps::all_decisions(lake).await?;
    let lately = |event: &&Event| now - event.at < LATELY && matches!(event.happened, Happened::RolledBack(_));
    let still = |event: &&Event| swaps::held_at(&decisions, &event.stage, &event.version).is_some();
    let back = decisions.iter().filter(lately).filter(still);
    Ok(back.map(|event| (event.stage.clone(), event.version.clone())).collect())
}
