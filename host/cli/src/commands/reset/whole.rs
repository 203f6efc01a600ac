//! All of a pipeline's lake and queue.
//!
//! Does not know which parts of a lake Sluicebox wrote: `proof::reset` does.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use lake::Lake;
use lake::identity::Identity;
use pipeline::plan::Location;
use proof::reset::{self, Layer};
use serde_json::json;

use super::consent::Consent;
use super::owner::owner;
use crate::compose::{Shared, lake, queue_file};
use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::output::{counted, size};
use crate::pipelines::{PipelineFile, queue_path};

/// The most files left in a layer that are named one by one.
const MOST_NAMED: usize = 10;

/// Empties the lake and the queue, and the cache of compiled plugins if the user wants that.
pub(super) async fn delete(
    consent: &Consent,
    with_cache: bool,
    file: &PipelineFile,
    shared: &Shared,
    context: &Context,
) -> anyhow::Result<serde_json::Value> {
    let plan = &file.plan;
    let lake = lake(file, &shared.remote).await?;
    let owner = owner(&lake).await?;
    if let Some(other) = owner.as_ref().filter(|owner| owner.pipeline != plan.name) {
        let message = format!("the lake belongs to pipeline `{}`, this is pipeline `{}`", other.pipeline, plan.name);
        let hint = "name this pipeline's own folders in `[lake]`, or run `sluicebox reset` with the other's file";
        return Err(Failure::new(ExitCode::Wrong, message).hint(hint).into());
    }
    let tables: Vec<String> = plan.aggregates.iter().map(|one| one.name.clone()).collect();
    let layers = reset::survey(&lake, &tables).await?;
    let queued = queued(file, owner.as_ref().map(|owner| owner.id.as_str()), shared).await?;
    let cache = with_cache.then(|| context.cache_dir()).flatten();
    let cached = cache.as_deref().map(bytes_below).unwrap_or_default();
    let mut what = said(file, &layers, &queued);
    if let Some(folder) = &cache {
        what.push_str(&format!("\n  cache   {} in {}", size(cached), folder.display()));
    }
    let document = json!({ "pipeline": plan.name, "dry_run": consent.dry_run, "layers": layers, "queue": queued.messages(), "cache_bytes": cached });
    if !consent.given(&what, context)? {
        return Ok(document);
    }
    do_it(file, (&lake, owner.as_ref()), &layers, &queued, shared).await?;
    if let Some(folder) = cache {
        remove_cache(&folder)?;
    }
    context.output.notice(&format!(
        "done: the next run of `{}` starts from nothing\n  hint: `sluicebox run --once`",
        plan.name
    ))?;
    Ok(document)
}

/// What would be deleted, and what stays.
fn said(file: &PipelineFile, layers: &BTreeMap<&'static str, Layer>, queued: &Queued) -> String {
    let mut what = format!("reset of `{}` deletes", file.plan.name);
    for name in ["bronze", "silver", "gold"] {
        let Some(layer) = layers.get(name) else { continue };
        what.push_str(&format!("\n  {name:<7} {}", described(layer, place(file, name))));
    }
    what.push_str(&match &queued {
        Queued::File(messages, bytes) => {
            format!("\n  queue   {}, {}", counted(*messages, "message", "messages"), size(*bytes))
        }
        Queued::Elsewhere(url) => format!(
            "\n  queue   nothing: the queues at {url} are not emptied; their messages are dropped when they are received, for their ticks are gone"
        ),
    });
    layers.iter().for_each(|(name, layer)| what.push_str(&others(name, layer)));
    what
}

async fn do_it(
    file: &PipelineFile,
    (lake, owner): (&Lake, Option<&Identity>),
    layers: &BTreeMap<&'static str, Layer>,
    queued: &Queued,
    shared: &Shared,
) -> anyhow::Result<()> {
    // The queue first: if a message outlived its lake, every later run would set it aside and say so.
    if let (Queued::File(..), Some(owner)) = (queued, owner) {
        queue_file(&file.plan, &file.folder, shared).await?.discard(&owner.id, true).await?;
    }
    reset::empty(lake, layers).await?;
    for layer in [&file.plan.lake.gold, &file.plan.lake.silver, &file.plan.lake.bronze] {
        if let Location::Local(path) = layer {
            remove_empty(&file.folder.join(path));
        }
    }
    Ok(())
}

/// What waits in the queue.
enum Queued {
    /// Messages and bytes in the embedded queue's file.
    File(usize, u64),
    /// The queues of a service.
    Elsewhere(String),
}

impl Queued {
    fn messages(&self) -> Option<usize> {
        match self {
            Queued::File(messages, _) => Some(*messages),
            Queued::Elsewhere(_) => None,
        }
    }
}

async fn queued(file: &PipelineFile, lake: Option<&str>, shared: &Shared) -> anyhow::Result<Queued> {
    if let Some(url) = &file.plan.queue.url {
        return Ok(Queued::Elsewhere(url.to_string()));
    }
    let (true, Some(lake)) = (queue_path(&file.plan, &file.folder).is_file(), lake) else {
        return Ok(Queued::File(0, 0));
    };
    let (messages, bytes) = queue_file(&file.plan, &file.folder, shared).await?.kept(lake, true).await?;
    Ok(Queued::File(usize::try_from(messages).unwrap_or(usize::MAX), bytes))
}

fn place(file: &PipelineFile, layer: &str) -> String {
    let places = &file.plan.lake;
    match layer {
        "bronze" => places.bronze.to_string(),
        "silver" => places.silver.to_string(),
        _ => places.gold.to_string(),
    }
}

fn described(layer: &Layer, place: String) -> String {
    format!("{}, {} in {place}", counted(layer.objects, "object", "objects"), size(layer.bytes))
}

/// What stays in a layer.
fn others(name: &str, layer: &Layer) -> String {
    if layer.others.is_empty() {
        return String::new();
    }
    let named = layer.others.iter().take(MOST_NAMED).map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
    let more = layer.others.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("\n  in {name} stays what Sluicebox has not written: {named}{more}")
}

/// Removes folders that hold no file; never follows a link.
fn remove_empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // It fails if the folder is not empty.
    let _ = std::fs::remove_dir(folder);
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map(|found| found.len()).unwrap_or_default(),
            _ => 0,
        })
        .sum()
}

/// Removes the compiled plugins, and the folder only if it is no link to another place.
fn remove_cache(folder: &Path) -> anyhow::Result<()> {
    match std::fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => {
            std::fs::remove_dir_all(folder).with_context(|| format!("cannot delete `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}
