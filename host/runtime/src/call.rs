//! One call: a fresh store and instance, every limit set, `configure`, the work, and what is left of it afterwards.
//!
//! Does not know what the work is: `enricher`, `cleaner` and `aggregator` do. Nothing of a call survives it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::pipeline::plan::Limits;
use engine::seams::plugin::{Fault, FaultKind};
use wasmtime::component::{Instance, InstancePre, Linker, WasmStr};
use wasmtime::{Engine, Store, StoreContextMut, UpdateDeadline};

use crate::bindings::{Level, lifecycle};
use crate::fault::{Phase, classify, fault};
use crate::limits::{Exceeded, MAX_HANDLES, Meter};
use crate::log::{Line, Log};

/// What a guest's store holds for the host.
#[derive(Debug)]
pub(crate) struct Host {
    meter: Meter,
    log: Log,
    plugin: String,
    digest: String,
}

/// A component that can be called, and under which conditions.
#[derive(Clone)]
pub(crate) struct Callable {
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<Host>,
    pub(crate) lifecycle: Arc<lifecycle::CommonIndices>,
    pub(crate) limits: Limits,
    pub(crate) config: String,
    /// For log lines: `NAME VERSION`, or `?` before the plugin has said it.
    pub(crate) plugin: String,
    pub(crate) digest: String,
}

/// What a call gave.
#[derive(Debug)]
pub(crate) struct Returned<T> {
    pub(crate) value: T,
    pub(crate) log: Vec<String>,
}

impl Callable {
    /// Runs `work` in a fresh, configured instance. To be called on a guest thread.
    pub(crate) fn call<T>(
        &self,
        work: impl FnOnce(&mut Store<Host>, &Instance) -> wasmtime::Result<T>,
    ) -> Result<Returned<T>, Fault> {
        self.run(|store, instance, phase| {
            *phase = Phase::Configure;
            let guest = self.lifecycle.load(&mut *store, instance)?;
            let accepted = guest.sluicebox_plugin_lifecycle().call_configure(&mut *store, &self.config)?;
            if let Err(words) = accepted {
                let message = format!("plugin refused its configuration: {words}");
                return Err(wasmtime::Error::new(fault(FaultKind::Configure, "P030", message)));
            }
            *phase = Phase::Call;
            work(store, instance)
        })
    }

    /// Runs `work` in a fresh instance that is not configured.
    pub(crate) fn run<T>(
        &self,
        work: impl FnOnce(&mut Store<Host>, &Instance, &mut Phase) -> wasmtime::Result<T>,
    ) -> Result<Returned<T>, Fault> {
        let mut store = self.store();
        let mut phase = Phase::Instantiate;
        let result = match self.pre.instantiate(&mut store) {
            Ok(instance) => work(&mut store, &instance, &mut phase),
            Err(error) => Err(error),
        };
        let host = store.into_data();
        tracing::debug!(
            plugin = host.plugin,
            digest = host.digest,
            memory = host.meter.memory(),
            ok = result.is_ok(),
            "plugin called"
        );
        let log = host.log.close(&host.plugin, &host.digest);
        match result {
            Ok(value) => Ok(Returned { value, log }),
            Err(error) => Err(Fault { log, ..classify(error, phase, self.limits.output) }),
        }
    }

    fn store(&self) -> Store<Host> {
        let host = Host {
            meter: Meter::new(&self.limits),
            log: Log::new(self.limits.log),
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
        };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.meter);
        store.set_hostcall_fuel(usize::try_from(self.limits.output).unwrap_or(usize::MAX));
        store.set_max_component_handles(MAX_HANDLES);
        let (started, limit) = (Instant::now(), self.limits.deadline);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| past(started.elapsed(), limit));
        store
    }
}

/// Epochs only say "look at the clock": counting them would stretch the deadline whenever the ticking thread is late.
fn past(used: Duration, limit: Duration) -> wasmtime::Result<UpdateDeadline> {
    if used < limit {
        Ok(UpdateDeadline::Continue(1))
    } else {
        Err(wasmtime::Error::new(Exceeded::Deadline { limit, used }))
    }
}

/// All that a plugin can call: `log.write`.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    linker.instance("sluicebox:plugin/log@0.1.0")?.func_wrap("write", write_log)?;
    Ok(linker)
}

/// The text is looked at where it lies in the guest's memory and only as much of it as will be kept is copied.
fn write_log(mut store: StoreContextMut<'_, Host>, (level, message): (Level, WasmStr)) -> wasmtime::Result<()> {
    if store.data().log.is_full() {
        store.data_mut().log.drop_line();
        return Ok(());
    }
    let line = Line::of(&message.to_str(&store)?);
    let Host { log, plugin, digest, .. } = store.data_mut();
    log.write(plugin, digest, level, &line);
    Ok(())
}
