//! wasmtime engines: one configuration, compiled code cached on disk, an OS thread that ticks epochs.
//!
//! Does not hold plugins. There is one engine per stack limit and per answer to whether fuel is counted, because wasmtime fixes both
//! per engine; nearly always it is one in all.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::pipeline::plan::Limits;
use engine::seams::plugin::{Digest, LoadError};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig,
    Strategy,
};

use crate::inspect::refused;
use crate::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::notes::Notes;
use crate::processor;
use crate::worker::{self, Caps, WorkerProgram};

/// Bytes of a memory and of a table that are zeroed where they lie when a call ends, rather than given back to the system: a call that
/// needs no more meets no page fault, and no lock of the process's address space that a neighbour who leaks may hold.
const KEPT_MEMORY: usize = 2 << 20;
const KEPT_TABLE: usize = 64 << 10;
/// How often a running guest is asked whether it is past its deadline.
const TICK: Duration = Duration::from_millis(10);
/// The largest stack that a guest may be given; the guest threads have room for it.
pub(crate) const MAX_STACK: usize = Limits::MAX_STACK as usize;

/// What an engine has for all its guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Kind {
    /// Bytes of stack.
    stack: usize,
    /// Whether fuel is counted: compiled into every block of code, so that only those pay for it who want it.
    fuel: bool,
}

impl Kind {
    /// The kind that plugins under these limits need; `None` where the stack is larger than any guest's may be, or nothing.
    pub(crate) fn of(limits: &Limits) -> Option<Self> {
        let stack = usize::try_from(limits.stack).ok().filter(|stack| (1..=MAX_STACK).contains(stack))?;
        Some(Kind { stack, fuel: limits.fuel.is_some() })
    }
}

/// Whether guests are held to anything at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Guards {
    /// Always, in the program.
    #[default]
    On,
    /// For the benchmark that measures what they cost: no deadline, no caps, NaNs as the processor makes them.
    #[cfg(feature = "unguarded")]
    Off,
}

impl Guards {
    pub(crate) fn are_on(self) -> bool {
        self == Guards::On
    }
}

/// Makes engines and keeps them.
#[derive(Debug)]
pub(crate) struct Engines {
    pub(crate) guards: Guards,
    cache: Option<Cache>,
    cache_dir: Option<PathBuf>,
    worker: Option<WorkerProgram>,
    notes: Option<Notes>,
    instances: u32,
    by_kind: Mutex<HashMap<Kind, Engine>>,
}

impl Engines {
    /// `instances` is how many guests may be alive at once. With a cache and a `worker` components are compiled by the latter.
    pub(crate) fn new(
        cache_dir: Option<PathBuf>,
        instances: u32,
        worker: Option<WorkerProgram>,
    ) -> wasmtime::Result<Self> {
        let cache = cache_dir.clone().map(private_cache).transpose()?;
        let guards = Guards::On;
        // A worker has what is compiled, and believes nothing else.
        let notes = cache_dir.as_deref().filter(|_| worker.is_some()).map(Notes::beside);
        Ok(Engines { guards, cache, cache_dir, worker, notes, instances, by_kind: Mutex::default() })
    }

    /// What is known of components, if it is kept.
    pub(crate) fn notes(&self) -> Option<&Notes> {
        self.notes.as_ref()
    }

    /// The engine of this kind.
    pub(crate) fn get(&self, kind: Kind) -> wasmtime::Result<Engine> {
        let mut engines = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&kind) {
            return Ok(engine.clone());
        }
        let engine = self.make(kind)?;
        tick(engine.weak())?;
        engines.insert(kind, engine.clone());
        Ok(engine)
    }

    /// What a worker process needs: how it is started, and where it finds what is compiled.
    pub(crate) fn worker(&self) -> Option<(&WorkerProgram, Option<&PathBuf>)> {
        self.worker.as_ref().map(|worker| (worker, self.cache_dir.as_ref()))
    }

    /// The compiled component. One that this machine has not compiled before is compiled under caps, in a process of its own, so that
    /// it is in the cache when this process asks for it; without a cache or a worker this process compiles it.
    pub(crate) fn compile(
        &self,
        kind: Kind,
        caps: Caps,
        component: &[u8],
        digest: &Digest,
    ) -> Result<Component, LoadError> {
        let engine =
            self.get(kind).map_err(|error| refused("P900", format!("cannot make an engine: {error:#}"), ""))?;
        if let (Some(dir), Some(program), Some(notes)) = (&self.cache_dir, &self.worker, &self.notes)
            && !notes.is_compiled(&engine, digest)
        {
            worker::compile(program, dir, kind, caps, component)?;
            notes.compiled(&engine, digest);
        }
        Component::from_binary(&engine, component).map_err(|error| worker::not_compiled(&format!("{error:#}")))
    }

    /// With pooled memories where the address space can be had, else with memories made on demand: slower to instantiate, same in
    /// every other way.
    fn make(&self, kind: Kind) -> wasmtime::Result<Engine> {
        let mut config = config(kind, self.guards, self.cache.clone());
        processor::fix(&mut config)?;
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(self.instances)));
        Engine::new(&config).or_else(|error| {
            tracing::warn!(%error, "cannot reserve a pool of plugin memories, making them on demand");
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Engine::new(&config)
        })
    }
}

/// Everything that decides what a guest computes or may use.
fn config(kind: Kind, guards: Guards, cache: Option<Cache>) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(guards.are_on())
        .consume_fuel(kind.fuel)
        .max_wasm_stack(kind.stack)
        .async_stack_size(kind.stack + (1 << 20))
        .memory_init_cow(true)
        .cache(cache);
    // One input, one output: no NaN payloads, no instructions whose result is the machine's choice.
    config.cranelift_nan_canonicalization(guards.are_on()).wasm_relaxed_simd(false);
    // Nothing that no plugin needs.
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_custom_page_sizes(false);
    config
}

/// Room for as many guests as there are threads, each at its caps, so that no guest is refused for want of a slot. Address space, not
/// memory: some GiB for each linear memory.
fn pool(guests: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(guests)
        .total_core_instances(guests * MAX_INSTANCES)
        .total_memories(guests * MAX_MEMORIES)
        .total_tables(guests * MAX_TABLES)
        .total_stacks(0)
        .max_core_instances_per_component(MAX_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_tables_per_module(MAX_TABLES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(1 << 32)
        .linear_memory_keep_resident(KEPT_MEMORY)
        .table_keep_resident(KEPT_TABLE)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// wasmtime's own cache, in a directory that only this user can read and write: what lies in it is executed.
fn private_cache(dir: PathBuf) -> wasmtime::Result<Cache> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))?;
    }
    let mut config = CacheConfig::new();
    // Beside the notes: wasmtime tidies its folder of whatever it does not know.
    config.with_directory(std::path::absolute(dir.join("code"))?);
    Cache::new(config)
}

/// An OS thread, so that no guest can keep it from running; it ends with the engine.
fn tick(engine: EngineWeak) -> std::io::Result<()> {
    let ticking = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new().name("guest-epoch".to_owned()).stack_size(64 << 10).spawn(ticking).map(drop)
}

/// A shared handle.
pub(crate) type SharedEngines = Arc<Engines>;
