//! Reset: deletes the objects of a lake that the engine wrote, or takes back one tick.
//!
//! Deletes only objects that the engine writes: anything else in a layer stays, and is named. Does not ask for confirmation; the caller does.

use std::collections::{BTreeMap, BTreeSet};

use engine::drivers::service::Service;
use futures::{StreamExt, TryStreamExt};
use lake::answers::{self, AnswerAt, AnswerId};
use lake::chain::Why;
use lake::failure::Failure;
use lake::{Lake, LakeError, bronze, closed, open, quarantine, retracted};
use records::keys::Tick;
use seams::store::{Path, Store, delete_if_there};
use serde::Serialize;

/// What the engine writes at the root of Bronze, besides `run=TICK`.
const BRONZE: [&str; 17] = [
    "_answers",
    "_closed",
    "_columns",
    "_columns.json",
    "_generations",
    "_kept_out",
    "_lake.json",
    "_open",
    "_plugins",
    "_quarantine",
    "_receipts",
    "_silver.json",
    "_store",
    "_suspended",
    "_sweep.json",
    "_swaps",
    "_waiting",
];
/// What it writes at the root of Silver, besides `_bucket=N`.
const SILVER: [&str; 9] = [
    "_chain",
    "_delta_log",
    "_generations",
    "_lake.json",
    "_receipts",
    "_retracted",
    "_store",
    "_suspended",
    "_waiting",
];
/// What it writes at the root of Gold, besides tables and their exports.
const GOLD: [&str; 6] = ["_generations", "_lake.json", "_partials", "_store", "_suspended", "_waiting"];
/// Prefixes of the names of a tick's objects.
const OF_TICK: [&str; 6] = ["batch=", "redo=", "_snapshot-", "_message-", "_source-", "_columns"];

/// The objects in one layer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Layer {
    /// Objects that the engine has written.
    #[serde(skip)]
    pub ours: Vec<Path>,
    /// Their number.
    pub objects: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Objects that it did not write, and leaves.
    pub others: Vec<String>,
}

/// What is in each layer of a lake: `tables` are the names of its aggregates.
pub async fn survey(lake: &Lake, tables: &[String]) -> Result<BTreeMap<&'static str, Layer>, LakeError> {
    let mut layers = BTreeMap::new();
    for (name, store) in [("bronze", &lake.bronze), ("silver", &lake.silver), ("gold", &lake.gold)] {
        layers.insert(name, layer(name, store, tables).await?);
    }
    Ok(layers)
}

async fn layer(name: &str, store: &Store, tables: &[String]) -> Result<Layer, LakeError> {
    let objects: Vec<_> = store.list(None).try_collect().await?;
    let mut known: BTreeSet<String> = tables.iter().cloned().collect();
    // Also tables of aggregates that the file no longer names: their plugins' history is kept.
    let in_history = |path: &Path| {
        let mut parts = path.parts();
        (parts.next()?.as_ref() == "_generations").then(|| parts.next().map(|part| part.as_ref().to_owned()))?
    };
    known.extend(objects.iter().filter_map(|object| in_history(&object.location)));
    let mut layer = Layer::default();
    for object in objects {
        let parts: Vec<String> = object.location.parts().map(|part| part.as_ref().to_owned()).collect();
        if is_ours(name, &parts, &known) {
            layer.bytes += object.size;
            layer.ours.push(object.location);
        } else {
            layer.others.push(object.location.to_string());
        }
    }
    layer.objects = layer.ours.len();
    Ok(layer)
}

/// Whether the engine writes such an object into that layer.
fn is_ours(layer: &str, parts: &[String], tables: &BTreeSet<String>) -> bool {
    let Some(first) = parts.first().map(String::as_str) else { return false };
    let last = parts.last().map(String::as_str).unwrap_or_default();
    match layer {
        "bronze" => {
            let of_tick = first.strip_prefix("run=").and_then(Tick::parse).is_some()
                && parts.len() == 2
                && OF_TICK.iter().any(|name| last.starts_with(name));
            of_tick || BRONZE.contains(&first)
        }
        "silver" => SILVER.contains(&first) || (first.starts_with("_bucket=") && last.ends_with(".parquet")),
        _ => {
            let export = parts.len() == 1
                && first
                    .rsplit_once('.')
                    .is_some_and(|(table, format)| tables.contains(table) && ["csv", "parquet"].contains(&format));
            let in_table = tables.contains(first)
                && (parts.get(1).is_some_and(|folder| folder == "_delta_log") || last.ends_with(".parquet"));
            GOLD.contains(&first) || export || in_table
        }
    }
}

/// Deletes what is ours, Gold first and the lake's marker last, so that an interrupted reset can run again.
pub async fn empty(lake: &Lake, layers: &BTreeMap<&'static str, Layer>) -> Result<(), LakeError> {
    for (name, store) in [("gold", &lake.gold), ("silver", &lake.silver), ("bronze", &lake.bronze)] {
        let Some(layer) = layers.get(name) else { continue };
        let (identity, rest): (Vec<_>, Vec<_>) =
            layer.ours.iter().cloned().partition(|path| path.as_ref() == "_lake.json");
        delete(store, rest).await?;
        delete(store, identity).await?;
    }
    Ok(())
}

async fn delete(store: &Store, paths: Vec<Path>) -> Result<(), LakeError> {
    let one = |path: Path| async move { delete_if_there(&**store, &path).await.map_err(LakeError::from) };
    futures::stream::iter(paths.into_iter().map(one)).buffer_unordered(16).try_collect().await
}

