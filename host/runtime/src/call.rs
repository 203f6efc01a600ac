//! One call: a fresh store and instance, every limit set, `configure`, the work, and its result.
//!
//! Does not know what the work is: `enricher`, `cleaner` and `aggregator` do. Nothing of a call survives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pipeline::plan::Limits;
use seams::foreign;
use seams::plugin::{Fault, FaultKind};
use wasmtime::component::{Component, Instance, InstancePre, Linker, WasmStr};
use wasmtime::{Engine, Store, StoreContextMut, UpdateDeadline};

use crate::bindings::{Level, lifecycle};
use crate::engines::Guards;
use crate::errors::classify;
use crate::fault::{Phase, fault};
use crate::limits::{Exceeded, MAX_HANDLES, Meter};
use crate::log::{self, Line, Log};
use crate::store::Host;
use crate::threads::{self, Behind};
use crate::wasi;

/// After so many ticks of the clock at work a call counts as long and makes way for others: some 100 ms of work,
/// however little processor time it gets.
const LONG_TICKS: u32 = 10;

/// A component that can be called, and the conditions of each call.
#[derive(Clone)]
pub(crate) struct Callable {
    pub(crate) engine: Engine,
    pub(crate) guards: Guards,
    pub(crate) pre: InstancePre<Host>,
    pub(crate) lifecycle: Arc<lifecycle::CommonIndices>,
    pub(crate) limits: Limits,
    pub(crate) config: String,
    /// For log lines: name and short digest, or `?` before the plugin has described itself.
    pub(crate) plugin: String,
    pub(crate) digest: String,
    /// Whether its last call broke or flooded its log: the next one makes way from its start, as a long one does later. Many short
    /// calls that break would otherwise cost their neighbours as much as one that spins.
    pub(crate) in_disgrace: Arc<AtomicBool>,
    /// Whether it was logged that calls come near their deadline: once is enough.
    pub(crate) told_slow: Arc<AtomicBool>,
}

/// The result of a call.
#[derive(Debug)]
pub(crate) struct Returned<T> {
    pub(crate) value: T,
    pub(crate) log: Vec<String>,
}

impl Callable {
    /// Runs `work`, which is over `records` records, in a fresh, configured instance. Must be called on a guest thread.
    pub(crate) fn call<T>(
        &self,
        records: usize,
        work: impl FnOnce(&mut Store<Host>, &Instance) -> wasmtime::Result<T>,
    ) -> Result<Returned<T>, Fault> {
        let started = Instant::now();
        let returned = self.run(|store, instance, phase| {
            *phase = Phase::Configure;
            let guest = self.lifecycle.load(&mut *store, instance)?;
            let accepted = guest.sluicebox_plugin_lifecycle().call_configure(&mut *store, &self.config)?;
            if let Err(words) = accepted {
                let message = format!("plugin refused its configuration: {}", foreign::words(&words));
                return Err(wasmtime::Error::new(fault(FaultKind::Configure, "P030", message)));
            }
            *phase = Phase::Call;
            work(store, instance)
        })?;
        self.tell_if_slow(started.elapsed(), records);
        Ok(returned)
    }

    /// A call that needs half of its deadline will miss it on a busier machine, or with a larger batch.
    fn tell_if_slow(&self, used: Duration, records: usize) {
        let limit = self.limits.deadline;
        if used * 2 <= limit || self.told_slow.swap(true, Ordering::Relaxed) {
            return;
        }
        let each = used / u32::try_from(records.max(1)).unwrap_or(u32::MAX);
        let text = format!(
            "plugin is slow: a call of {records} records used {used:.2?} of its deadline of {limit:?}, {each:.2?} a record"
        );
        log::warn(&self.plugin, &self.digest, "P204", text);
    }

    /// Runs `work` in a fresh instance that is not configured.
    pub(crate) fn run<T>(
        &self,
        work: impl FnOnce(&mut Store<Host>, &Instance, &mut Phase) -> wasmtime::Result<T>,
    ) -> Result<Returned<T>, Fault> {
        if self.in_disgrace.load(Ordering::Relaxed) {
            threads::step_back(Behind::Everything);
        }
        let mut phase = Phase::Instantiate;
        let mut store = self.store().map_err(|error| classify(error, phase, &self.limits))?;
        let result = match self.pre.instantiate(&mut store) {
            Ok(instance) => work(&mut store, &instance, &mut phase),
            Err(error) => Err(error),
        };
        let fuel = self.limits.fuel.map(|limit| limit - store.get_fuel().unwrap_or_default().min(limit));
        let mut host = store.into_data();
        for (level, line) in host.wasi.output.rest() {
            host.write_log(level, &line);
        }
        tracing::debug!(
            plugin = host.plugin,
            digest = host.digest,
            memory = host.meter.memory(),
            fuel,
            ok = result.is_ok(),
            "plugin called"
        );
        let flooded = self.limits.log > 0 && host.log.has_dropped();
        self.in_disgrace.store(result.is_err() || flooded, Ordering::Relaxed);
        let log = host.log.close(&host.plugin, &host.digest);
        match result {
            Ok(value) => Ok(Returned { value, log }),
            Err(error) => Err(Fault { log, ..classify(error, phase, &self.limits) }),
        }
    }

    fn store(&self) -> wasmtime::Result<Store<Host>> {
        let host = Host {
            meter: Meter::new(&self.limits),
            log: Log::new(self.limits.log),
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
            wasi: wasi::State::new(),
        };
        let mut store = Store::new(&self.engine, host);
        if !self.guards.are_on() {
            return Ok(store);
        }
        store.limiter(|host| &mut host.meter);
        store.set_hostcall_fuel(usize::try_from(self.limits.output).unwrap_or(usize::MAX));
        store.set_max_component_handles(MAX_HANDLES);
        let (spent, limit) = (Spent::new(), self.limits.deadline);
        store.set_epoch_deadline(1);
        let mut ticks = 0_u32;
        store.epoch_deadline_callback(move |_| {
            ticks += 1;
            if ticks == LONG_TICKS {
                threads::step_back(Behind::Others);
            }
            past(spent.so_far(), limit)
        });
        if let Some(fuel) = self.limits.fuel {
            store.set_fuel(fuel)?;
        }
        Ok(store)
    }
}

/// The part of its deadline that a call has spent.
///
/// Time by the clock, until it steps back for others. From then on the host itself makes it wait, and on a busy machine it waits long:
/// its processor time counts, or a tenth of the time by the clock if that is more, so that it ends in any case.
struct Spent {
    clock: Instant,
    processor: Option<Duration>,
}

/// How many times longer than its deadline a call that has stepped back may take by the clock.
const PATIENCE: u32 = 10;

impl Spent {
    fn new() -> Self {
        Spent { clock: Instant::now(), processor: threads::processor_time() }
    }

    fn so_far(&self) -> Duration {
        let clock = self.clock.elapsed();
        match self.processor.zip(threads::processor_time()).filter(|_| threads::is_behind()) {
            Some((before, now)) => now.saturating_sub(before).max(clock / PATIENCE),
            None => clock,
        }
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

/// All that a plugin can call: `log.write`, and what it imports of the inert WASI.
pub(crate) fn linker(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    linker.instance("sluicebox:plugin/log@0.1.0")?.func_wrap("write", write_log)?;
    wasi::define(&mut linker, component, engine)?;
    Ok(linker)
}

/// The text is read in the guest's memory, and only the part that will be kept is copied.
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
