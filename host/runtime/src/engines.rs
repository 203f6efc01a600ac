//! wasmtime engines: one configuration, an OS thread that ticks epochs, and components made from code that is kept or has to be compiled.
//!
//! Does not hold plugins. There is one engine per stack limit and per answer to whether fuel is counted, because wasmtime fixes both
//! per engine; nearly always it is one in all.

mod kind;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seams::plugin::{Digest, LoadError};
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};

use crate::fault::refused;
use crate::kept::Kept;
use crate::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::worker::{Caps, WorkerProgram, compile, lock, not_compiled};
use crate::{native, processor};

pub(crate) use kind::{Guards, Kind, MAX_STACK, kind_of};

/// Bytes of a memory and of a table that are zeroed in place when a call ends, rather than returned to the system: a call that
/// needs no more meets no page fault, and no lock of the process's address space, which a leaking neighbour may hold.
const KEPT_MEMORY: usize = 2 << 20;
const KEPT_TABLE: usize = 64 << 10;
/// How often a running guest's deadline is checked.
const TICK: Duration = Duration::from_millis(10);

/// Makes engines and keeps them.
#[derive(Debug)]
pub(crate) struct Engines {
    pub(crate) guards: Guards,
    kept: Kept,
    worker: Option<WorkerProgram>,
    /// In a worker: the code of its one component.
    given: Option<Vec<u8>>,
    instances: u32,
    by_kind: Mutex<HashMap<Kind, Engine>>,
}

impl Engines {
    /// `instances` is how many guests may be alive at once. With a `worker` components are compiled by that.
    pub(crate) fn new(kept: Kept, instances: u32, worker: Option<WorkerProgram>) -> Self {
        Engines { guards: Guards::On, kept, worker, given: None, instances, by_kind: Mutex::default() }
    }

    /// For a worker, which compiles nothing and reads nothing: `code` is that of its plugin.
    pub(crate) fn of_worker(code: Vec<u8>) -> Self {
        Engines { given: Some(code), ..Engines::new(Kept::default(), 1, None) }
    }

    /// What is known of components. A worker has no cache and trusts none.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
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

    /// How to start a worker process, if there are any.
    pub(crate) fn worker(&self) -> Option<&WorkerProgram> {
        self.worker.as_ref()
    }

    /// In a worker: gives up what no guest may use, before the first one begins. For good, and for all its threads.
    pub(crate) fn lock(&self) -> Result<(), LoadError> {
        if self.given.is_none() {
            return Ok(());
        }
        lock().map_err(|error| refused("P900", format!("worker process cannot lock itself down: {error}"), ""))
    }

    /// The compiled component.
    pub(crate) fn compile(
        &self,
        kind: Kind,
        caps: Caps,
        component: &[u8],
        digest: &Digest,
    ) -> Result<Component, LoadError> {
        let engine = self.engine(kind)?;
        if let Some(code) = &self.given {
            let made = native::component(&engine, code).and_then(|made| {
                // Its memory image is made now: a locked worker cannot make one.
                made.initialize_copy_on_write_image()?;
                Ok(made)
            });
            return made.map_err(|error| refused("P900", format!("worker was given no code: {error:#}"), ""));
        }
        if let Some(made) = self.kept.code(&engine, digest).and_then(|code| native::component(&engine, &code).ok()) {
            return Ok(made);
        }
        let made = match self.compiled(&engine, (kind, caps), component, digest)? {
            Some(code) => native::component(&engine, &code),
            None => Component::from_binary(&engine, component),
        };
        made.map_err(|error| not_compiled(&format!("{error:#}")))
    }

    /// The code of a component, for a worker to run.
    pub(crate) fn code(&self, kind: Kind, caps: Caps, component: &[u8], digest: &Digest) -> Result<Vec<u8>, LoadError> {
        let engine = self.engine(kind)?;
        if let Some(code) = self.kept.code(&engine, digest) {
            return Ok(code);
        }
        match self.compiled(&engine, (kind, caps), component, digest)? {
            Some(code) => Ok(code),
            None => engine.precompile_component(component).map_err(|error| not_compiled(&format!("{error:#}"))),
        }
    }

    fn engine(&self, kind: Kind) -> Result<Engine, LoadError> {
        self.get(kind).map_err(|error| refused("P900", format!("cannot make an engine: {error:#}"), ""))
    }

    /// Compiles a component that is not kept, under caps and in a process of its own, and keeps it. `None` without a worker and a place
    /// to keep it: then the first call compiles it.
    fn compiled(
        &self,
        engine: &Engine,
        (kind, caps): (Kind, Caps),
        component: &[u8],
        digest: &Digest,
    ) -> Result<Option<Vec<u8>>, LoadError> {
        let code = match &self.worker {
            Some(program) => compile(program, kind, caps, component)?,
            None if self.kept.is_somewhere() => {
                engine.precompile_component(component).map_err(|error| not_compiled(&format!("{error:#}")))?
            }
            None => return Ok(None),
        };
        self.kept.keep_code(engine, digest, &code);
        Ok(Some(code))
    }

    /// With pooled memories if there is enough address space, else with memories made on demand: slower to instantiate, the same in
    /// every other way.
    fn make(&self, kind: Kind) -> wasmtime::Result<Engine> {
        let mut config = config(kind, self.guards);
        processor::fix(&mut config)?;
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(self.instances, self.given.is_some())));
        Engine::new(&config).or_else(|error| {
            tracing::warn!(%error, "cannot reserve a pool of plugin memories, making them on demand");
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Engine::new(&config)
        })
    }
}

/// Everything that decides what a guest computes or may use.
fn config(kind: Kind, guards: Guards) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(guards.are_on())
        .consume_fuel(kind.fuel)
        .max_wasm_stack(kind.stack)
        .async_stack_size(kind.stack + (1 << 20))
        .memory_init_cow(true);
    // One input, one output: no NaN payloads, no instructions whose result depends on the machine.
    config.cranelift_nan_canonicalization(guards.are_on()).wasm_relaxed_simd(false);
    // Features that no plugin needs are off.
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_custom_page_sizes(false);
    config
}

/// Room for as many guests as there are threads, each at its caps, so that no guest is refused for want of a slot. Address space, not
/// memory: some GiB for each linear memory. A worker asks the system for nothing that it would have to be allowed.
fn pool(guests: u32, is_worker: bool) -> PoolingAllocationConfig {
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
        .pagemap_scan(if is_worker { Enabled::No } else { Enabled::Auto });
    pool
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
