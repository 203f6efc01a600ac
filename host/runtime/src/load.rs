//! Turns bytes into a plugin that can be called: audited, compiled, linked, described twice, configured once.
//!
//! Does not fetch the bytes, and does not compare plugins of neighbouring layers.

use bytes::Bytes;
use pipeline::plan::Limits;
use seams::plugin::{Descriptor, Digest, Fault, FaultKind, Grants, LoadError};

use crate::bindings::aggregate::AggregateOnlyIndices;
use crate::bindings::clean::CleanOnlyIndices;
use crate::bindings::described as wit;
use crate::bindings::enrich::EnrichOnlyIndices;
use crate::call::Callable;
use crate::code::{Code, Find, Lazy, Source};
use crate::descriptor;
use crate::engines::SharedEngines;
use crate::fault::{Phase, bytes, refused};
use crate::inspect::{Inspection, inspect_within};
use crate::limits::MAX_TABLE_ELEMENTS;
use crate::world::World;

/// A plugin that was accepted. `E`: its world's own exports.
pub(crate) struct Loaded<E> {
    pub(crate) descriptor: Descriptor,
    source: Source<E>,
    code: Lazy<E>,
}

impl<E> std::fmt::Debug for Loaded<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("plugin", &self.descriptor.name)
            .field("digest", &self.source.digest)
            .finish_non_exhaustive()
    }
}

impl<E> Loaded<E> {
    pub(crate) fn digest(&self) -> &Digest {
        &self.source.digest
    }

    pub(crate) fn component(&self) -> &Bytes {
        &self.source.component
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.source.grants.limits
    }

    /// The plugin's code. Must be called on a guest thread.
    pub(crate) fn code(&self) -> Result<&Code<E>, Fault> {
        self.code.get(|| Ok(self.source.make()?.of(&self.descriptor.name)))
    }
}

/// Loads a plugin of `world`. If it was accepted before, the result of then is used, and its code is made only when it is needed:
/// equal bytes and grants behave equally. Must be called on a guest thread.
pub(crate) fn load<E>(
    engines: &SharedEngines,
    component: &Bytes,
    world: World,
    grants: &Grants,
    find: Find<E>,
) -> Result<Loaded<E>, LoadError> {
    let (engines, digest) = (SharedEngines::clone(engines), Digest::of(component));
    let source = Source { engines, component: component.clone(), digest, grants: grants.clone(), find };
    let known = source.engines.kept().accepted(&source.digest, world, grants);
    if let Some(descriptor) = known {
        return Ok(Loaded { descriptor, source, code: Lazy::unmade() });
    }
    let found = inspect_within(component, grants.limits.component)?;
    check_world(&found, world)?;
    let (descriptor, code) = described(&source, &found)?;
    configure(&code.callable)?;
    source.engines.kept().accept(&source.digest, world, grants, &descriptor);
    Ok(Loaded { descriptor, source, code: Lazy::made(code) })
}

/// The description of a component of any world, without configuring it. Must be called on a guest thread.
pub(crate) fn describe(
    engines: &SharedEngines,
    component: &Bytes,
) -> Result<(Inspection, Descriptor, Digest), LoadError> {
    // Its pipeline is not known, so any pipeline's size is allowed.
    let limits = Limits { component: Limits::MAX_COMPONENT, ..Limits::default() };
    let found = inspect_within(component, limits.component)?;
    let (engines, digest) = (SharedEngines::clone(engines), Digest::of(component));
    let grants = Grants { config: "{}".to_owned(), limits };
    let find: Find<()> = match found.world {
        World::Enricher => |pre| EnrichOnlyIndices::new(pre).map(drop),
        World::Cleaner => |pre| CleanOnlyIndices::new(pre).map(drop),
        World::Aggregator => |pre| AggregateOnlyIndices::new(pre).map(drop),
    };
    let source = Source { engines, component: component.clone(), digest, grants, find };
    let (descriptor, _) = described(&source, &found)?;
    Ok((found, descriptor, source.digest))
}

/// Makes the code of a component of the right world, and asks for its description.
fn described<E>(source: &Source<E>, found: &Inspection) -> Result<(Descriptor, Code<E>), LoadError> {
    check_needs(found, &source.grants.limits)?;
    let code = source.make()?;
    source.engines.lock()?;
    let descriptor = ask(&code.callable, found.world)?;
    let code = code.of(&descriptor.name);
    Ok((descriptor, code))
}

/// Checks that the plugin accepts its configuration.
fn configure(callable: &Callable) -> Result<(), LoadError> {
    match callable.call(0, |_, _| Ok(())) {
        Ok(_) => Ok(()),
        Err(fault) if fault.kind == FaultKind::Configure => {
            let hint =
                "correct the plugin's `config` table in `pipeline.toml`; `sluicebox plugin inspect` prints its schema";
            Err(refused("P030", fault.message, hint))
        }
        Err(fault) => Err(broke(&fault)),
    }
}

/// Checks that the component has the wanted world.
pub(crate) fn check_world(found: &Inspection, world: World) -> Result<(), LoadError> {
    if found.world == world {
        return Ok(());
    }
    let message = format!("component is of world `{}`, expected `{world}`", found.world);
    Err(refused("P022", message, "is the plugin named in the wrong section of `pipeline.toml`?"))
}

/// The memory and tables that the component declares.
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
fn ask(callable: &Callable, world: World) -> Result<Descriptor, LoadError> {
    let once = || {
        let answer = callable.run(|store, instance, phase| {
            *phase = Phase::Call;
            let guest = callable.lifecycle.load(&mut *store, instance)?;
            if callable.guards.are_on() {
                store.set_hostcall_fuel(descriptor::MAX_DESCRIPTION);
            }
            guest.sluicebox_plugin_lifecycle().call_describe(&mut *store)
        });
        answer.map(|answer| answer.value).map_err(|fault| match fault.code {
            "P120" => descriptor::too_long(),
            _ => broke(&fault),
        })
    };
    let first: wit::Descriptor = once()?;
    let first = descriptor::check(first, world)?;
    same(first, descriptor::check(once()?, world)?)
}

/// The descriptor, if it is the same both times. A guest sees no difference between two fresh instances, so today this
/// is never raised: it is a guard against a later change.
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
