//! A plugin's code: compiled, linked, and its exports found. Made when the plugin is loaded, or, if it is known to be
//! accepted, when it is first needed: a process may call only one plugin of a pipeline.
//!
//! Does not say whether a plugin is accepted: `load` does.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use seams::foreign::words;
use seams::plugin::{Digest, Fault, FaultKind, Grants, LoadError};
use wasmtime::component::InstancePre;

use crate::bindings::lifecycle;
use crate::call::{Callable, linker};
use crate::engines::{SharedEngines, kind_of};
use crate::fault::{fault, refused};
use crate::store::Host;
use crate::worker::Caps;

/// Finds a world's own exports.
pub(crate) type Find<E> = fn(&InstancePre<Host>) -> wasmtime::Result<E>;

/// Code that can be called.
pub(crate) struct Code<E> {
    pub(crate) callable: Callable,
    pub(crate) exports: E,
}

/// The inputs of compilation.
pub(crate) struct Source<E> {
    pub(crate) engines: SharedEngines,
    pub(crate) component: Bytes,
    pub(crate) digest: Digest,
    pub(crate) grants: Grants,
    pub(crate) find: Find<E>,
}

impl<E> Source<E> {
    /// Compiles and links. Must be called on a guest thread.
    pub(crate) fn make(&self) -> Result<Code<E>, LoadError> {
        let Grants { config, limits } = &self.grants;
        let component = self.engines.compile(kind_of(limits)?, Caps::of(limits), &self.component, &self.digest)?;
        let engine = component.engine().clone();
        let linker =
            linker(&engine, &component).map_err(|error| refused("P900", format!("cannot link: {error:#}"), ""))?;
        let pre = linker.instantiate_pre(&component).map_err(wrong_signature)?;
        let lifecycle = lifecycle::CommonIndices::new(&pre).map_err(wrong_signature)?;
        let exports = (self.find)(&pre).map_err(wrong_signature)?;
        let callable = Callable {
            engine,
            guards: self.engines.guards,
            pre,
            lifecycle: Arc::new(lifecycle),
            limits: *limits,
            config: config.clone(),
            plugin: "?".to_owned(),
            digest: self.digest.as_str().to_owned(),
            in_disgrace: Arc::default(),
            told_slow: Arc::default(),
        };
        Ok(Code { callable, exports })
    }
}

impl<E> Code<E> {
    /// The same, for a plugin whose name is known.
    pub(crate) fn of(mut self, name: &str) -> Self {
        self.callable.plugin = seams::plugin::plugin_name(name, &self.callable.digest);
        self
    }
}

/// Code that may not be made yet.
pub(crate) struct Lazy<E> {
    made: OnceLock<Code<E>>,
    making: Mutex<()>,
}

impl<E> Lazy<E> {
    pub(crate) fn made(code: Code<E>) -> Self {
        Lazy { made: OnceLock::from(code), making: Mutex::default() }
    }

    pub(crate) fn unmade() -> Self {
        Lazy { made: OnceLock::new(), making: Mutex::default() }
    }

    /// The code, made now if it is not yet. Must be called on a guest thread.
    pub(crate) fn get(&self, make: impl FnOnce() -> Result<Code<E>, LoadError>) -> Result<&Code<E>, Fault> {
        if let Some(code) = self.made.get() {
            return Ok(code);
        }
        // One makes it and the others wait, rather than each making one.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = self.made.get() {
            return Ok(code);
        }
        // It was made before from the same bytes, so this machine is at fault.
        let code = make().map_err(|error| fault(FaultKind::Host, error.code, error.message))?;
        Ok(self.made.get_or_init(|| code))
    }
}

/// The error of an export whose type is not the contract's.
fn wrong_signature(error: wasmtime::Error) -> LoadError {
    refused(
        "P022",
        words(&format!("component does not export what the contract says: {error:#}")),
        "rebuild it with the SDK of this host's version",
    )
}
