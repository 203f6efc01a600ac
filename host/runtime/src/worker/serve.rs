//! The worker that runs one plugin: takes its code, locks itself down, loads it, and answers one call after the other until its stdin ends.
//!
//! Does not log: what plugin and runtime say goes back with the answer, for the host to pass on.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use pipeline::plan::{Isolation, Limits};
use seams::http::HttpAnswer;
use seams::plugin::{Aggregator, Cleaner, Descriptor, Enricher, Fault, Grants, LoadError, Plugins};

use super::wire::{Load, Output, Ready, Reply, Request, columns, read_batch};
use super::{frames, lockdown};
use crate::fault::{host_fault, refused};
use crate::log;
use crate::plugins::WasmPlugins;
use crate::world::World;

/// Bytes of one request. The host makes them; it bounds its own.
const MAX_REQUEST: u64 = u32::MAX as u64;

enum Loaded {
    Enricher(Arc<dyn Enricher>),
    Cleaner(Arc<dyn Cleaner>),
    Aggregator(Arc<dyn Aggregator>),
}

/// Runs to the end of stdin.
pub(super) fn serve() -> u8 {
    log::keep();
    let reactor = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(reactor) => reactor,
        Err(_) => return 3,
    };
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    match reactor.block_on(converse(&mut input, &mut output)) {
        Ok(()) => 0,
        // The host is gone: there is nowhere to report it.
        Err(_) => 1,
    }
}

async fn converse(input: &mut impl Read, output: &mut impl Write) -> std::io::Result<()> {
    let Some(job) = frames::read::<Load>(input, MAX_REQUEST)? else { return Ok(()) };
    let Some(code) = frames::read_bytes(input, MAX_REQUEST)? else { return Ok(()) };
    let plugin = match ready(job, code).await {
        Ok((plugin, descriptor)) => {
            frames::write(output, &Ready::Loaded(descriptor))?;
            plugin
        }
        Err(error) => return frames::write(output, &Ready::refused(error)),
    };
    while let Some(request) = frames::read::<Request>(input, MAX_REQUEST)? {
        let outcome = answer(&plugin, request).await.map_err(Into::into);
        frames::write(output, &Reply { outcome, told: log::kept() })?;
    }
    Ok(())
}

/// Loads the plugin. Its code is here already; before any of it runs, `load` makes this process give up everything else.
async fn ready(job: Load, code: Vec<u8>) -> Result<(Loaded, Descriptor), LoadError> {
    lockdown::cap(None, room(&job.limits)).map_err(|error| host_bug(&error.to_string()))?;
    let limits = Limits { isolation: Isolation::InProcess, ..job.limits };
    let plugins = WasmPlugins::in_worker(code).map_err(|error| host_bug(&error.to_string()))?;
    let (grants, component) = (Grants { config: job.config, limits }, Bytes::from(job.component));
    let loaded = match job.world {
        World::Enricher => Loaded::Enricher(plugins.enricher(component, &grants).await?),
        World::Cleaner => Loaded::Cleaner(plugins.cleaner(component, &grants).await?),
        World::Aggregator => Loaded::Aggregator(plugins.aggregator(component, &grants).await?),
    };
    let descriptor = match &loaded {
        Loaded::Enricher(plugin) => plugin.descriptor().clone(),
        Loaded::Cleaner(plugin) => plugin.descriptor().clone(),
        Loaded::Aggregator(plugin) => plugin.descriptor().clone(),
    };
    Ok((loaded, descriptor))
}

/// Memory for the guest, for what goes in and comes out in its three forms, and for the runtime itself.
fn room(limits: &Limits) -> u64 {
    limits.memory.saturating_mul(2).saturating_add(limits.output.saturating_mul(4)).saturating_add(1 << 30)
}

fn host_bug(why: &str) -> LoadError {
    refused(
        "P900",
        format!("worker process cannot run the plugin: {why}"),
        "this is a bug of the host: please report it",
    )
}

async fn answer(plugin: &Loaded, request: Request) -> Result<Output, Fault> {
    let bytes = |parts: Vec<Vec<u8>>| parts.into_iter().map(Bytes::from).collect::<Vec<_>>();
    let arrow = |error: arrow::error::ArrowError| host_fault(error.to_string());
    match (plugin, request) {
        (Loaded::Enricher(plugin), Request::Enrich { entry, answers }) => {
            let answers: Vec<HttpAnswer> = answers.into_iter().map(HttpAnswer::from).collect();
            plugin.enrich(&entry, &answers).await.map(Output::Step)
        }
        (Loaded::Cleaner(plugin), Request::Clean { documents }) => {
            let cleaned = plugin.clean(&bytes(documents)).await?;
            let rows = columns(&cleaned.rows, &plugin.descriptor().output)?;
            Ok(Output::Cleaned { rows, row_of: cleaned.row_of, rejects: cleaned.rejects, skips: cleaned.skips })
        }
        (Loaded::Aggregator(plugin), Request::Fold { rows }) => {
            let rows = rows.iter().map(|batch| read_batch(batch)).collect::<Result<Vec<_>, _>>().map_err(arrow)?;
            plugin.fold(&rows).await.map(|partial| Output::Partial(partial.to_vec()))
        }
        (Loaded::Aggregator(plugin), Request::Merge { partials }) => {
            plugin.merge(&bytes(partials)).await.map(|partial| Output::Partial(partial.to_vec()))
        }
        (Loaded::Aggregator(plugin), Request::Finish { partials }) => {
            let table = plugin.finish(&bytes(partials)).await?;
            columns(&table, &plugin.descriptor().output).map(Output::Table)
        }
        _ => Err(host_fault("worker process was asked for what its plugin does not do")),
    }
}
