//! From bytes to something that can be called: audited, compiled, linked, described twice, configured once.
//!
//! Does not fetch the bytes, and does not compare plugins of neighbouring layers.

use std::sync::Arc;

use bytes::Bytes;
use engine::pipeline::plan::Limits;
use engine::seams::plugin::{Descriptor, Digest, Fault, FaultKind, Grants, LoadError};
use engine::spans;
use wasmtime::component::InstancePre;

use crate::bindings::{described, lifecycle};
use crate::call::{Callable, Host, linker};
use crate::descriptor;
use crate::engines::{Engines, Kind, MAX_STACK};
use crate::fault::{Phase, bytes};
use crate::inspect::{Inspection, World, inspect_within, refused};
use crate::limits::MAX_TABLE_ELEMENTS;
use crate::worker::Caps;

/// A plugin ready to be called.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) callable: Callable,
    pub(crate) descriptor: Descriptor,
    pub(crate) digest: Digest,
    pub(crate) component: Bytes,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("plugin", &self.callable.plugin)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Loads a plugin of `world`: everything but configuring it. To be called on a guest thread.
pub(crate) fn load(engines: &Engines, component: &Bytes, world: World, grants: &Grants) -> Result<Loaded, LoadError> {
    let found = inspect_within(component, grants.limits.component)?;
    check_world(&found, world)?;
    check_needs(&found, &grants.limits)?;
    let pre = compile(engines, component, &grants.limits)?;
    let digest = Digest::of(component);
    let lifecycle = lifecycle::CommonIndices::new(&pre).map_err(wrong_signature)?;
    let mut callable = Callable {
        engine: pre.engine().clone(),
        guards: engines.guards,
        pre,
        lifecycle: Arc::new(lifecycle),
        limits: grants.limits,
        config: grants.config.clone(),
        plugin: "?".to_owned(),
        digest: digest.as_str().to_owned(),
        in_disgrace: Arc::default(),
        told_slow: Arc::default(),
    };
    let descriptor = describe(&callable, world)?;
    callable.plugin = spans::plugin_name(&descriptor.name, digest.as_str());
    Ok(Loaded { callable, descriptor, digest, component: component.clone() })
}

/// Checks that the plugin takes its configuration.
pub(crate) fn configure(loaded: &Loaded) -> Result<(), LoadError> {
    match loaded.callable.call(0, |_, _| Ok(())) {
        Ok(_) => Ok(()),
        Err(fault) if fault.kind == FaultKind::Configure => {
            let hint =
                "correct the plugin's `config` table in `pipeline.toml`; `sluicebox plugin inspect` prints its schema";
            Err(refused("P030", fault.message, hint))
        }
        Err(fault) => Err(broke(&fault)),
    }
}

/// The error of an export whose type is not the contract's.
pub(crate) fn wrong_signature(error: wasmtime::Error) -> LoadError {
    refused(
        "P022",
        format!("component does not export what the contract says: {error:#}"),
        "rebuild it with the SDK of this host's version",
    )
}

/// Checks that the component is of the world that it is wanted for.
pub(crate) fn check_world(found: &Inspection, world: World) -> Result<(), LoadError> {
    if found.world == world {
        return Ok(());
    }
    let message = format!("component is of world `{}`, expected `{world}`", found.world);
    Err(refused("P022", message, "is the plugin named in the wrong section of `pipeline.toml`?"))
}

/// The kind of engine that these limits need.
pub(crate) fn kind_of(limits: &Limits) -> Result<Kind, LoadError> {
    Kind::of(limits).ok_or_else(|| {
        let message = format!("stack limit is {}, expected 1 byte to {}", bytes(limits.stack), bytes(MAX_STACK as u64));
        refused("P012", message, "set `stack` under `[limits]` in `pipeline.toml`")
    })
}

fn compile(engines: &Engines, component: &[u8], limits: &Limits) -> Result<InstancePre<Host>, LoadError> {
    let component = engines.compile(kind_of(limits)?, Caps::of(limits), component)?;
    let engine = component.engine().clone();
    let linker = linker(&engine, &component).map_err(|error| refused("P900", format!("cannot link: {error:#}"), ""))?;
    linker.instantiate_pre(&component).map_err(wrong_signature)
}

/// What the component declares to need before it runs at all.
fn check_needs(found: &Inspection, limits: &Limits) -> Result<(), LoadError> {
    if found.memory > limits.memory {
        let message =
            format!("component declares {} of initial memory, cap {}", bytes(found.memory), bytes(limits.memory));
        return Err(refused(
            "P012",
            message,
            "raise `memory` under `[limits]` in `pipeline.toml`, or build the plugin smaller",
        ));
    }
    if found.table_elements > MAX_TABLE_ELEMENTS as u64 {
        let message =
            format!("component declares tables of {} elements, cap {MAX_TABLE_ELEMENTS}", found.table_elements);
        return Err(refused(
            "P012",
            message,
            "a table has one element a function that is called through a pointer: build the plugin smaller",
        ));
    }
    Ok(())
}

/// Asks twice, in two fresh instances: a plugin that cannot even describe itself the same way twice is no pure function.
fn describe(callable: &Callable, world: World) -> Result<Descriptor, LoadError> {
    let ask = || {
        let answer = callable.run(|store, instance, phase| {
            *phase = Phase::Call;
            let guest = callable.lifecycle.load(&mut *store, instance)?;
            guest.sluicebox_plugin_lifecycle().call_describe(&mut *store)
        });
        answer.map(|answer| answer.value).map_err(|fault| broke(&fault))
    };
    let (first, second): (described::Descriptor, described::Descriptor) = (ask()?, ask()?);
    same(descriptor::check(first, world)?, descriptor::check(second, world)?)
}

/// The descriptor, if it is the same both times. Nothing that a guest can see differs between two fresh instances, so that today this
/// is never raised: it stands for the day on which something does.
fn same(first: Descriptor, second: Descriptor) -> Result<Descriptor, LoadError> {
    if first == second {
        return Ok(first);
    }
    let message = format!("plugin `{}` describes itself differently each time it is asked", first.name);
    Err(refused(
        "P140",
        message,
        "a plugin's output must depend on its input alone: look for addresses, counters or hash order",
    ))
}

/// A plugin that breaks at load is refused; the code says how it broke.
fn broke(fault: &Fault) -> LoadError {
    let mut message = format!("plugin breaks as soon as it is started: {}", fault.message);
    for line in
        fault.backtrace.iter().flat_map(|trace| trace.lines().take(6)).chain(fault.log.iter().map(String::as_str))
    {
        message.push_str("\n  ");
        message.push_str(line);
    }
    LoadError { code: fault.code, message, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptions_that_differ_are_refused() {
        let described = |version: &str| Descriptor {
            name: "moody".to_owned(),
            version: version.to_owned(),
            input: Vec::new(),
            output: Vec::new(),
            config_schema: String::new(),
        };
        assert_eq!(same(described("1.0.0"), described("1.0.0")).unwrap(), described("1.0.0"));
        let error = same(described("1.0.0"), described("1.0.1")).unwrap_err();
        assert_eq!(error.code, "P140");
        assert!(error.message.contains("`moody` describes itself differently"), "{error}");
    }
}
