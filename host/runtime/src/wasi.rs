//! An inert WASI 0.2 for components whose toolchain cannot do without one: no files, no environment, no arguments, nothing on stdin,
//! stdout and stderr as log lines, clocks that stand still, random numbers that are the same in every call, and nothing that waits.
//!
//! Does not grant a power: what a plugin can see here is the same at every call on every machine. The clocks stand at
//! 1970-01-01T00:00:00Z and not at the tick, because a batch may hold records of several ticks and a call cannot tell them apart.
//! Sockets, HTTP and whatever else there is are no part of it: a component that imports them is refused by name (see `inspect`).

mod clocks;
mod host;
mod streams;

use wasmtime::Engine;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType, types::ComponentItem};

use crate::call::Host;
use crate::fault::fault;
use seams::plugin::FaultKind;

pub(crate) use streams::Output;

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

/// A stream's or file's error; there are none.
struct IoError;
/// What can be waited for; it is ready.
struct Pollable;
/// Stdin.
struct InputStream;
/// Stdout or stderr.
struct OutputStream;
/// What no call gives: files, directories, terminals.
struct Nothing;

/// Whether `import` is an interface of the inert WASI, of any version 0.2.
pub(crate) fn is_inert(import: &str) -> bool {
    import.split_once('@').is_some_and(|(name, version)| {
        INERT.contains(&name) && semver::Version::parse(version).is_ok_and(|found| (found.major, found.minor) == (0, 2))
    })
}

/// What of WASI a store holds.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) output: Output,
    random: u64,
}

impl State {
    /// The same for every call.
    pub(crate) fn new() -> Self {
        State { output: Output::default(), random: 0 }
    }

    /// The next of a fixed sequence (SplitMix64: a counter and a hash).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Defines what `component` imports of WASI, under the very names that it uses.
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

/// One type for each kind of resource, whichever interface names it.
fn resource(name: &str) -> ResourceType {
    match name {
        "error" => ResourceType::host::<IoError>(),
        "pollable" => ResourceType::host::<Pollable>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        _ => ResourceType::host::<Nothing>(),
    }
}

/// Defines one function: one that answers, or one that ends the call. The latter take what nobody has (a file, say).
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

/// The end of a call for a reason of WASI.
fn ended(message: String) -> wasmtime::Error {
    wasmtime::Error::new(fault(FaultKind::Trap, "P101", message))
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
