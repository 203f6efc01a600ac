//! The adapter: [`Plugins`] on wasmtime.
//!
//! Holds engines and threads. Does not hold the plugins that it loads, nor know which of them serve.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::plan::{Isolation, Limits};
use seams::plugin::{Aggregator, Cleaner, Descriptor, Digest, Enricher, Grants, LoadError, Plugins};
use thiserror::Error;

use crate::aggregator::WasmAggregator;
use crate::bindings::aggregate::AggregateOnlyIndices;
use crate::bindings::clean::CleanOnlyIndices;
use crate::bindings::enrich::EnrichOnlyIndices;
use crate::cleaner::WasmCleaner;
use crate::code::Find;
use crate::engines::{Engines, MAX_STACK, SharedEngines, kind_of};
use crate::enricher::WasmEnricher;
use crate::fault::refused;
use crate::inspect::{Inspection, inspect_within};
use crate::kept::Kept;
use crate::load::{Loaded, check_world, describe, load};
use crate::memory::{self, Need};
use crate::options::Options;
use crate::threads::{Lane, MOST_FOR_EACH, Threads};
use crate::turns::Turns;
use crate::worker::{Caps, Remote};
use crate::world::World;

/// The reason why plugins cannot run on this machine.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The cache's folder or its key cannot be made, or others can write to it.
    #[error("cannot keep compiled plugins: {0}")]
    Cache(String),
    /// The threads cannot be started.
    #[error("cannot start the guest threads: {0}")]
    Threads(#[from] std::io::Error),
}

/// Plugins on wasmtime.
///
/// Loaded plugins share its threads and stay usable when it is gone.
#[derive(Clone, Debug)]
pub struct WasmPlugins {
    engines: SharedEngines,
    threads: Arc<Threads>,
}

impl WasmPlugins {
    /// Starts the threads and opens the cache.
    ///
    /// # Errors
    /// The machine gives no threads, or the cache directory cannot be used.
    pub fn new(options: Options) -> Result<Self, SetupError> {
        let count = options.guest_threads.clamp(1, 256);
        let instances = u32::try_from(count * MOST_FOR_EACH).unwrap_or(768);
        let kept = Kept::open(options.cache.as_ref(), options.shipped.as_ref()).map_err(SetupError::Cache)?;
        let turns = Turns::within(options.memory.unwrap_or_else(memory::default_limit));
        let engines = Engines::new(kept, instances, options.worker);
        let threads = Threads::start(count, MAX_STACK, turns)?;
        Ok(WasmPlugins { engines: Arc::new(engines), threads: Arc::new(threads) })
    }

    /// In a worker: one guest at a time, and the code of one plugin. The host counts its memory.
    pub(crate) fn in_worker(code: Vec<u8>) -> Result<Self, SetupError> {
        let (engines, turns) = (Engines::of_worker(code), Turns::within(u64::MAX));
        Ok(WasmPlugins { engines: Arc::new(engines), threads: Arc::new(Threads::start(1, MAX_STACK, turns)?) })
    }

    /// Without deadlines and caps, for the benchmark that measures their cost. Not in the program: no crate asks for this feature.
    ///
    /// # Errors
    /// As for [`WasmPlugins::new`].
    #[cfg(feature = "unguarded")]
    pub fn unguarded(guest_threads: usize) -> Result<Self, SetupError> {
        let instances = u32::try_from(guest_threads * MOST_FOR_EACH).unwrap_or(768);
        let mut engines = Engines::new(Kept::default(), instances, None);
        engines.guards = crate::engines::Guards::Off;
        let threads = Threads::start(guest_threads, MAX_STACK, Turns::within(u64::MAX))?;
        Ok(WasmPlugins { engines: Arc::new(engines), threads: Arc::new(threads) })
    }

    /// The description of a component of any world, without configuring it.
    ///
    /// # Errors
    /// As for loading, less the configuration's.
    pub async fn describe(&self, component: Bytes) -> Result<(Inspection, Descriptor, Digest), LoadError> {
        let engines = Arc::clone(&self.engines);
        let lane = self.threads.lane();
        let described = lane.run(Need::of_load(&Limits::default()), move || describe(&engines, &component));
        described.await.unwrap_or_else(|panic| Err(host_bug(&panic)))
    }

    /// Loads a plugin of a world whose own exports `find` looks up. Returns it with its lane.
    async fn load<E: Send + 'static>(
        &self,
        component: Bytes,
        world: World,
        grants: &Grants,
        find: Find<E>,
    ) -> Result<(Loaded<E>, Lane), LoadError> {
        let (engines, grants, lane) = (Arc::clone(&self.engines), grants.clone(), self.threads.lane());
        let need = Need::of_load(&grants.limits);
        let work = move || load(&engines, &component, world, &grants, find);
        let loaded = lane.run(need, work).await.unwrap_or_else(|panic| Err(host_bug(&panic)))?;
        Ok((loaded, lane))
    }

    /// Loads a plugin into worker processes.
    async fn remote(&self, component: Bytes, world: World, grants: &Grants) -> Result<Remote, LoadError> {
        let (engines, threads, grants) = (Arc::clone(&self.engines), Arc::clone(&self.threads), grants.clone());
        let need = Need::of_load(&grants.limits);
        let lane = self.threads.lane();
        let work = move || start_remote(&engines, &component, world, &grants, threads.lane());
        lane.run(need, work).await.unwrap_or_else(|panic| Err(host_bug(&panic)))
    }
}

/// Starts a plugin in worker processes, after compiling it under the caps of compiling.
fn start_remote(
    engines: &Engines,
    component: &Bytes,
    world: World,
    grants: &Grants,
    lane: Lane,
) -> Result<Remote, LoadError> {
    let Some(program) = engines.worker() else {
        let hint = "set `isolation = \"in-process\"` under `[limits]` in `pipeline.toml`";
        return Err(refused("P181", "plugin is to run in worker processes, and this host has none", hint));
    };
    check_world(&inspect_within(component, grants.limits.component)?, world)?;
    let kind = kind_of(&grants.limits)?;
    let code = engines.code(kind, Caps::of(&grants.limits), component, &Digest::of(component))?;
    Remote::start(program.clone(), code, world, component, grants, lane)
}

fn host_bug(panic: &str) -> LoadError {
    refused(
        "P900",
        format!("the host failed while loading the plugin: {panic}"),
        "this is a bug of the host: please report it",
    )
}

#[async_trait]
impl Plugins for WasmPlugins {
    async fn enricher(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Enricher>, LoadError> {
        if grants.limits.isolation == Isolation::Process {
            return Ok(Arc::new(self.remote(component, World::Enricher, grants).await?));
        }
        let (loaded, lane) = self.load(component, World::Enricher, grants, EnrichOnlyIndices::new).await?;
        Ok(Arc::new(WasmEnricher::new(loaded, lane)))
    }

    async fn cleaner(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Cleaner>, LoadError> {
        if grants.limits.isolation == Isolation::Process {
            return Ok(Arc::new(self.remote(component, World::Cleaner, grants).await?));
        }
        let (loaded, lane) = self.load(component, World::Cleaner, grants, CleanOnlyIndices::new).await?;
        Ok(Arc::new(WasmCleaner::new(loaded, lane)))
    }

    async fn aggregator(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Aggregator>, LoadError> {
        if grants.limits.isolation == Isolation::Process {
            return Ok(Arc::new(self.remote(component, World::Aggregator, grants).await?));
        }
        let (loaded, lane) = self.load(component, World::Aggregator, grants, AggregateOnlyIndices::new).await?;
        Ok(Arc::new(WasmAggregator::new(loaded, lane)))
    }
}
