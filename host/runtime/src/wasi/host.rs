//! The inert WASI's view of the machine: an empty environment, no arguments, no directories, no terminals, and an end that is a trap.
//!
//! Does not have files: the functions on them are never defined, because no call gives one.

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource};

use super::resources::{Nothing, ended};
use crate::store::Host;

type Cx<'a> = StoreContextMut<'a, Host>;

/// Defines the function if it is one of these.
pub(super) fn define(to: &mut LinkerInstance<'_, Host>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("wasi:cli/environment", "get-environment") => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Vec::<(String, String)>::new(),)))
        }
        ("wasi:cli/environment", "get-arguments") => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Vec::<String>::new(),)))
        }
        ("wasi:cli/environment", "initial-cwd") => to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((None::<String>,))),
        ("wasi:cli/exit", "exit") => {
            to.func_wrap(name, |_: Cx<'_>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
                let status = if status.is_ok() { "success" } else { "failure" };
                Err(ended(format!("plugin ended itself: it called `exit` with {status}")))
            })
        }
        ("wasi:cli/exit", "exit-with-code") => {
            to.func_wrap(name, |_: Cx<'_>, (code,): (u8,)| -> wasmtime::Result<()> {
                Err(ended(format!("plugin ended itself: it called `exit` with {code}")))
            })
        }
        ("wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr", _) => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((None::<Resource<Nothing>>,)))
        }
        ("wasi:filesystem/preopens", "get-directories") => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Vec::<(Resource<Nothing>, String)>::new(),)))
        }
        _ => return Ok(false),
    }
    .map(|()| true)
}
