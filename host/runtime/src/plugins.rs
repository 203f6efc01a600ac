//! The adapter: [`Plugins`] on wasmtime.
//!
//! Holds engines and threads. Does not hold the plugins that it loads, nor know which of them serve.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use engine::pipeline::plan::Isolation;
use engine::seams::plugin::{Aggregator, Cleaner, Descriptor, Digest, Enricher, Grants, LoadError, Plugins};
use thiserror::Error;

use crate::aggregator::WasmAggregator;
use crate::bindings::aggregate::AggregateOnlyIndices;
use crate::bindings::clean::CleanOnlyIndices;
use crate::bindings::enrich::EnrichOnlyIndices;
use crate::cleaner::WasmCleaner;
use crate::code::Find;
use crate::engines::{Engines, MAX_STACK, SharedEngines};
use crate::enricher::WasmEnricher;
use crate::inspect::{Inspection, World, inspect_within, refused};
use crate::load::{Loaded, check_world, describe, kind_of, load};
use crate::threads::Threads;
use crate::worker::{Caps, Remote, WorkerProgram};

/// How plugins are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where compiled code is kept, in a directory of its own that only this user can enter: what lies in it is executed. `None`
    /// compiles at every start.
    pub cache_dir: Option<PathBuf>,
    /// How worker processes are started. `None` compiles in this process, and cannot isolate plugins by process.
    pub worker: Option<WorkerProgram>,
    /// How many guests run at once, 1 to 256. More than there are processors lets short calls pass long ones.
    pub guest_threads: usize,
}

impl Default for Options {
    /// No cache; four threads a processor and at least eight.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Options { cache_dir: None, worker: None, guest_threads: (processors * 4).max(8) }
    }
}

/// Why plugins cannot be run on this machine.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The cache directory cannot be made, or made private.
    #[error("cannot use the compile cache: {0}")]
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
        // Calls that have stepped back have others beside them.
        let instances = u32::try_from(count * 2).unwrap_or(512);
        let engines = Engines::new(options.cache_dir, instances, options.worker)
            .map_err(|error| SetupError::Cache(format!("{error:#}")))?;
        Ok(WasmPlugins { engines: Arc::new(engines), threads: Arc::new(Threads::start(count, MAX_STACK)?) })
    }

    /// Without a deadline or a cap, for the benchmark that measures what those cost. Not in the program: no crate asks for this feature.
    ///
    /// # Errors
    /// As for [`WasmPlugins::new`].
    #[cfg(feature = "unguarded")]
    pub fn unguarded(guest_threads: usize) -> Result<Self, SetupError> {
        let instances = u32::try_from(guest_threads * 2).unwrap_or(512);
        let mut engines =
            Engines::new(None, instances, None).map_err(|error| SetupError::Cache(format!("{error:#}")))?;
        engines.guards = crate::engines::Guards::Off;
        Ok(WasmPlugins { engines: Arc::new(engines), threads: Arc::new(Threads::start(guest_threads, MAX_STACK)?) })
    }

    /// What a component of any world says of itself, without configuring it.
    ///
    /// # Errors
    /// As for loading, less the configuration's.
    pub async fn describe(&self, component: Bytes) -> Result<(Inspection, Descriptor, Digest), LoadError> {
        let engines = Arc::clone(&self.engines);
        let described = self.threads.run(move || describe(&engines, &component));
        described.await.unwrap_or_else(|panic| Err(host_bug(&panic)))
    }

    /// Loads a plugin of a world whose own exports `find` looks up.
    async fn load<E: Send + 'static>(
        &self,
        component: Bytes,
        world: World,
        grants: &Grants,
        find: Find<E>,
    ) -> Result<Loaded<E>, LoadError> {
        let (engines, grants) = (Arc::clone(&self.engines), grants.clone());
        let work = move || load(&engines, &component, world, &grants, find);
        self.threads.run(work).await.unwrap_or_else(|panic| Err(host_bug(&panic)))
    }

    /// Loads a plugin into worker processes.
    async fn remote(&self, component: Bytes, world: World, grants: &Grants) -> Result<Remote, LoadError> {
        let (engines, threads, grants) = (Arc::clone(&self.engines), Arc::clone(&self.threads), grants.clone());
        let work = move || start_remote(&engines, &component, world, &grants, threads);
        self.threads.run(work).await.unwrap_or_else(|panic| Err(host_bug(&panic)))
    }
}

/// Starts a plugin in worker processes, compiled before that under the caps of compiling.
fn start_remote(
    engines: &Engines,
    component: &Bytes,
    world: World,
    grants: &Grants,
    threads: Arc<Threads>,
) -> Result<Remote, LoadError> {
    let Some((program, cache)) = engines.worker() else {
        let hint = "set `isolation = \"in-process\"` under `[limits]` in `pipeline.toml`";
        return Err(refused("P181", "plugin is to run in worker processes, and this host has none", hint));
    };
    check_world(&inspect_within(component, grants.limits.component)?, world)?;
    let kind = kind_of(&grants.limits)?;
    if cache.is_some() {
        engines.compile(kind, Caps::of(&grants.limits), component, &Digest::of(component))?;
    }
    Remote::start(program.clone(), cache.cloned(), world, component, grants, threads)
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
        let loaded = self.load(component, World::Enricher, grants, EnrichOnlyIndices::new).await?;
        Ok(Arc::new(WasmEnricher::new(loaded, Arc::clone(&self.threads))))
    }

    async fn cleaner(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Cleaner>, LoadError> {
        if grants.limits.isolation == Isolation::Process {
            return Ok(Arc::new(self.remote(component, World::Cleaner, grants).await?));
        }
        let loaded = self.load(component, World::Cleaner, grants, CleanOnlyIndices::new).await?;
        Ok(Arc::new(WasmCleaner::new(loaded, Arc::clone(&self.threads))))
    }

    async fn aggregator(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Aggregator>, LoadError> {
        if grants.limits.isolation == Isolation::Process {
            return Ok(Arc::new(self.remote(component, World::Aggregator, grants).await?));
        }
        let loaded = self.load(component, World::Aggregator, grants, AggregateOnlyIndices::new).await?;
        Ok(Arc::new(WasmAggregator::new(loaded, Arc::clone(&self.threads))))
    }
}
