//! An inert WASI 0.2 for components whose toolchain cannot do without one: no files, no environment, no arguments, nothing on stdin,
//! stdout and stderr as log lines, clocks that stand still, random numbers that are the same in every call, and nothing that waits.
//!
//! Does not grant a power: what a plugin can see here is the same at every call on every machine. The clocks stand at
//! 1970-01-01T00:00:00Z and not at the tick, because a batch may hold records of several ticks and a call cannot tell them apart.
//! Sockets, HTTP and everything else are not part of it: a component that imports them is refused by name (see `inspect`).

mod clocks;
mod host;
mod resources;
mod state;
mod streams;

use wasmtime::Engine;
use wasmtime::component::{Component, Linker, LinkerInstance, types::ComponentItem};

use crate::store::Host;
use resources::{ended, resource};

pub(crate) use state::State;

/// The interfaces, without their version.
const INERT: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Whether `import` is an interface of the inert WASI, of any version 0.2.
pub(crate) fn is_inert(import: &str) -> bool {
    import.split_once('@').is_some_and(|(name, version)| {
        INERT.contains(&name) && semver::Version::parse(version).is_ok_and(|found| (found.major, found.minor) == (0, 2))
    })
}

/// Defines what `component` imports of WASI, under the names that it uses.
pub(crate) fn define(linker: &mut Linker<Host>, component: &Component, engine: &Engine) -> wasmtime::Result<()> {
    for (import, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(wanted) = item.ty else { continue };
        if !is_inert(import) {
            continue;
        }
        let interface = import.split('@').next().unwrap_or_default().to_owned();
        let mut instance = linker.instance(import)?;
        for (name, item) in wanted.exports(engine) {
            match item.ty {
                ComponentItem::Resource(_) => instance.resource(name, resource(name), |_, _| Ok(()))?,
                ComponentItem::ComponentFunc(_) => function(&mut instance, &interface, name)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Defines one function: one that answers, or one that ends the call. The latter take a resource that never exists (such as a file).
fn function(instance: &mut LinkerInstance<'_, Host>, interface: &str, name: &str) -> wasmtime::Result<()> {
    let known = streams::define(instance, interface, name)?
        || clocks::define(instance, interface, name)?
        || host::define(instance, interface, name)?;
    if known {
        return Ok(());
    }
    let called = format!("{interface}#{name}");
    instance
        .func_new(name, move |_, _, _, _| Err(ended(format!("plugin called `{called}`, which the inert WASI has not"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_inert_interfaces_of_0_2_are_granted() {
        for import in ["wasi:cli/stdout@0.2.0", "wasi:io/poll@0.2.6", "wasi:random/random@0.2.12"] {
            assert!(is_inert(import), "{import}");
        }
        for import in [
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/types@0.2.0",
            "wasi:io/poll",
            "wasi:io/poll@0.3.0",
            "wasi:cli/run@0.2.0",
        ] {
            assert!(!is_inert(import), "{import}");
        }
    }
}