/// What a tick added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Brought {
    /// Objects in its folder of Bronze.
    pub objects: usize,
    /// Record versions in its messages.
    pub records: usize,
    /// Refusals.
    pub refusals: usize,
    /// Records whose rows in Silver come from it.
    pub standing: usize,
}

/// What `tick` added; `None` if nothing of it is in the lake.
pub async fn brought(service: &Service, tick: Tick) -> Result<Option<Brought>, Failure> {
    let lake = &service.enrich.lake;
    let objects: Vec<_> = lake.bronze.list(Some(&folder(tick))).try_collect().await.map_err(LakeError::from)?;
    let refusals = quarantine::all(lake).await?.into_iter().filter(|refused| refused.seq == tick).count();
    let standing = service.clean.silver.keys_of(tick).await?.len();
    if objects.is_empty() && refusals == 0 && standing == 0 {
        return Ok(None);
    }
    let inventory = bronze::inventory(lake, Some(tick)).await?;
    let messages = bronze::snapshots(lake, &inventory).await?;
    let records = messages.iter().map(|message| message.entries.len()).sum();
    Ok(Some(Brought { objects: objects.len(), records, refusals, standing }))
}

/// Takes back what `tick` added: its rows of Silver, its refusals, its objects and receipts. The sweep then restores the versions that
/// stood before, and Gold follows. If interrupted, call it again.
pub async fn take_back(service: &Service, tick: Tick) -> Result<(), Failure> {
    let lake = &service.enrich.lake;
    let silver = &service.clean.silver;
    closed::forget(lake, tick).await?;
    // Before the rows go, so that the sweep finishes it if the process dies in between.
    retracted::note(lake, &silver.keys_of(tick).await?).await?;
    silver.take_back(tick).await?;
    let refused = quarantine::all(lake).await?.into_iter().filter(|refused| refused.seq == tick);
    quarantine::resolve(lake, &refused.map(|refused| refused.id).collect::<Vec<_>>()).await?;
    let all = |store: &Store, folder: Path| {
        let listed = store.list(Some(&folder)).map_ok(|object| object.location);
        async move { listed.try_collect::<Vec<Path>>().await.map_err(LakeError::from) }
    };
    let inventory = bronze::inventory(lake, Some(tick)).await?;
    let gone = inventory.objects.iter().map(|object| (object.to_string(), None)).collect();
    silver.list_objects(Why::TakenBack, &gone).await?;
    // What it took goes first: without it no host queues its messages again.
    let (snapshots, rest): (Vec<_>, Vec<_>) = all(&lake.bronze, folder(tick))
        .await?
        .into_iter()
        .partition(|path| path.filename().is_some_and(|name| name.starts_with("_snapshot-")));
    delete(&lake.bronze, snapshots).await?;
    delete(&lake.bronze, rest).await?;
    let receipts = Path::from(format!("_receipts/{}", folder(tick)));
    for store in [&lake.silver, &lake.bronze] {
        delete(store, all(store, receipts.clone()).await?).await?;
    }
    open::remove(lake, &open::ticks(lake).await?.remove(&tick).unwrap_or_default()).await?;
    answers_of(lake, tick).await?;
    service.enrich.answers.clear();
    Ok(())
}

/// Deletes the answers of the tick's day, if that day has no other tick: nothing requests them again.
async fn answers_of(lake: &Lake, tick: Tick) -> Result<(), Failure> {
    if bronze::ticks(lake).await?.iter().any(|other| other.day() == tick.day()) {
        return Ok(());
    }
    let day = tick.day();
    let own = |object: Path| async move {
        let found = match answers::in_object(lake, &object).await {
            Ok(found) => found,
            // A damaged one is reported by `verify`.
            Err(LakeError::Corrupt { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let of_day = found.into_iter().filter_map(|(at, said)| Some((at, said.ok()?)));
        let of_day = of_day.filter(|(at, (request, _))| AnswerId::of(request, day) == *at.id());
        let gone: BTreeSet<AnswerAt> = of_day.map(|(at, _)| at).collect();
        if !gone.is_empty() {
            answers::retain(lake, &object, |at| !gone.contains(at)).await?;
        }
        Ok(())
    };
    let objects = answers::objects(lake).await?;
    futures::stream::iter(objects.into_iter().map(own)).buffer_unordered(16).try_collect::<()>().await?;
    Ok(answers::drop_indexes(lake).await?)
}

fn folder(tick: Tick) -> Path {
    Path::from(format!("run={tick}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(layer: &str, path: &str) -> bool {
        let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
        is_ours(layer, &parts, &BTreeSet::from(["stations".to_owned()]))
    }

    #[test]
    fn only_what_the_engine_writes_is_ours() {
        for (layer, path) in [
            ("bronze", "run=20260101T030000Z/batch=00000-ab.jsonl"),
            ("bronze", "run=20260101T030000Z/_snapshot-ab.jsonl"),
            ("bronze", "_quarantine/q-1.json"),
            ("silver", "_bucket=3/ab.parquet"),
            ("silver", "_delta_log/00000000000000000000.json"),
            ("gold", "stations/_delta_log/00000000000000000000.json"),
            ("gold", "stations.csv"),
        ] {
            assert!(ours(layer, path), "{layer}/{path}");
        }
        for (layer, path) in [
            ("bronze", "notes.txt"),
            ("bronze", "run=20260101T030000Z/notes.txt"),
            ("bronze", "run=today/batch=1.jsonl"),
            ("silver", "_bucket=3/notes.txt"),
            ("silver", "other/x.parquet"),
            ("gold", "report.csv"),
            ("gold", "stations/notes.txt"),
        ] {
            assert!(!ours(layer, path), "{layer}/{path}");
        }
    }
}
